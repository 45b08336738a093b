"""Several processes for one run: how each engine is configured, launched and checked.

The worker starts `torch.distributed.run`, which starts one `tools.work.rank` a process; the first
of them tells events. `accelerate launch --cpu` is not used: it silently runs one process. FSDP
needs GPUs: on a CPU accelerate silently falls back to DDP, so that it is refused there instead.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import psutil
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import distributed

from tools.errors import Conflict, Refused, ToolError, Unavailable
from tools.history.spec import TrainingSpec
from tools.jobs.ending import CANCEL_FILE
from tools.settings import Settings
from tools.work.ladder import OutOfMemory
from tools.work.report import Cancelled, Job

RANK_FILE = "rank-{rank}.json"
_LOOK_EVERY_S = 0.2
_STOPS_WITHIN_S = 60.0
_STAGES = {"zero1": 1, "zero2": 2, "zero3": 3}


class RankEnding(BaseModel):
    """How the work of one rank ended; what the first one measured.

    Attributes:
        error: `{code, message, hint, refused_by}`.
        available_gib: Memory there was, where it ran out.
        facts: What the monitor knew at the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Literal["done", "failed", "out_of_memory", "cancelled"]
    error: dict[str, Any] | None = None
    available_gib: float | None = None
    facts: dict[str, Any] = Field(default_factory=dict)


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
    if spec.engine in _STAGES and find_spec("deepspeed") is None:
        raise Unavailable(
            f"The engine {spec.engine} needs DeepSpeed, which is not installed.",
            hint="Install it with `DS_BUILD_OPS=0 pip install 'luthier[deepspeed]'`, or use ddp.",
        )
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


def launch_command(settings: Settings, spec: TrainingSpec, job_id: str) -> list[str]:
    """Return the command that starts this machine's ranks; the same on every machine of the run.

    Raises:
        Refused: Several machines, and no address where they find each other.
    """
    command = [
        sys.executable, "-P", "-m", "torch.distributed.run",
        "--nproc-per-node", str(spec.processes), "--nnodes", str(spec.nodes),
    ]  # fmt: skip
    if spec.nodes == 1:
        command += ["--standalone"]
    elif settings.rendezvous is None:
        raise Refused(
            f"{spec.nodes} machines are to train together, but none is named as their meeting "
            "point.",
            hint="Set LUTHIER_RENDEZVOUS to HOST:PORT of the first machine on all of them.",
            refused_by="preflight",
        )
    else:
        command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", settings.rendezvous]
        command += ["--rdzv-id", job_id]
    return [*command, "-m", "tools.work.rank", job_id]


def run_ranks(job: Job, spec: TrainingSpec) -> dict[str, Any]:
    """Train with several processes and return what the first one measured.

    Raises:
        OutOfMemory: One of them ran out of memory.
        Cancelled: The person asked to stop.
        ToolError: A gate of one of them said no.
    """
    check_engine(spec)
    for old in job.folder.glob(RANK_FILE.format(rank="*")):
        old.unlink()
    command = launch_command(job.settings, spec, job.id)
    if spec.nodes > 1:
        others = " ".join(["python", *command[1:]])
        job.phase("meet", note=f"waits for {spec.nodes - 1} more machines that run: {others}")
    job.flush()
    process = subprocess.Popen(
        command, cwd=job.folder, env=_environment(job.settings, spec), stdin=subprocess.DEVNULL
    )
    try:
        _wait(job, process)
    finally:
        _end_family(process)
    return _read(job, process.returncode)


def rank_ending(error: BaseException) -> RankEnding:
    """Return what a rank writes of the error that ended it."""
    if isinstance(error, Cancelled):
        return RankEnding(state="cancelled")
    if isinstance(error, OutOfMemory):
        return RankEnding(
            state="out_of_memory", error=error.as_dict(), available_gib=error.available_gib
        )
    if isinstance(error, ToolError):
        return RankEnding(state="failed", error=error.as_dict())
    return RankEnding(state="failed")


def _environment(settings: Settings, spec: TrainingSpec) -> dict[str, str]:
    threads = settings.worker_threads or max(1, (os.cpu_count() or 1) // spec.processes)
    return settings.worker_environment() | {
        # Each rank with all cores would stall the others.
        "OMP_NUM_THREADS": str(threads),
        "LUTHIER_WORKER_THREADS": str(threads),
        "TORCH_EXTENSIONS_DIR": str(settings.home / "cache" / "torch_extensions"),
        "DS_ACCELERATOR": "cpu" if spec.device == "cpu" else "cuda",
    }


def _wait(job: Job, process: subprocess.Popen[bytes]) -> None:
    deadline = None
    while process.poll() is None:
        # The ranks stop by themselves, together, at a checkpoint; this is for when they cannot.
        if (job.folder / CANCEL_FILE).exists():
            deadline = deadline or time.monotonic() + _STOPS_WITHIN_S
            if time.monotonic() > deadline:
                return
        time.sleep(_LOOK_EVERY_S)


def _end_family(process: subprocess.Popen[bytes]) -> None:
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGKILL)
    if process.poll() is None:
        process.kill()
    process.wait()


def _read(job: Job, code: int) -> dict[str, Any]:
    endings = [
        RankEnding.model_validate_json(path.read_bytes())
        for path in sorted(job.folder.glob(RANK_FILE.format(rank="*")))
    ]
    worst = next((e for e in endings if e.state == "out_of_memory"), None)
    if worst and worst.error:
        raise OutOfMemory(str(worst.error["message"]), available_gib=worst.available_gib)
    if any(e.state == "cancelled" for e in endings) or (job.folder / CANCEL_FILE).exists():
        raise Cancelled(job.id)
    told = next((e.error for e in endings if e.error), None)
    if told and told.get("refused_by"):
        raise Refused(told["message"], hint=told["hint"], refused_by=told["refused_by"])
    if told:
        raise Unavailable(told["message"], hint=told["hint"])
    first = job.folder / RANK_FILE.format(rank=0)
    if code or not first.is_file():
        raise Conflict(
            "A process of the run ended without a word.",
            hint=f"`luthier resume {job.id}` goes on from the last checkpoint; the log says more.",
        )
    facts: dict[str, Any] = json.loads(first.read_bytes())["facts"]
    return facts


def write_rank_ending(folder: Path, rank: int, ending: RankEnding) -> None:
    """Leave word of how a rank ended, for the worker that started it."""
    (folder / RANK_FILE.format(rank=rank)).write_text(ending.model_dump_json())
