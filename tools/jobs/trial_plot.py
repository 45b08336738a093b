"""The trials of a search as a drawing: validation loss against what was varied. Pure SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

_WIDTH, _HEIGHT, _LEFT, _TOP = 640, 300, 64, 28
_COLOURS = {"finished": "#1f6f8b", "stopped early": "#b8b8b8", "best": "#c0392b"}


def draw(trials: Sequence[dict[str, Any]], *, best: str | None = None, axis: str = "") -> str:
    """Return an SVG: one dot a trial, its loss upwards, the varied value or its number sideways.

    Args:
        trials: Rows of `trial_rows`.
        best: Id of the best trial's job, drawn apart.
        axis: Varied value on the lower axis, such as `learning_rate`; its number where empty.
    """
    points = [t for t in trials if isinstance(t.get("value"), int | float)]
    if not points:
        return _frame([_text(_WIDTH / 2, _HEIGHT / 2, "No trial has a result yet.", "middle")])
    across = [_across(t, axis) for t in points]
    up = [float(t["value"]) for t in points]
    x_of, y_of = _scale(across, _LEFT, _WIDTH - 24), _scale(up, _HEIGHT - 48, _TOP)
    parts = [
        _text(_LEFT, 16, "validation loss of each trial", "start"),
        _text(_WIDTH / 2, _HEIGHT - 8, axis.replace("_", " ") or "trial", "middle"),
        *(_text(_LEFT - 8, y_of(v) + 4, f"{v:.3g}", "end") for v in sorted({min(up), max(up)})),
        *(
            _text(x_of(v), _HEIGHT - 28, _label(v, axis), "middle")
            for v in sorted({min(across), max(across)})
        ),
    ]
    for trial, x, y in zip(points, across, up, strict=True):
        kind = "best" if trial["job"] == best else str(trial["state"])
        values = ", ".join(f"{k} {_shown(v)}" for k, v in trial.get("values", {}).items())
        parts.append(
            f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="{6 if kind == "best" else 4}" '
            f'fill="{_COLOURS.get(kind, "#b8b8b8")}"><title>{escape(str(trial["job"]))}: '
            f"{y:.4g} ({escape(values)})</title></circle>"
        )
    return _frame(parts)


def _across(trial: dict[str, Any], axis: str) -> float:
    value = trial.get("values", {}).get(axis) if axis else trial["number"]
    if not isinstance(value, int | float):
        return float(trial["number"])
    return math.log10(value) if _is_log(axis) and value > 0 else float(value)


def _is_log(axis: str) -> bool:
    return axis == "learning_rate"


def _label(value: float, axis: str) -> str:
    return f"{10**value:.1e}" if _is_log(axis) else f"{value:g}"


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _scale(values: Sequence[float], start: float, end: float) -> Any:
    low, high = min(values), max(values)
    if low == high:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _frame(parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#444">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )
