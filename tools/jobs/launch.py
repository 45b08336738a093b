"""From a spec to a process of its own: submitting, admission and the detached start."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import psutil
from filelock import FileLock

from tools.context import Context
from tools.errors import Unavailable
from tools.history.jobs import JobRecord
from tools.history.spec import PARENTS, AnySpec, run_of
from tools.jobs.ending import Ending, apply_ending, write_durably
from tools.jobs.libraries import left_out
from tools.starting import Launch, Surroundings

_GIB = 2**30
_TRAINS = frozenset({"train", *PARENTS})
_UNPREDICTED_GIB = 0.75
"""Reserved for a job that came without a prediction: torch and its libraries take about 0.5."""


def submit(
    ctx: Context,
    spec: AnySpec,
    *,
    name: str,
    parent: str | None = None,
    thread_id: str | None = None,
    approval_id: str | None = None,
    predicted: dict[str, Any] | None = None,
    at_once: bool = False,
) -> JobRecord:
    """Store a job and start it, or let it queue. The same `approval_id` starts only one job.

    Args:
        at_once: Start it beside the queue: its parent already holds the room it needs.

    Raises:
        Unavailable: The job's folder cannot be written; the job is then `failed`.
    """
    record = ctx.store.jobs.create(
        spec,
        name=name,
        approval_id=approval_id,
        parent=parent,
        thread_id=thread_id,
        predicted=predicted,
    )
    folder = ctx.settings.job_folder(record.id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / "spec.json", spec.model_dump_json(indent=2).encode())
    except OSError as error:
        problem = Unavailable(
            f"Cannot write to {folder}: {error.strerror or error}.",
            hint="Free some disk space or check the folder's permissions, then start it again.",
        )
        ctx.store.jobs.set_state(
            record.id, "failed", expected=["queued"], error=problem.as_dict(), reason=str(problem)
        )
        raise problem from error
    if at_once:
        start(ctx, record)
    else:
        admit(ctx)
    return ctx.store.jobs.get(record.id)


def admit(ctx: Context, *, leaving_bytes: int = 0) -> list[str]:
    """Start the queued jobs that there is room for, oldest first, under a machine-wide lock.

    Args:
        leaving_bytes: Memory of the calling process that is about to become free.

    Returns:
        Ids of the jobs that were started.
    """
    started: list[str] = []
    if not ctx.store.jobs.find(states=["queued"], limit=1):
        return started
    with FileLock(ctx.settings.home / "admission.lock"):
        running = ctx.store.jobs.find(states=["running"])
        for record in reversed(ctx.store.jobs.find(states=["queued"])):
            if why_it_waits(ctx, record, running, leaving_bytes=leaving_bytes) is None:
                if start(ctx, record):
                    started.append(record.id)
                running = ctx.store.jobs.find(states=["running"])
    return started


def why_it_waits(
    ctx: Context, record: JobRecord, running: list[JobRecord], *, leaving_bytes: int = 0
) -> str | None:
    """Return why a queued job cannot start now, or None where it can.

    Two trainings on one device only slow each other down, so they run one after the other.
    What running jobs were predicted to use but do not use yet counts as taken.
    """
    device = _device(record.spec)
    for other in running:
        trains = {record.kind, other.kind} <= _TRAINS
        if trains and _device(other.spec) == device and other.parent != record.id:
            return f"It waits for {other.id}: one training at a time on this {device}."
    # What a trial takes is part of what its search was admitted with; adapters alike.
    parents = {other.id for other in running if other.kind in PARENTS}
    counted = [other for other in running if other.parent not in parents]
    needs = _needed_gib(record)
    if ctx.settings.warm_workers:
        leaving_bytes += ctx.settings.warm_workers.held_bytes()
    free = free_memory_gib() + leaving_bytes / _GIB - sum(map(_still_to_come_gib, counted))
    if ctx.settings.memory_limit_gib:
        free = min(free, ctx.settings.memory_limit_gib - sum(map(_needed_gib, counted)))
    if needs > free:
        return f"It waits for memory: it needs {needs:.1f} GiB and {max(free, 0):.1f} are free."
    return None


def free_memory_gib() -> float:
    """Return the memory that can be used now without swapping, in GiB."""
    return float(psutil.virtual_memory().available) / _GIB


def needed_gib(spec: AnySpec, predicted_gib: float | None) -> float:
    """Return the memory of the machine itself that a job needs, in GiB."""
    # On a GPU the prediction is about its memory, and the plan has held it against that.
    if _device(spec) != "cpu":
        return _UNPREDICTED_GIB
    return float(predicted_gib or _UNPREDICTED_GIB)


def _device(spec: AnySpec) -> str:
    return str(getattr(run_of(spec), "device", "cpu"))


def _needed_gib(record: JobRecord) -> float:
    return needed_gib(record.spec, record.predicted.get("memory_gib"))


def _still_to_come_gib(record: JobRecord) -> float:
    try:
        used = _used_gib(record.pid) if record.pid else 0.0
    except psutil.Error:
        used = 0.0
    return max(0.0, _needed_gib(record) - used)


def _used_gib(pid: int) -> float:
    """Return what a worker uses, with its ranks or its trial."""
    worker = psutil.Process(pid)
    family = [worker, *worker.children(recursive=True)]
    return sum(float(process.memory_info().rss) for process in family) / _GIB


def surroundings_of(ctx: Context, spec: AnySpec) -> Surroundings:
    """Return what the process of a job is started with."""
    environment = ctx.settings.worker_environment() | _visible_devices(ctx, spec)
    return Surroundings(environment, left_out(ctx.store, spec))


def _visible_devices(ctx: Context, spec: AnySpec) -> dict[str, str]:
    """As many GPUs as the job has processes, and none for a training on the CPU."""
    if spec.kind in _TRAINS and _device(spec) == "cpu":
        return {"CUDA_VISIBLE_DEVICES": ""}
    count = int(getattr(run_of(spec), "processes", 1))
    all_of_them = ",".join(map(str, range(count)))
    given = ctx.settings.worker_environment().get("CUDA_VISIBLE_DEVICES", all_of_them)
    return {"CUDA_VISIBLE_DEVICES": ",".join(given.split(",")[:count])}


def start(ctx: Context, record: JobRecord) -> bool:
    """Start the worker of a queued job; where that fails the job is `failed`."""
    if not ctx.store.jobs.set_state(record.id, "running", expected=["queued"]):
        return False
    if ctx.settings.workers is not None:
        ctx.store.jobs.record(record.id, pid=ctx.settings.workers.start(ctx.settings, record.id))
        return True
    launch = Launch(
        folder=ctx.settings.job_folder(record.id),
        surroundings=surroundings_of(ctx, record.spec),
        began=lambda pid: ctx.store.jobs.record(record.id, pid=pid),
        fresh=lambda: _start_fresh(ctx, record),
    )
    warm = ctx.settings.warm_workers
    return warm.start(launch) if warm else launch.fresh()


def _start_fresh(ctx: Context, record: JobRecord) -> bool:
    """Start the worker as a process that loads everything itself."""
    folder = ctx.settings.job_folder(record.id)
    try:
        with (folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tools.work.worker", record.id],
                cwd=folder,
                env=surroundings_of(ctx, record.spec).environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        problem = Unavailable(
            f"The worker of {record.id} cannot be started: {error.strerror or error}.",
            hint="Check disk space and memory, then start it again.",
        )
        ending = Ending(state="failed", notice=str(problem), error=problem.as_dict())
        apply_ending(ctx.store, record, ending)
        return False
    ctx.store.jobs.record(record.id, pid=process.pid)
    # A child that nobody waits for would stay behind as a zombie.
    threading.Thread(target=process.wait, name=f"reap {record.id}", daemon=True).start()
    return True
