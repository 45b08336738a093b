"""Several processes for one run: how each engine is configured and checked.

FSDP needs GPUs: on a CPU accelerate silently falls back to DDP, so that it is refused there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed

from tools.advise.spreading import INSTALL_DEEPSPEED, lacks_deepspeed
from tools.errors import Refused, Unavailable
from tools.history.spec import TrainingSpec

_STAGES = {"zero1": 1, "zero2": 2, "zero3": 3}


def is_spread(spec: TrainingSpec) -> bool:
    """Tell whether a run needs a launcher: several processes, or an engine made for them."""
    return spec.engine != "single" or spec.processes * spec.nodes > 1


def world_size(spec: TrainingSpec) -> int:
    """Return how many processes train together, on all machines."""
    return spec.processes * spec.nodes


def cuts_weights(spec: TrainingSpec) -> bool:
    """Tell whether each process holds only a part of the weights."""
    return spec.engine in ("zero3", "fsdp")


def agree(*signs: bool) -> tuple[bool, ...]:
    """Return each sign as soon as any process of the run sees it, so that all act alike."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return signs
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    seen = torch.tensor([int(sign) for sign in signs], device=device)
    distributed.all_reduce(seen, op=distributed.ReduceOp.MAX)
    return tuple(bool(sign) for sign in seen.tolist())


def added(value: float) -> float:
    """Return the sum of a value over the processes of the run. All ranks must call it."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    total = torch.tensor(value, device=device)
    distributed.all_reduce(total)
    return float(total)


def whole_weights(trainer: Any) -> dict[str, torch.Tensor] | None:
    """Return all weights where processes hold parts of them, else None. All ranks must call it."""
    stage = getattr(trainer.accelerator.state, "deepspeed_plugin", None)
    cut = trainer.is_deepspeed_enabled and stage is not None and stage.zero_stage == 3
    if not (cut or trainer.is_fsdp_enabled):
        return None
    state: dict[str, torch.Tensor] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    return state


def trainer_options(spec: TrainingSpec) -> dict[str, Any]:
    """Return what transformers' TrainingArguments need for the engine of a run."""
    if spec.engine in _STAGES:
        return {"deepspeed": deepspeed_config(spec)}
    if spec.engine == "fsdp":
        return {"fsdp": True, "fsdp_config": fsdp_config(spec)}
    if is_spread(spec):
        backend = "gloo" if spec.device == "cpu" else None
        return {"ddp_backend": backend, "ddp_find_unused_parameters": False}
    return {}


def deepspeed_config(spec: TrainingSpec) -> dict[str, Any]:
    """Return DeepSpeed's configuration. "auto" takes the trainer's own value.

    The optimiser is torch's, so that nothing has to be compiled for it (`zero_force_…`).
    """
    zero: dict[str, Any] = {"stage": _STAGES[spec.engine], "overlap_comm": spec.device != "cpu"}
    if spec.offload != "none":
        zero["offload_optimizer"] = {"device": "cpu"}
    if spec.offload == "parameters" and spec.engine == "zero3":
        zero["offload_param"] = {"device": "cpu"}
    if spec.engine == "zero3":
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    return {
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": spec.precision == "bfloat16"},
        "fp16": {"enabled": spec.precision == "float16"},
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "steps_per_print": 1_000_000,
    }


def fsdp_config(spec: TrainingSpec) -> dict[str, Any]:
    """Return accelerate's configuration of fully sharded data parallelism, version 2."""
    return {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "state_dict_type": "FULL_STATE_DICT",
        "cpu_offload": spec.offload != "none",
        "reshard_after_forward": True,
        "activation_checkpointing": spec.gradient_checkpointing,
    }


def check_engine(spec: TrainingSpec) -> None:
    """Refuse an engine that cannot run here, before anything is loaded.

    Raises:
        Unavailable: DeepSpeed is not installed.
        Refused: FSDP without a GPU, or a quantised base that an engine would have to cut up.
    """
    missing = lacks_deepspeed(spec.engine)
    if missing:
        raise Unavailable(missing, hint=INSTALL_DEEPSPEED)
    if spec.engine == "fsdp" and spec.device == "cpu":
        raise Refused(
            "FSDP shards over GPUs; on a CPU accelerate would quietly run plain DDP instead.",
            hint="Use ddp or zero3 on this machine.",
            refused_by="preflight",
        )


def check_started(spec: TrainingSpec, accelerator: Any) -> None:
    """Refuse a run whose processes did not come together as planned.

    Exit code and loss show nothing of it: each process would train by itself.

    Raises:
        Refused: The world is smaller, or the engine another, than the plan says.
    """
    kind = str(getattr(accelerator.distributed_type, "value", accelerator.distributed_type))
    wanted = {"fsdp": "FSDP"} | dict.fromkeys(_STAGES, "DEEPSPEED")
    expected = wanted.get(spec.engine, "MULTI_")
    if accelerator.num_processes != world_size(spec) or (
        world_size(spec) > 1 and not kind.startswith(expected)
    ):
        raise Refused(
            f"{world_size(spec)} processes with {spec.engine} were planned, but "
            f"{accelerator.num_processes} came up as {kind}.",
            hint="Look into the job's log; use the engine `single` meanwhile.",
            refused_by="preflight",
        )
