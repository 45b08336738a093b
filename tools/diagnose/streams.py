"""Reads what runs leave behind, ours and other tools': event streams, settings, data reports.

Events stand one JSON document a line, or in a list, flat or as `{kind, payload}`; fields that are
not known are passed over. Also read: `trainer_state.json` and lists of its `log_history`, the
document of `luthier show --json`, and lines of a log that print a dictionary of losses.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from tools.diagnose.evidence import Run
from tools.diagnose.names import as_number, metric_row, read_settings_document
from tools.diagnose.typed import fitting
from tools.errors import BadInput

_MOST_EVENTS = 120_000
_MOST_WHOLE_BYTES = 32_000_000
_NONE = object()
"""What is no JSON document; null is one."""


def read_documents(path: Path) -> tuple[list[Any], int]:
    """Return the JSON documents of a file, and how many lines were none.

    Of a long stream the first and the last lines are kept, so that memory is bounded.

    Raises:
        BadInput: It is no text, a single document too large to be read, or holds none.
    """
    try:
        if path.stat().st_size <= _MOST_WHOLE_BYTES:
            text = path.read_text(encoding="utf-8-sig")
            whole = _parsed(text)
            if whole is not _NONE:
                return (whole if isinstance(whole, list) else [whole]), 0
            return _documents(text.split("\n"), path.name)
        with path.open(encoding="utf-8-sig") as file:
            first = list(islice(file, _MOST_EVENTS // 2))
            return _documents([*first, *deque(file, _MOST_EVENTS // 2)], path.name)
    except UnicodeDecodeError as error:
        raise BadInput(f"{path.name} is no text.", hint="Give a file of JSON.") from error


def _documents(lines: list[str], name: str) -> tuple[list[Any], int]:
    found = [_parsed(line) for line in lines if line.strip()]
    documents = [document for document in found if document is not _NONE]
    if not documents:
        raise BadInput(
            f"{name} holds no events: not one line of it is JSON.",
            hint="Give a file as docs/events.md describes, or a log with --log.",
        )
    return documents, len(found) - len(documents)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NONE


def add_documents(run: Run, documents: Iterable[Any]) -> None:
    """Enter every document of a stream into the run."""
    for document in documents:
        if not isinstance(document, dict):
            run.unread += 1
        elif isinstance(document.get("log_history"), list):
            add_documents(run, document["log_history"])
        elif isinstance(document.get("events"), list):
            _add_show(run, document)
        else:
            _add_event(run, document)


def _add_show(run: Run, document: dict[str, Any]) -> None:
    """A document of `luthier show --json`: the events, and what stands beside them."""
    if isinstance(document.get("spec"), dict):
        run.spec = read_settings_document(document["spec"]) | run.spec
    run.state = document.get("state") or run.state
    add_documents(run, document["events"])
    for name in ("metrics", "measured"):
        if isinstance(document.get(name), dict):
            add_record(run, document[name])
    if isinstance(document.get("error"), dict):
        run.failures.append(document["error"])


def add_record(run: Run, values: dict[str, Any]) -> None:
    """Enter the figures of a job's record; events, which are nearer to the source, win."""
    for name, value in values.items():
        if value is not None and name not in run.judged:
            run.judged[name] = value


def _add_event(run: Run, document: dict[str, Any]) -> None:
    kind = document.get("kind") or document.get("event") or document.get("type")
    payload = document.get("payload")
    fields = {**document, **payload} if isinstance(payload, dict) else dict(document)
    if not isinstance(kind, str):
        kind = "metrics" if metric_row(fields) or "train_runtime" in fields else ""
    reader = _READERS.get(kind)
    if reader is None:
        run.unread += 1
        return
    run.read += 1
    # Metrics read their numbers themselves, under the names of any tool.
    reader(run, fields if kind == "metrics" else fitting(kind, fields))


def _metrics(run: Run, fields: dict[str, Any]) -> None:
    if fields.get("total_steps"):
        _progress(run, {"done": fields.get("current_steps"), "total": fields["total_steps"]})
    whole = as_number(fields.get("train_runtime"))
    if whole:
        run.timing.setdefault("train_s", whole)
    row = metric_row(fields)
    if row:
        row["step"] = int(row["step"]) if "step" in row else len(run.steps) + 1
        if run.phases:
            row["phase"] = run.phases[-1][0]
        run.steps.append(row)


def _merge(name: str) -> Any:
    def enter(run: Run, fields: dict[str, Any]) -> None:
        known = {k: v for k, v in fields.items() if k not in {"kind", "payload", "seq", "job_id"}}
        getattr(run, name).update(known)

    return enter


def _gate(run: Run, fields: dict[str, Any]) -> None:
    measures = fields.get("measures")
    name = str(fields.get("gate", ""))
    if isinstance(measures, dict):
        run.gates.setdefault(name, {}).update(measures)


def _phase(run: Run, fields: dict[str, Any]) -> None:
    run.phases.append((str(fields.get("phase", "")), _seconds(fields.get("at"))))


def _state(run: Run, fields: dict[str, Any]) -> None:
    run.state = str(fields.get("state", ""))
    reason = str(fields.get("reason", ""))
    if reason and run.state in ("failed", "lost"):
        run.failures.append({"message": reason})


def _warning(run: Run, fields: dict[str, Any]) -> None:
    run.warnings.append((str(fields.get("code", "")), str(fields.get("message", ""))))


def _progress(run: Run, fields: dict[str, Any]) -> None:
    phase = str(fields.get("phase", "train"))
    if not run.phases or run.phases[-1][0] != phase:
        _phase(run, fields | {"phase": phase})
    if phase.startswith("train"):
        done, total = fields.get("done"), fields.get("total")
        if isinstance(done, int | float) and isinstance(total, int | float) and total > 0:
            run.done_share = done / total


_READERS: dict[str, Any] = {
    "metrics": _metrics,
    "setup": _merge("setup"),
    "data": _merge("data"),
    "timing": _merge("timing"),
    "judged": _merge("judged"),
    "gate": _gate,
    "phase": _phase,
    "state": _state,
    "warning": _warning,
    "error": lambda run, fields: run.failures.append(fields),
    "sample": lambda run, fields: run.samples.append(
        {"step": run.total_steps} | fields | ({"phase": run.phases[-1][0]} if run.phases else {})
    ),
    "attempt": lambda run, fields: run.attempts.append(fields),
    "progress": _progress,
    "checkpoint": lambda run, fields: run.saved.add(int(fields.get("step") or 0)),
}


def _seconds(at: Any) -> float | None:
    if isinstance(at, int | float):
        return float(at)
    if isinstance(at, str):
        try:
            return datetime.fromisoformat(at).timestamp()
        except ValueError:
            return None
    return None


def add_data_report(run: Run, document: Any) -> None:
    """Enter the report of `luthier inspect --json`, or the manifest of a prepared version.

    Raises:
        BadInput: It is neither.
    """
    if not isinstance(document, dict) or not {"rows", "splits", "problems", "kind"} & set(document):
        raise BadInput(
            "The data report is not one of `luthier inspect --json`.",
            hint="Make one with `luthier inspect FILE --json`, or leave it out.",
        )
    known = {"rows", "label_counts", *_DATA_FIELDS}
    for name in known & set(document):
        if document[name] is not None:
            run.data.setdefault(name, document[name])
    lengths = document.get("token_lengths")
    if isinstance(lengths, dict):
        for ours, theirs in (
            ("tokens_p50", "p50"),
            ("tokens_p95", "p95"),
            ("tokens_longest", "max"),
        ):
            if isinstance(lengths.get(theirs), int | float):
                run.data.setdefault(ours, lengths[theirs])
    for problem in document.get("problems") or ():
        if isinstance(problem, dict):
            code = str(problem.get("code", ""))
            run.warnings.append((code, str(problem.get("message") or problem.get("what") or "")))
            count = problem.get("count") or problem.get("rows_affected")
            if code in _PROBLEM_COUNTS and isinstance(count, int):
                run.data.setdefault(_PROBLEM_COUNTS[code], count)


_DATA_FIELDS = frozenset(
    [
        "eval_rows",
        "overlap_rows",
        "conflicting_rows",
        "answer_in_input_share",
        "predictable",
        "doubtful_share",
        "majority_share",
        "eval_label_counts",
        "trained_token_share",
        "truncated_share",
    ]
)
_PROBLEM_COUNTS = {
    "contradictory_labels": "conflicting_rows",
    "leakage": "overlap_rows",
}
