"""Losses that a log prints: as dictionaries, as `loss: 1.2` in a line, or as a table."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

from tools.diagnose.evidence import Run
from tools.diagnose.names import as_number, metric_name, metric_row

_DICT = re.compile(r"\{[^{}]*'?\"?(?:loss|eval_loss|train_loss)'?\"?\s*:[^{}]*\}")
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf(?:inity)?)\b"
_PAIRS = re.compile(
    r"(?i)(?<![\w/])(global[_ ]step|step|iter(?:ation)?|epoch|(?:lm |total )?loss|"
    r"(?:train(?:ing)?|eval(?:uation)?|val(?:id(?:ation)?)?|test|dev)[_ /]loss|lr|"
    r"learning[_ ]rate|grad(?:ient)?[_ ]norm|gnorm)['\"]?\s*(?:[:=]\s*|\s|is\s)"
    rf"({_NUMBER})"
)
_LONGEST_LINE = 4_000
"""A longer line is data, not something that a person or a trainer prints."""
_CELLS = re.compile(r"\s*[|\t,;]\s*|\s{2,}")
_EMPTY_CELLS = frozenset({"", "-", "no log", "none", "null", "n/a"})


def add_log_metrics(run: Run, text: str) -> None:
    """Read the losses that a log prints, where no events told them better."""
    rows = printed_rows(text)
    if not any({"loss", "eval_loss", "not_finite"} & set(row) for row in rows):
        return
    for row in rows:
        if "step" not in row:
            row["step"] = len(run.steps) + ("eval_loss" not in row)
        row["step"] = int(row["step"])
        run.steps.append(row)


def printed_rows(text: str) -> list[dict[str, Any]]:
    """Return a row of measurements for each line that prints a loss."""
    return list(_rows(line for line in text.splitlines() if len(line) <= _LONGEST_LINE))


def _rows(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    header: list[str] = []
    for line in lines:
        if not header and "loss" not in line.lower():
            continue
        cells = _cells(line)
        if _is_header(cells):
            header = cells
            continue
        row = _table_row(header, cells) if header else {}
        if header and not row and not set(line) <= set("|-:+= \t"):
            header = []
        row = row or _line_row(line)
        if {"loss", "eval_loss", "not_finite"} & set(row):
            yield row


def _line_row(line: str) -> dict[str, Any]:
    found = _DICT.search(line)
    if found:
        return metric_row(_literal(found.group()))
    pairs = {n.lower().replace(" ", "_"): float(v) for n, v in _PAIRS.findall(line)}
    return metric_row(pairs)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in _CELLS.split(line.strip().strip("|").strip())]


def _is_header(cells: list[str]) -> bool:
    """Whether these are the names of a table's columns, a loss among them."""
    if len(cells) < 2 or any(as_number(cell) is not None for cell in cells):
        return False
    return bool({"loss", "eval_loss"} & {metric_name(_name(cell)) for cell in cells})


def _table_row(header: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) != len(header):
        return {}
    found: dict[str, float] = {}
    for name, cell in zip(map(_name, header), cells, strict=True):
        value = as_number(cell)
        if metric_name(name) is None:
            continue  # such as the time, in any writing
        if value is None and cell.lower() not in _EMPTY_CELLS:
            return {}
        if value is not None:
            found[name] = value
    return metric_row(found)


def _name(cell: str) -> str:
    return cell.lower().replace(" ", "_")


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
