"""Plain text for a terminal: pure functions that return lines, and nothing that prints."""

from __future__ import annotations

from collections.abc import Sequence
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
    if kind == "phase":
        note = f": {payload['note']}" if payload.get("note") else ""
        return f"{payload['phase']}{note}"
    if kind == "state":
        reason = f": {payload['reason']}" if payload.get("reason") else ""
        return f"{payload['state']}{reason}"
    if kind == "metrics" and payload.get("eval_loss") is not None:
        return f"step {payload['step']}: validation loss {payload['eval_loss']:.4f}"
    if kind == "warning":
        return f"note: {payload['message']}"
    if kind == "attempt":
        changes = ", ".join(f"{k} {a} -> {b}" for k, (a, b) in payload["changes"].items())
        return f"changed {changes}: {payload['reason']}" if changes else str(payload["reason"])
    if kind == "trial":
        value = payload.get("value")
        loss = "" if value is None else f", validation loss {value:.4f}"
        return f"trial {payload['number']} ({payload['job']}) {payload['state']}{loss}"
    if kind == "error":
        return f"failed: {payload['message']}"
    return None


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
