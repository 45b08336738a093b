"""What saves memory in a step, for the run and its probe alike: one definition of each."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from tools.history.spec import TrainingSpec

OPTIMISERS = {
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
    "sgd": "sgd",
}
"""Name in a plan → name in transformers."""


def offloading(spec: TrainingSpec) -> AbstractContextManager[Any]:
    """Return what a forward pass runs in: activations wait in the machine's memory if wished."""
    if not spec.activation_offload:
        return nullcontext()
    return torch.autograd.graph.save_on_cpu(pin_memory=spec.device == "cuda")


def optimiser_of(spec: TrainingSpec, trained: list[Any]) -> torch.optim.Optimizer:
    """Return the optimiser that the plan names, as the trainer would make it."""
    options: dict[str, Any] = {"lr": spec.learning_rate, "weight_decay": spec.weight_decay}
    if spec.optimizer in ("adamw_8bit", "paged_adamw_8bit"):
        from bitsandbytes import optim  # noqa: PLC0415 - two seconds that few runs need

        paged = spec.optimizer == "paged_adamw_8bit" and spec.device == "cuda"
        return (
            optim.PagedAdamW8bit(trained, **options)
            if paged
            else optim.AdamW8bit(trained, **options)
        )
    if spec.optimizer == "adafactor":
        from transformers.optimization import Adafactor  # noqa: PLC0415 - few runs need it

        return Adafactor(trained, scale_parameter=False, relative_step=False, **options)
    if spec.optimizer == "sgd":
        return torch.optim.SGD(trained, **options)
    # Fused: the other forms keep whole copies of what they update while they step.
    return torch.optim.AdamW(trained, fused=True, **options)
