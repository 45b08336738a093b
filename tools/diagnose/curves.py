"""Arithmetic on a curve of losses, robust against noise. No judgement is made here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median


@dataclass(frozen=True)
class Curve:
    """Values by growing step."""

    steps: tuple[int, ...]
    values: tuple[float, ...]

    def __bool__(self) -> bool:
        return bool(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def first(self) -> float:
        """Value at the start: the median of the first few, at most 5 % of the curve."""
        return median(self.values[: max(1, min(5, len(self) // 20))])

    @property
    def last(self) -> float:
        """Value at the end: the mean of the last tenth."""
        return fmean(self.values[-max(1, len(self) // 10) :])

    @property
    def lowest(self) -> float:
        """Lowest value of the smoothed curve."""
        return min(self.smooth().values)

    @property
    def lowest_step(self) -> int:
        """Step of the lowest value."""
        return self.steps[self.values.index(min(self.values))]

    @property
    def highest(self) -> float:
        """Highest value."""
        return max(self.values)

    @property
    def highest_step(self) -> int:
        """Step of the highest value."""
        return self.steps[self.values.index(max(self.values))]

    def smooth(self, parts: int = 20) -> Curve:
        """Return means over windows, about `parts` of them."""
        size = max(1, len(self) // parts)
        if size == 1:
            return self
        starts = range(0, len(self) - size + 1, size)
        return Curve(
            tuple(self.steps[min(i + size, len(self)) - 1] for i in starts),
            tuple(fmean(self.values[i : i + size]) for i in starts),
        )

    def calm(self) -> Curve:
        """Return means over windows of four points at least, so that noise makes no extremes."""
        return self.smooth(max(3, min(20, len(self) // 4)))

    def part(self, low: float, high: float) -> Curve:
        """Return the part between two shares of the curve, one point at least."""
        start = min(int(low * len(self)), len(self) - 1)
        end = max(start + 1, round(high * len(self)))
        return Curve(self.steps[start:end], self.values[start:end])

    @property
    def mean(self) -> float:
        """Mean of the values."""
        return fmean(self.values)

    @property
    def fall(self) -> float:
        """Share of the first value that is gone at the end; negative where it rose."""
        return (self.first - self.last) / max(abs(self.first), 1e-9)

    @property
    def half_way(self) -> float:
        """Share of the whole fall that was done after half the steps; 1 where nothing fell."""
        whole = self.first - self.last
        if whole <= 0:
            return 1.0
        middle = self.part(0.42, 0.58).mean if len(self) >= 25 else self._middle()
        return max(0.0, min(1.0, (self.first - middle) / whole))

    def _middle(self) -> float:
        """Value at the middle step, between the two measurements around it."""
        middle = (self.steps[0] + self.steps[-1]) / 2
        after = next(i for i, step in enumerate(self.steps) if step >= middle)
        if after == 0 or self.steps[after] == middle:
            return self.values[after]
        (low, high), (a, b) = self.steps[after - 1 : after + 1], self.values[after - 1 : after + 1]
        return a + (b - a) * (middle - low) / (high - low)

    @cached_property
    def noise(self) -> float:
        """Spread of the second half around its own trend, relative to its mean."""
        half = self.part(0.5, 1.0)
        if len(half) < 4:
            return 0.0
        differences = [b - a for a, b in zip(half.values, half.values[1:], strict=False)]
        middle = fmean(differences)
        spread = fmean([(d - middle) ** 2 for d in differences]) ** 0.5
        return float(spread / 2**0.5 / max(abs(half.mean), 1e-9))

    @property
    def wobble(self) -> float:
        """The same spread in the curve's own unit."""
        return self.noise * abs(self.part(0.5, 1.0).mean)

    @property
    def rise_after_lowest(self) -> float:
        """How much higher the end is than the lowest point, as a share of that point."""
        low = min(self.values)
        return (self.last_value - low) / max(abs(low), 0.05)

    @property
    def last_value(self) -> float:
        """The last value itself."""
        return self.values[-1]

    @property
    def points_after_lowest(self) -> int:
        """Measurements after the lowest one."""
        return len(self) - 1 - self.values.index(min(self.values))

    def trend(self) -> tuple[float, float]:
        """Return the least-squares growth from first to last step, and the correlation."""
        if len(self) < 3:
            return 0.0, 0.0
        mean_x, mean_y = fmean(self.steps), fmean(self.values)
        xx = sum((x - mean_x) ** 2 for x in self.steps)
        yy = sum((y - mean_y) ** 2 for y in self.values)
        xy = sum((x - mean_x) * (y - mean_y) for x, y in zip(self.steps, self.values, strict=True))
        if not xx or not yy:
            return 0.0, 0.0
        return xy / xx * (self.steps[-1] - self.steps[0]), xy / (xx * yy) ** 0.5

    def thinned(self, most: int = 200) -> tuple[tuple[int, float], ...]:
        """Return `(step, value)` pairs for a plot."""
        every = max(1, -(-len(self) // most))
        pairs = [(s, round(v, 5)) for s, v in zip(self.steps, self.values, strict=True)]
        kept = pairs[::every]
        return tuple(kept if not pairs or kept[-1] == pairs[-1] else [*kept, pairs[-1]])
