"""What this machine has measured before, and how it corrects the next estimate."""

from __future__ import annotations

import math
from typing import Any

from tools.advise.duration import STARTUP_S
from tools.advise.figures import MemoryEstimate
from tools.context import Context

MEMORY = "memory_gib"
DURATION = "duration_s"
_WINDOW = 20
_PRIOR_RUNS = 2.0
"""The arithmetic counts as much as this many measured runs."""


def correction(ctx: Context, quantity: str) -> float:
    """Return by what this machine's estimates are multiplied: measured ÷ arithmetic, drawn to 1.

    What the ledger holds as predicted was corrected already, by what was known then. So the ledger
    is replayed: each run's correction is taken out again before its ratio counts.
    """
    if not ctx.settings.database.exists():
        return 1.0
    logs: list[tuple[float, float]] = []
    factor = 1.0
    for _, predicted, measured in ctx.store.predictions(quantity):
        if predicted > 0 and measured > 0:
            weight = _told(predicted) if quantity == DURATION else 1.0
            logs.append((weight, weight * math.log(measured * factor / predicted)))
            recent = logs[-_WINDOW:]
            weights = sum(weight for weight, _ in recent)
            factor = _held(quantity, math.exp(sum(v for _, v in recent) / (weights + _PRIOR_RUNS)))
    return factor


def _told(predicted_s: float) -> float:
    """Return how much a run tells of the machine's pace: one that is all start-up tells nothing."""
    return max(0.0, 1.0 - STARTUP_S / predicted_s)


def _held(quantity: str, factor: float) -> float:
    """Memory arithmetic is trusted within 15 %; time may be far off on another machine."""
    low, high = (0.85, 1.15) if quantity == MEMORY else (0.1, 10.0)
    return min(max(factor, low), high)


def corrected(memory: MemoryEstimate, factor: float) -> MemoryEstimate:
    """Move an estimate by what this machine measured, within its own band."""
    if factor == 1.0:
        return memory
    return MemoryEstimate(
        low_gib=memory.low_gib * factor,
        expected_gib=memory.expected_gib * factor,
        high_gib=memory.high_gib * max(1.0, factor),
        parts={name: value * factor for name, value in memory.parts.items()},
        basis=f"{memory.basis}, corrected by this machine's own runs",
        device=memory.device,
        host_gib=memory.host_gib,
    )


def record(ctx: Context, quantity: str) -> dict[str, Any]:
    """Return the runs of one quantity, their mean error, and the correction it leads to."""
    rows = ctx.store.predictions(quantity) if ctx.settings.database.exists() else []
    runs = [{"job": job, "predicted": p, "measured": m} for job, p, m in rows]
    errors = [abs(p - m) / m for _, p, m in rows if m > 0]
    return {
        "runs": runs,
        "mean_error": sum(errors) / len(errors) if errors else 0.0,
        "correction": correction(ctx, quantity),
        "unit": "GiB" if quantity == MEMORY else "s",
    }
