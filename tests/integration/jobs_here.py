"""Jobs that run in the process of a test, and what they told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.jobs_factory import make_dataset, make_spec
from tools.context import Context, utc_now
from tools.history.spec import TrainingSpec
from tools.history.store import Store
from tools.work.report import Job


def job_here(ctx: Context, spec: TrainingSpec) -> Job:
    """Store a job as running, and return it as its worker would see it."""
    record = ctx.store.jobs.create(spec, name="here")
    ctx.store.jobs.set_state(record.id, "running")
    ctx.settings.job_folder(record.id).mkdir(parents=True)
    store = Store.open_as_worker(ctx.settings.database, clock=utc_now)
    return Job(ctx.store.jobs.get(record.id), ctx.settings, store)


def small_run(ctx: Context, material: Path, objective: str, **changes: Any) -> TrainingSpec:
    """Return a run of eight steps over eight rows each."""
    values = {"batch_size": 8, "max_steps": 8, "eval_steps": 4, "save_steps": 4}
    model = material / "models" / "stories260K"
    return make_spec(make_dataset(ctx, objective), model, **values | changes)


def told_by(job: Job) -> tuple[list[dict[str, Any]], dict[int, float]]:
    """Return the attempts of a job, and its loss at each step."""
    job.flush()
    events = job.store.jobs.events(job.id)
    attempts = [e.payload for e in events if e.kind == "attempt"]
    metrics = [e.payload for e in events if e.kind == "metrics"]
    return attempts, {m["step"]: m["loss"] for m in metrics if m["loss"] is not None}
