"""Losses that a log prints, as dictionaries or as `loss: 1.2` in a line."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

from tools.diagnose.evidence import Run
from tools.diagnose.names import metric_row

_DICT = re.compile(r"\{[^{}]*'?\"?(?:loss|eval_loss|train_loss)'?\"?\s*:[^{}]*\}")
_PAIRS = re.compile(
    r"(?i)\b(step|iter(?:ation)?|epoch|loss|train[_ ]loss|(?:eval|val(?:id(?:ation)?)?)[_ ]loss|lr|"
    r"learning[_ ]rate|grad[_ ]norm)\s*[:=]\s*([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf))"
)


def add_log_metrics(run: Run, text: str) -> None:
    """Read the losses that a log prints, where no events told them better."""
    rows = list(_log_rows(text))
    if not any("loss" in row or "eval_loss" in row for row in rows):
        return
    for row in rows:
        if "step" not in row:
            row["step"] = len(run.steps) + ("eval_loss" not in row)
        row["step"] = int(row["step"])
        run.steps.append(row)


def _log_rows(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        found = _DICT.search(line)
        if found:
            row = metric_row(_literal(found.group()))
        else:
            pairs = {n.lower().replace(" ", "_"): v for n, v in _PAIRS.findall(line)}
            row = metric_row({k: float(v) for k, v in pairs.items()})
        if row and ("loss" in row or "eval_loss" in row or "not_finite" in row):
            yield row


def _literal(text: str) -> dict[str, Any]:
    quoted = re.sub(r"(?<=[:\s,])(nan|inf|-inf)(?=[,\s}])", r"'\1'", text)
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(quoted.replace("NaN", '"nan"') if parse is json.loads else quoted)
        except (ValueError, SyntaxError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return {}
