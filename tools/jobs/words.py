"""Figures of jobs as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def clock(seconds: float) -> str:
    """Return `m:ss`, or `h:mm:ss` from one hour on."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def headline(metrics: dict[str, Any]) -> str:
    """Return the one figure that matters, from base to tuned, or an empty text."""
    for name, label in (("accuracy", "accuracy"), ("eval_loss", "validation loss")):
        tuned, base = metrics.get(name), metrics.get(f"base_{name}")
        if isinstance(tuned, int | float):
            before = f"{base:.2f} -> " if isinstance(base, int | float) else ""
            verdict = f", {metrics['verdict']}" if metrics.get("verdict") else ""
            return f"{label} {before}{tuned:.2f}{verdict}"
    return ""


def figures(
    metrics: dict[str, Any], predicted: dict[str, Any], measured: dict[str, Any]
) -> list[str]:
    """Return lines on quality, memory and time, the predicted beside the measured."""
    lines = []
    if metrics.get("best_job"):
        value = metrics.get("best_value")
        lines.append(
            f"The best of {metrics.get('trials_done', 0)} trials is {metrics['best_job']}"
            + (f" with a validation loss of {value:.4f}." if value is not None else ".")
        )
    if figure := headline(metrics):
        rows = f" on {metrics['n']} held-out rows" if metrics.get("n") else ""
        lines.append(f"{figure}{rows}.")
    if metrics.get("verdict_text"):
        lines.append(str(metrics["verdict_text"]))
    for name, label, said in (
        ("memory_gib", "memory", lambda v: f"{v:.2f} GiB"),
        ("duration_s", "time", clock),
    ):
        parts = [
            f"{said(values[name])} {word}"
            for values, word in ((predicted, "predicted"), (measured, "measured"))
            if isinstance(values.get(name), int | float)
        ]
        if parts:
            lines.append(f"{label}: {', '.join(parts)}")
    return lines


def shown(value: Any) -> str:
    """Return a setting's value, numbers short."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return "" if value is None else str(value)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return left-aligned columns."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    )
