"""Plain text for a terminal: pure functions that return lines, and nothing that prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tools.datasets.quarantine import disarm

BAR_WIDTH = 24


def format_bar(done: float, total: float, width: int = BAR_WIDTH) -> str:
    """Return a progress bar such as `[########----]  67 %`."""
    share = min(1.0, max(0.0, done / total)) if total else 0.0
    filled = round(share * width)
    return f"[{'#' * filled}{'-' * (width - filled)}] {share:4.0%}".replace("%", " %")


def format_duration(seconds: float) -> str:
    """Return `m:ss`, or `h:mm:ss` from one hour on."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, remaining = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{remaining:02}" if hours else f"{minutes}:{remaining:02}"


def format_number(value: Any) -> str:
    """Return a number as people read it; anything else as it is."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 0.001 else f"{value:,.3f}".rstrip("0").rstrip(".")
    return str(value)


def format_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table with aligned columns; numbers stand to the right."""
    cells = [[format_number(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *cells]) for i in range(len(header))]
    numeric = [
        all(isinstance(row[i], int | float) or row[i] is None for row in rows) and bool(rows)
        for i in range(len(header))
    ]

    def line(values: Sequence[str]) -> str:
        parts = [
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(values, widths, numeric, strict=True)
        ]
        return "  ".join(parts).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(header), rule, *(line(row) for row in cells)])


def format_event(kind: str, payload: dict[str, Any]) -> str | None:
    """Return one line for a job event, or None where a terminal has nothing to say."""
    tell = _TOLD.get(kind)
    return tell(payload) if tell else None


def _metrics(payload: dict[str, Any]) -> str | None:
    if payload.get("eval_loss") is None:
        return None
    return f"step {payload['step']}: validation loss {payload['eval_loss']:.4f}"


def _attempt(payload: dict[str, Any]) -> str:
    changes = ", ".join(f"{k} {a} -> {b}" for k, (a, b) in payload["changes"].items())
    return f"changed {changes}: {payload['reason']}"


def _trial(payload: dict[str, Any]) -> str:
    """Return a search's trial: what it varies while it runs, what it reached when it ended."""
    varied = ", ".join(f"{k} {format_number(v)}" for k, v in payload.get("values", {}).items())
    value = payload.get("value")
    reached = f": validation loss {value:.4f}" if value is not None else ""
    return f"trial {payload['number']} {payload['state']}{reached} ({varied})"


def _named(name: str, more: str) -> Callable[[dict[str, Any]], str]:
    def tell(payload: dict[str, Any]) -> str:
        note = f": {payload[more]}" if payload.get(more) else ""
        return f"{payload[name]}{note}"

    return tell


_TOLD: dict[str, Callable[[dict[str, Any]], str | None]] = {
    "phase": _named("phase", "note"),
    "state": _named("state", "reason"),
    "metrics": _metrics,
    "warning": lambda payload: f"note: {payload['message']}",
    "attempt": _attempt,
    "trial": _trial,
    "error": lambda payload: f"failed: {payload['message']}",
}


def format_answers(report: dict[str, Any] | None) -> list[str]:
    """Return what each model answered, a line each; none where the report holds no answers.

    What a model says is untrusted: control characters and markup are disarmed.
    """
    if not report or report.get("type") != "TryReport":
        return []
    answers = report["answers"]
    width = max((len(answer["target"]) for answer in answers), default=0)
    return [
        f"  {answer['target']:<{width}}  says: {disarm(answer['text'] or answer['error'] or '')}"
        for answer in answers
    ]
