"""Plots that keep their text readable at any width.

The drawing is an SVG that stretches with its box; every word stands beside it as HTML, so that it
never shrinks on a narrow screen. No script, no fonts, no colours of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ui.web.escape import h

Point = tuple[float, float]
MOST_POINTS = 240


@dataclass(frozen=True)
class Scale:
    """From values to percent of an axis.

    Attributes:
        ticks: Values that are written at the axis.
        log: Equal factors are equally far apart.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """Return where a value lies, from 0 to 100; what is beyond lies at the end."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = (math.log10(max(v, 1e-12)) for v in (value, low, high))
        share = (value - low) / (high - low) if high > low else 0.5
        return 100 * min(1.0, max(0.0, share))


def linear(values: Sequence[float], *, from_zero: bool = False, parts: int = 3) -> Scale:
    """Return a scale with round ends that encloses all of `values`."""
    low, high = min(values), max(values)
    low = min(low, 0.0) if from_zero else low
    rough = max(high - low, abs(high) * 0.1, 1e-9) / parts
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * k for k in (1, 2, 2.5, 5, 10) if unit * k >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = last if last > first else first + 1
    ticks = tuple(step * i for i in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks)


def logarithmic(values: Sequence[float]) -> Scale:
    """Return a scale of equal factors round positive `values`."""
    positive = [v for v in values if v > 0] or [1.0]
    low, high = math.log10(min(positive)), math.log10(max(positive))
    pad = max(0.06, (high - low) * 0.08)
    low, high = low - pad, high + pad
    ticks = [
        k * 10.0**exponent
        for exponent in range(math.floor(low), math.ceil(high) + 1)
        for k in ((1, 2, 5) if high - low < 2 else (1,))
        if low <= math.log10(k * 10.0**exponent) <= high
    ]
    return Scale(10**low, 10**high, tuple(_spread(ticks)), log=True)


def steps_to(last: float) -> Scale:
    """Return the scale of an axis that counts from nothing to its last step."""
    return Scale(0.0, max(last, 1.0), (0.0, max(last, 1.0)))


def short(value: float) -> str:
    """Return a number as short as an axis wants it."""
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:.3g}M"
    if size >= 1e4:
        return f"{value / 1e3:.3g}k"
    if size >= 1000:
        return f"{value:,.0f}"
    if 0 < size < 1e-3:
        mantissa, _, exponent = f"{value:.0e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.3g}"


def thin(series: Sequence[Point]) -> Sequence[Point]:
    """Return at most about `MOST_POINTS` points, the last one always among them."""
    if len(series) <= MOST_POINTS:
        return series
    stride = len(series) / MOST_POINTS
    return [*(series[int(i * stride)] for i in range(MOST_POINTS)), series[-1]]


@dataclass
class Plot:
    """A drawing that grows mark by mark; everything that is written is escaped.

    Attributes:
        words: What the plot shows, for those who do not see it.
        tall: Height of the drawing in pixels.
        x_name: What the horizontal axis counts; written at its last tick.
    """

    x: Scale
    y: Scale
    words: str
    tall: int = 160
    x_name: str = ""
    _marks: list[str] = field(default_factory=list)
    _texts: list[str] = field(default_factory=list)

    def line(self, points: Sequence[Point], css: str, title: str = "") -> None:
        """Draw a line through points."""
        path = " ".join(f"{self.x.at(x):.2f},{100 - self.y.at(y):.2f}" for x, y in thin(points))
        self._marks.append(f'<polyline class="{css}" points="{path}">{_title(title)}</polyline>')

    def dot(self, point: Point, css: str, title: str = "") -> None:
        """Draw a round dot: a line of no length with round ends, which no stretching bends."""
        x, y = self.x.at(point[0]), 100 - self.y.at(point[1])
        self._marks.append(
            f'<path class="dot {css}" d="M{x:.2f} {y:.2f}h0.001">{_title(title)}</path>'
        )

    def bar(self, left: float, right: float, height: float, css: str, title: str = "") -> None:
        """Draw a bar; `left` and `right` are percent of the width."""
        top = 100 - self.y.at(height)
        self._marks.append(
            f'<rect class="{css}" x="{left:.2f}" y="{top:.2f}" width="{right - left:.2f}"'
            f' height="{100 - top:.2f}">{_title(title)}</rect>'
        )

    def area(self, low: Sequence[Point], high: Sequence[Point], css: str) -> None:
        """Fill what lies between two lines."""
        path = " ".join(
            f"{self.x.at(x):.2f},{100 - self.y.at(y):.2f}" for x, y in [*low, *reversed(high)]
        )
        self._marks.append(f'<polygon class="{css}" points="{path}"/>')

    def upright(self, percent: float, css: str, text: str = "") -> None:
        """Draw an upright line at a percentage of the width, with a word at its top."""
        self._marks.append(
            f'<line class="{css}" x1="{percent:.2f}" x2="{percent:.2f}" y1="0" y2="100"/>'
        )
        if text:
            side = "before" if percent > 60 else "after"
            self._texts.append(
                f'<span class="at {side} {css}" style="left:{percent:.2f}%">{h(text)}</span>'
            )

    def x_text(self, percent: float, text: str) -> None:
        """Write something below the axis."""
        self._texts.append(f'<span class="x" style="left:{percent:.2f}%">{h(text)}</span>')

    def html(self, *, y_ticks: bool = True, x_ticks: bool = True) -> str:
        """Return the plot."""
        grid = []
        for value in self.y.ticks:
            top = 100 - self.y.at(value)
            grid.append(f'<line class="axis" x1="0" x2="100" y1="{top:.2f}" y2="{top:.2f}"/>')
            if y_ticks:
                self._texts.append(f'<span class="y" style="top:{top:.2f}%">{short(value)}</span>')
        if x_ticks:
            self._write_x()
        return (
            f'<div class="plot" role="img" aria-label="{h(self.words)}"'
            f' style="height:{self.tall}px"><svg viewBox="0 0 100 100" preserveAspectRatio="none"'
            f' aria-hidden="true">{"".join([*grid, *self._marks])}</svg>'
            f"{''.join(self._texts)}</div>"
        )

    def _write_x(self) -> None:
        last = len(self.x.ticks) - 1
        for index, value in enumerate(self.x.ticks):
            name = f"{self.x_name} " if self.x_name and index == last else ""
            at = self.x.at(value)
            css = "x first" if at < 4 else "x last" if at > 90 else "x"
            self._texts.append(
                f'<span class="{css}" style="left:{at:.2f}%">{h(name)}{short(value)}</span>'
            )


def _title(text: str) -> str:
    return f"<title>{h(text)}</title>" if text else ""


def _spread(ticks: Sequence[float], most: int = 5) -> Sequence[float]:
    """Return every so many ticks, so that they do not crowd."""
    return ticks[:: max(1, math.ceil(len(ticks) / most))]
