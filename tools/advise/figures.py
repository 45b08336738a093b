"""Small frozen values that estimates and plans are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["fits", "tight", "does not fit"]

GIB = 2**30


@dataclass(frozen=True)
class Range:
    """A figure that is not exactly known: low, expected, high, in one unit, and its basis."""

    low: float
    expected: float
    high: float
    basis: str = ""

    def scaled(self, factor: float, basis: str | None = None) -> Range:
        """Return the range times a factor."""
        return Range(
            self.low * factor,
            self.expected * factor,
            self.high * factor,
            self.basis if basis is None else basis,
        )


@dataclass(frozen=True)
class Reason:
    """Why something was chosen: the choice, the reason in a sentence, and where it comes from."""

    choice: str
    reason: str
    source: str


@dataclass(frozen=True)
class MemoryEstimate:
    """Peak memory of a training process on one device, in GiB.

    Attributes:
        parts: Name → GiB at the expected peak: `weights`, `adapter`, `gradients`, `optimizer`,
            `activations`, `logits`, `framework`, … They add up to `expected_gib`.
        basis: What the figure rests on, in words.
        device: Where the memory is: `cpu` (the process's resident size) or `cuda` (one GPU).
        host_gib: Expected resident size beside the GPU; 0 where the device is the CPU.
    """

    low_gib: float
    expected_gib: float
    high_gib: float
    parts: dict[str, float] = field(default_factory=dict)
    basis: str = ""
    device: Literal["cpu", "cuda"] = "cpu"
    host_gib: float = 0.0

    def verdict(self, available_gib: float) -> Verdict:
        """Compare the high end with what is there; `tight` where less than 10 % stays free."""
        if self.high_gib > available_gib:
            return "does not fit"
        return "tight" if self.high_gib > 0.9 * available_gib else "fits"

    def as_dict(self) -> dict[str, object]:
        """Return `{low, expected, high, parts}` rounded for people."""
        return {
            "low": round(self.low_gib, 2),
            "expected": round(self.expected_gib, 2),
            "high": round(self.high_gib, 2),
            "parts": {name: round(value, 3) for name, value in self.parts.items()},
        }
