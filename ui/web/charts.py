"""Small charts as inline SVG: no script, no fonts of their own, colours from the page."""

from __future__ import annotations

from collections.abc import Sequence

from ui.web.escape import h, shorten
from ui.web.plot import Plot, Point, linear, steps_to, thin


def loss_curve(
    train: Sequence[Point],
    validation: Sequence[Point],
    *,
    total_steps: float | None = None,
    tall: int = 130,
) -> str:
    """Return training and validation loss over steps; the axis ends at the planned last step."""
    points = [*train, *validation]
    if not points:
        return ""
    last = max(total_steps or 0, *(x for x, _ in points))
    words = _curve_in_words(train, validation)
    plot = Plot(steps_to(last), linear([y for _, y in points]), words, tall=tall, x_name="step")
    if train:
        plot.line(train, "train")
    if validation:
        plot.line(validation, "validation")
        for x, y in thin(validation):
            plot.dot((x, y), "validation", f"step {x:,.0f}: validation loss {y:.4g}")
    return plot.html()


def bars(counts: Sequence[tuple[str, int]], *, most: int = 12) -> str:
    """Return horizontal bars, largest first, with count and share; the rest in one line."""
    if not counts:
        return ""
    total, top = sum(n for _, n in counts) or 1, max(n for _, n in counts) or 1
    rows = [
        f'<tr><th scope="row">{h(shorten(name, 40))}</th>'
        f'<td class="track"><i style="width:{100 * n / top:.1f}%"></i></td>'
        f'<td class="num">{n:,}</td><td class="num quiet">{100 * n / total:.0f} %</td></tr>'
        for name, n in counts[:most]
    ]
    if len(counts) > most:
        rest = counts[most:]
        rows.append(
            f'<tr><th scope="row" class="quiet">{len(rest)} more</th><td></td>'
            f'<td class="num quiet">{sum(n for _, n in rest):,}</td><td></td></tr>'
        )
    return f'<table class="bars"><tbody>{"".join(rows)}</tbody></table>'


def length_scale(marks: Sequence[tuple[str, float]], *, width: int = 420) -> str:
    """Return named lengths (p50, p95, p99, max) on one scale from 0 to the longest."""
    longest = max((value for _, value in marks), default=0)
    if not longest:
        return ""
    left, right = 4, width - 4
    parts, free_from = [], 0.0
    for name, value in marks:
        x = left + (right - left) * value / longest
        label = f"{name} {value:,.0f}"
        wide = 7.2 * len(label)
        start = max(free_from, min(x - wide / 2, right - wide))
        row = 62 if start + wide > right + 1 else 46
        start = min(start, right - wide)
        free_from = start + wide + 10 if row == 46 else free_from
        parts.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="28"/>'
            f'<text x="{start:.1f}" y="{row}">{h(label)}</text>'
        )
    middle = next((value for name, value in marks if name == "p95"), longest)
    return (
        f'<svg class="lengths" viewBox="0 0 {width} 66" role="img" aria-label="Row lengths">'
        f'<rect class="all" x="{left}" y="12" width="{right - left}" height="10" rx="5"/>'
        f'<rect class="most" x="{left}" y="12" width="{(right - left) * middle / longest:.1f}"'
        f' height="10" rx="5"/>{"".join(parts)}</svg>'
    )


def against_base(
    base: tuple[float, float, float] | None, tuned: tuple[float, float, float] | None
) -> str:
    """Return two intervals (value, low, high) on a scale from 0 to 1, base above tuned."""
    rows = []
    for y, name, values in ((14, "base", base), (38, "tuned", tuned)):
        if values is None:
            continue
        value, low, high = (min(1.0, max(0.0, v)) for v in values)
        left, right, dot = (52 + 226 * v for v in (low, high, value))
        rows.append(
            f'<g class="{name}"><text x="0" y="{y + 5}">{name}</text>'
            f'<line class="span" x1="{left:.1f}" x2="{right:.1f}" y1="{y}" y2="{y}"/>'
            f'<circle cx="{dot:.1f}" cy="{y}" r="4.5"/></g>'
        )
    axis = (
        '<line class="axis" x1="52" x2="278" y1="54" y2="54"/><text x="52" y="70">0</text>'
        '<text x="278" y="70" text-anchor="end">1</text>'
    )
    return (
        '<svg class="against" viewBox="0 0 288 74" role="img"'
        f' aria-label="Base and tuned with their intervals">{"".join(rows)}{axis}</svg>'
    )


def against_half(value: float, low: float, high: float) -> str:
    """Return a share with its interval on a scale from all base to all tuned; half is no choice."""
    left, right, dot = (8 + 272 * min(1.0, max(0.0, v)) for v in (low, high, value))
    return (
        '<svg class="against" viewBox="0 0 288 52" role="img"'
        f' aria-label="Share for the tuned model: {value:.2f}">'
        '<line class="axis" x1="8" x2="280" y1="14" y2="14"/>'
        '<line class="half" x1="144" x2="144" y1="4" y2="26"/><g class="tuned">'
        f'<line class="span" x1="{left:.1f}" x2="{right:.1f}" y1="14" y2="14"/>'
        f'<circle cx="{dot:.1f}" cy="14" r="5"/></g><text x="8" y="46">all base</text>'
        '<text x="144" y="46" text-anchor="middle">half</text>'
        '<text x="280" y="46" text-anchor="end">all tuned</text></svg>'
    )


def _curve_in_words(train: Sequence[Point], validation: Sequence[Point]) -> str:
    parts = []
    for name, series in (("Training", train), ("Validation", validation)):
        if series:
            parts.append(f"{name} loss from {series[0][1]:.3g} to {series[-1][1]:.3g}")
    return ". ".join(parts) + "."
