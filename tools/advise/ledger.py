"""What this machine has measured before, and how it corrects the next estimate."""

from __future__ import annotations

import math
from typing import Any

from tools.advise.figures import MemoryEstimate
from tools.context import Context

MEMORY = "memory_gib"
DURATION = "duration_s"
_WINDOW = 20
_PRIOR_RUNS = 2.0
"""The arithmetic counts as much as this many measured runs."""


def correction(ctx: Context, quantity: str) -> float:
    """Return measured ÷ predicted of the latest runs: a geometric mean, drawn towards 1."""
    if not ctx.settings.database.exists():
        return 1.0
    ratios = [
        math.log(measured / predicted)
        for _, predicted, measured in ctx.store.predictions(quantity)[-_WINDOW:]
        if predicted > 0 and measured > 0
    ]
    return math.exp(sum(ratios) / (len(ratios) + _PRIOR_RUNS)) if ratios else 1.0


def corrected(memory: MemoryEstimate, factor: float) -> MemoryEstimate:
    """Move an estimate by what this machine measured, within its own band."""
    if factor == 1.0:
        return memory
    held = min(max(factor, 0.85), 1.15)
    return MemoryEstimate(
        low_gib=memory.low_gib * held,
        expected_gib=memory.expected_gib * held,
        high_gib=memory.high_gib * max(1.0, held),
        parts={name: value * held for name, value in memory.parts.items()},
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
