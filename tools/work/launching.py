"""Starting the processes of a run that is spread, and reading what became of them.

The worker starts `torch.distributed.run`, which starts one `tools.work.rank` a process; the first
of them tells events. `accelerate launch --cpu` is not used: it silently runs one process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field

from tools.errors import Conflict, Refused, ToolError, Unavailable
from tools.history.spec import TrainingSpec
from tools.jobs.ending import CANCEL_FILE
from tools.settings import Settings
from tools.work.engines import check_engine
from tools.work.report import Cancelled, Job
from tools.work.shortage import Failure, MemoryShort

RANK_FILE = "rank-{rank}.json"
WORKER_PID = "LUTHIER_WORKER_PID"
"""Variable that tells the ranks whose death is theirs too; not set on other machines."""
_LOOK_EVERY_S = 0.2
_STOPS_WITHIN_S = 60.0


class RankEnding(BaseModel):
    """How the work of one rank ended; what the first one measured.

    Attributes:
        error: `{code, message, hint, refused_by}`.
        failure: Of memory that ran out.
        facts: What the monitor knew at the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Literal["done", "failed", "out_of_memory", "cancelled"]
    error: dict[str, Any] | None = None
    failure: Failure | None = None
    facts: dict[str, Any] = Field(default_factory=dict)


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
        MemoryShort: One of them ran out of memory.
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
    if isinstance(error, MemoryShort):
        return RankEnding(state="out_of_memory", failure=error.failure)
    if isinstance(error, ToolError):
        return RankEnding(state="failed", error=error.as_dict())
    return RankEnding(state="failed")


def _environment(settings: Settings, spec: TrainingSpec) -> dict[str, str]:
    threads = settings.worker_threads or max(1, (os.cpu_count() or 1) // spec.processes)
    return settings.worker_environment() | {
        # Each rank with all cores would stall the others.
        "OMP_NUM_THREADS": str(threads),
        "LUTHIER_WORKER_THREADS": str(threads),
        WORKER_PID: str(os.getpid()),
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
    failure = next((e.failure for e in endings if e.failure), None)
    if failure:
        raise MemoryShort(failure)
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
