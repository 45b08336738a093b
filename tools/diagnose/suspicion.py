"""The unit that rules speak in: a suspected cause with what speaks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tools.diagnose.report import Code, Evidence


@dataclass(frozen=True)
class Suspicion:
    """A cause that a rule suspects.

    Attributes:
        confidence: 0..1; from `report.SICK_FROM` on the run is called sick.
    """

    code: Code
    confidence: float
    evidence: tuple[Evidence, ...]


def suspect(
    code: Code,
    confidence: float,
    text: str,
    *,
    steps: Sequence[int] = (),
    quote: str = "",
    figures: Mapping[str, float] | None = None,
    **numbers: float | None,
) -> Suspicion:
    """Return a suspicion with one piece of evidence."""
    known = {
        name: round(float(v), 6)
        for name, v in {**(figures or {}), **numbers}.items()
        if v is not None
    }
    item = Evidence(text=text, numbers=known, steps=tuple(steps), quote=quote[:300])
    return Suspicion(code, max(0.0, min(0.99, confidence)), (item,))


def ramp(value: float, low: float, high: float, least: float = 0.5, most: float = 0.95) -> float:
    """Return a confidence that grows from `least` at `low` to `most` at `high`."""
    share = (value - low) / (high - low)
    return least + max(0.0, min(1.0, share)) * (most - least)
