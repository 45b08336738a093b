"""How long a training will take: arithmetic over the model's size and the machine's speed."""

from __future__ import annotations

from dataclasses import dataclass

from tools.advise.architecture import Shape
from tools.advise.calibration import TRAINING_SHARE
from tools.advise.cards import card_of
from tools.advise.figures import Range
from tools.advise.hardware import Machine

_TFLOPS_BY_GIB = ((70, 300.0), (36, 150.0), (20, 100.0), (12, 60.0), (0, 30.0))
"""Dense 16-bit TFLOP/s of a card that is known by its memory alone: typical of its size."""
_GPU_USE = 0.35
"""Share of the peak that tuning reaches. Basis: 2,400 tokens/s for LoRA on a 7B model (A100)."""
_CPU_GFLOPS_PER_CORE = 45.0
_CPU_LAYER_S = 0.006
"""Fixed cost of one layer in one step on a CPU: launching operations, not arithmetic."""
_DEARER = {
    "cuda": {"qlora": 1.4, "dora": 1.26},
    "cpu": {"qlora": 2.5, "dora": 1.9, "full": 0.7},
}
"""Times of a step over what its arithmetic says. On a processor full tuning has no small products,
and DoRA norms every matrix in every step (measured in CPU seconds on 3M to 60M parameters)."""
STARTUP_S = 14.0
"""Importing the training libraries, loading a small model, tokenising a small file."""


@dataclass(frozen=True)
class Run:
    """The work of one training run.

    Attributes:
        tokens: Tokens read over the whole run, padding included.
        micro_steps: Forward and backward passes.
        eval_tokens: Tokens read by evaluations and the final verdict.
        trained_share: Share of the tokens that go through the head.
    """

    shape: Shape
    method: str
    tokens: float
    micro_steps: int
    eval_tokens: float
    checkpointing: bool
    device: str
    trained_share: float = 1.0

    @property
    def parameters(self) -> float:
        """Parameters that a token is multiplied with: embeddings are only looked up."""
        body = self.shape.active_parameters - self.shape.embedding_parameters
        return body + self.trained_share * self.shape.vocab * self.shape.hidden


def estimate_duration(run: Run, machine: Machine, *, correction: float = 1.0) -> Range:
    """Return seconds from start to verdict.

    Floating-point operations: 2 per parameter and token forward, 2 backward through frozen
    weights, 4 where the weights are trained, 2 more where checkpointing repeats the forward pass
    (Kaplan et al., arXiv 2001.08361, §2.1).
    """
    per_token = 6 if run.method == "full" else 4
    per_token += 2 if run.checkpointing else 0
    flops = run.parameters * (per_token * run.tokens + 2 * run.eval_tokens)
    if run.device == "cuda":
        speed = gpu_tflops(machine) * 1e12 * _GPU_USE
        fixed = 0.04 * run.micro_steps
        basis = "arithmetic over the card's published speed"
    else:
        speed = machine.cores * _CPU_GFLOPS_PER_CORE * 1e9
        basis = "arithmetic over a typical CPU core's speed"
        if machine.gflops:
            speed = machine.gflops * TRAINING_SHARE * 1e9
            basis = "arithmetic over this processor's measured speed"
        fixed = _CPU_LAYER_S * run.shape.layers * run.micro_steps
    dearer = _DEARER[run.device].get(run.method, 1.0)
    seconds = correction * (dearer * (flops / speed + fixed)) + STARTUP_S
    low, high = 0.5, 2.2
    if correction != 1.0:
        basis, low, high = "this machine's own past runs", 0.7, 1.5
    if machine.crowd > 1:
        high *= machine.crowd
        basis += f"; the machine is busy now, up to {machine.crowd:.1f} times slower if it stays so"
    return Range(low * seconds, seconds, high * seconds, basis)


def gpu_tflops(machine: Machine) -> float:
    """Return the published 16-bit speed of the machine's first card, or a cautious guess."""
    card = card_of(machine.gpus[0].name) if machine.gpus else None
    if card:
        return card.tflops
    size = machine.gpus[0].memory_gib if machine.gpus else 0.0
    return next(speed for least, speed in _TFLOPS_BY_GIB if size >= least)
