"""What saves memory in a step, for the run and its probe alike: one definition of each."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from transformers import TrainerCallback

from tools.history.spec import TrainingSpec

OPTIMISERS = {
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
    "sgd": "sgd",
}
"""Name in a plan → name in transformers."""
_BLOCK = 256
"""Values that share a scale in an 8-bit state. Source: bitsandbytes 0.50, `Optimizer2State`."""


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


class MomentsTakenOver(TrainerCallback):
    """Lets AdamW in 8 bits go on from a checkpoint that was written with whole moments.

    A run that ran out of memory goes on like that; bitsandbytes would not find its state.
    """

    def on_train_begin(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
        """Convert what was loaded, once it is."""
        quantise_moments(getattr(optimizer, "optimizer", optimizer))


def quantise_moments(optimizer: Any) -> None:
    """Turn the moments of torch's AdamW, as loaded, into those of bitsandbytes in their place."""
    if not hasattr(optimizer, "init_state"):
        return
    from bitsandbytes import functional  # noqa: PLC0415 - two seconds that few runs need

    for g, group in enumerate(optimizer.param_groups):
        for i, parameter in enumerate(group["params"]):
            state = optimizer.state.get(parameter, {})
            if "exp_avg" not in state:
                continue
            moments = (state.pop("exp_avg"), state.pop("exp_avg_sq"))
            steps = int(state["step"])
            optimizer.init_state(group, parameter, g, i)
            state["step"] = steps
            for n, moment in enumerate(moments, start=1):
                kept = state[f"state{n}"]
                if kept.dtype == torch.uint8:
                    moment, quantised = functional.quantize_blockwise(
                        moment.float(), code=state[f"qmap{n}"], blocksize=_BLOCK
                    )
                    state[f"absmax{n}"].copy_(quantised.absmax)
                kept.copy_(moment.view_as(kept))
