"""What a recommendation is: ranked plans, what was rejected, what was cited."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tools.advise.figures import MemoryEstimate, Range, Reason, Verdict
from tools.advise.matrix import Scenario
from tools.advise.models import ModelInfo


@dataclass(frozen=True)
class RankedPlan:
    """One feasible way, complete enough to run; `why_not` says why it does not come first."""

    model: ModelInfo
    method: str
    engine: str
    spec: dict[str, Any]
    memory: MemoryEstimate
    available_gib: float
    duration: Range
    why: tuple[Reason, ...]
    score: float
    would_change: tuple[str, ...] = ()
    why_not: str = ""

    @property
    def verdict(self) -> Verdict:
        """Whether it fits comfortably."""
        return self.memory.verdict(self.available_gib)


@dataclass(frozen=True)
class Rejected:
    """What was looked at and not proposed, with the reason."""

    what: str
    reason: str
    source: str


@dataclass
class Recommendation:
    """Plans in order, what was rejected, the matrix rows cited, and plain notes.

    Attributes:
        nearest: Where what was asked for fits in no way: the nearest that does, with another model.
    """

    plans: list[RankedPlan] = field(default_factory=list)
    nearest: list[RankedPlan] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    matrix: list[Scenario] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
