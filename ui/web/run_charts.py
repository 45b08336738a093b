"""What a run measures while it lives, as small plots on one axis of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ui.web.charts import loss_curve
from ui.web.escape import h
from ui.web.live import Life
from ui.web.plot import Plot, Point, linear, short, steps_to
from ui.web.words import gib, percent

_GAUGES: dict[str, tuple[str, Callable[[float], str]]] = {
    "learning_rate": ("learning rate", short),
    "grad_norm": ("gradient norm", short),
    "tokens_per_s": ("speed", lambda value: f"{value:,.0f} tokens/s"),
    "memory_gib": ("memory", gib),
    "gpu_utilization": ("GPU use", percent),
}
LEGEND = (
    '<p class="keys"><span><i class="train"></i>train</span>'
    '<span><i class="validation"></i>validation</span></p>'
)


def run_charts(life: Life) -> str:
    """Return the loss large, everything else small beside it; nothing where nothing is measured."""
    curve = loss_curve(life.train, life.validation, total_steps=life.total_steps, tall=220)
    if not curve:
        return ""
    last = max([life.total_steps or 0, *(x for points in life.gauges.values() for x, _ in points)])
    small = "".join(
        _gauge(name, life.gauges[name], last) for name in _GAUGES if life.gauges.get(name)
    )
    now = _now(life.train, life.validation)
    return (
        f'<section class="card charts" aria-label="Curves"><header class="spread"><h3>Loss</h3>'
        f'<span class="num quiet">{h(now)}</span></header>{curve}{LEGEND}'
        f'<div class="gauges">{small}</div></section>'
    )


def _gauge(name: str, points: Sequence[Point], last: float) -> str:
    title, shown = _GAUGES[name]
    values = [value for _, value in points]
    words = f"{title}: from {shown(values[0])} to {shown(values[-1])}."
    zero = name in ("tokens_per_s", "memory_gib")
    plot = Plot(steps_to(last), linear(values, from_zero=zero, parts=2), words, tall=84)
    plot.line(points, "gauge")
    return (
        f'<figure><figcaption><span>{h(title)}</span><b class="num">{h(shown(values[-1]))}</b>'
        f"</figcaption>{plot.html(x_ticks=False)}</figure>"
    )


def _now(train: Sequence[Point], validation: Sequence[Point]) -> str:
    parts = []
    if train:
        parts.append(f"train {train[-1][1]:.3g}")
    if validation:
        best = min(validation, key=lambda point: point[1])
        parts.append(f"validation {validation[-1][1]:.3g}")
        if best != validation[-1]:
            parts.append(f"best {best[1]:.3g} at step {best[0]:,.0f}")
    return ", ".join(parts)
