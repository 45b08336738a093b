"""Training programs: how each spends memory beyond what the model's shape says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How a training program spends memory beyond what the model's shape says.

    Attributes:
        fixed_gib: CUDA context, workspaces, kernels, the allocator's reserve.
        logit_bytes: Bytes for each logit of the loss at the peak, gradient included.
        quantised_state_bytes: More bytes for each trained weight beside a quantised base: DeepSpeed
            in one process keeps flat float32 copies, their gradients and its buckets.
        float32_masters: Full tuning at 16 bits keeps float32 weights and computes with copies.
        counted: What its layers keep is counted tensor by tensor.
        raises: Beside a 4-bit base all else is raised to float32, as PEFT prepares it.
        low, high: The band as factors of the expected peak.
        step_bytes: Bytes for each trained 16-bit weight that the optimiser needs while it steps.
    """

    fixed_gib: float
    logit_bytes: float
    quantised_state_bytes: float = 0.0
    float32_masters: bool = False
    step_bytes: float = 2.0
    counted: bool = False
    raises: bool = True
    low: float = 0.8
    high: float = 1.25


EXACT_LOGIT = 12.0
"""Bytes for each logit: in float32, its log-probability and its gradient, as traced exactly."""
RECIPES: dict[str, Recipe] = {
    # The context and the reserve of 23 runs on one H200: tests/benchmarks/gpu_peaks.py.
    "luthier": Recipe(
        1.2,
        EXACT_LOGIT,
        float32_masters=True,
        step_bytes=0.0,
        counted=True,
        raises=False,
        low=0.87,
        high=1.18,
    ),
    # Fitted on the first half of published measurements: tests/benchmarks/gpu_memory.py.
    "transformers+peft": Recipe(2.5, 10.0, 8.0),
    "ms-swift": Recipe(1.25, 40.0, 24.0),
}
