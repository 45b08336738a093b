"""Gives a case its history: runs that were never trained, as the store would remember them.

A seeded run has what the tools look at before they act (spec, events, adapter folder, checkpoint
with digests, exit file), and no weights that could be loaded: stand-ins answer for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tools.context import Context, utc_now
from tools.datasets.manifest import Manifest
from tools.datasets.prepare import PrepareOptions, prepare
from tools.errors import ToolError
from tools.history.jobs import JobRecord
from tools.history.spec import TrainingSpec
from tools.history.store import Store
from tools.jobs.checkpoints import seal
from tools.jobs.ending import Ending, write_durably, write_ending
from tools.paths import locate
from tools.shipped import shipped
from ui.suite.cases import SeedJob
from ui.suite.curves import STEPS, error_text, events_of, final_eval_loss
from ui.suite.judging import leave_judgement

_DURATION = timedelta(minutes=4)
_ENDED = frozenset({"succeeded", "failed", "cancelled"})
_CHECKPOINTED = frozenset({"succeeded", "interrupted", "cancelled", "running"})


class _Clock:
    """The time at which the seeded run did what is being written."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def seed_history(ctx: Context, jobs: list[SeedJob]) -> dict[str, str]:
    """Put the runs into the store, oldest first, and return reference → id."""
    path = ctx.store.path  # Opening the store gives the database its shape.
    oldest_first = sorted(jobs, key=lambda job: job.age, reverse=True)
    return {job.ref: _seed(ctx, path, job).id for job in oldest_first}


def make_artifacts(folder: Path, record: JobRecord) -> dict[str, str]:
    """Write an adapter folder and a sealed checkpoint; return the artefacts for the history."""
    adapter = folder / ("model" if record.training.method == "full" else "adapter")
    checkpoint = folder / "checkpoints" / f"checkpoint-{STEPS}"
    for place in (adapter, checkpoint):
        place.mkdir(parents=True, exist_ok=True)
        write_durably(place / "adapter_config.json", b'{"peft_type": "LORA"}')
        write_durably(place / "adapter_model.safetensors", b"stand-in of the suite, no weights")
    seal(checkpoint, step=STEPS, plan_hash=record.plan_hash, eval_loss=None)
    relative = f"jobs/{record.id}"
    return {adapter.name: f"{relative}/{adapter.name}", "log": f"{relative}/log.txt"}


def _seed(ctx: Context, database: Path, job: SeedJob) -> JobRecord:
    began = utc_now() - job.age
    clock = _Clock(began)
    store = Store(database, clock)
    spec = _spec(ctx, job)
    record = store.jobs.create(spec, name=Path(job.path).stem, predicted=_predicted())
    folder = ctx.settings.job_folder(record.id)
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / "spec.json", spec.model_dump_json(indent=2).encode())
    (folder / "log.txt").write_text(_log(job), encoding="utf-8")
    if job.state == "queued":
        return record
    store.jobs.set_state(record.id, "running")
    store.jobs.append(record.id, events_of(job))
    if job.state in _CHECKPOINTED:
        artifacts = make_artifacts(folder, record)
        if job.state == "succeeded":
            store.jobs.record(record.id, artifacts=artifacts, measured=_measured())
            store.jobs.record(record.id, **leave_judgement(folder, record.id, _figures(job)))
    store.jobs.record(record.id, metrics=job.metrics)
    clock.now = min(began + _DURATION, utc_now())
    if job.state != "running":
        _end(store, folder, record, job)
    return store.jobs.get(record.id)


def _end(store: Store, folder: Path, record: JobRecord, job: SeedJob) -> None:
    error = None
    if job.state in {"failed", "interrupted", "lost"}:
        code = "unavailable" if job.state == "failed" else job.state
        hint = "Look at the log, change the plan, and start it again."
        error = {"code": code, "message": error_text(job), "hint": hint, "refused_by": None}
    store.jobs.set_state(record.id, job.state, error=error)
    if job.state in _ENDED:
        notice = f"{record.id} {job.state}."
        write_ending(folder, Ending(state=job.state, notice=notice, error=error))


def _spec(ctx: Context, job: SeedJob) -> TrainingSpec:
    fields: Mapping[str, Any] = job.spec_fields
    data = _prepared(ctx, job) or _imagined(ctx, job)
    values = {"model": "starter", "method": "lora", "learning_rate": 2e-4, "path": job.path}
    return TrainingSpec.model_validate(values | data | dict(fields))


def _prepared(ctx: Context, job: SeedJob) -> dict[str, Any] | None:
    """Prepare the data for real, so that what compares fingerprints finds them equal."""
    names = ("eval_fraction", "dedupe", "template")
    wishes = {name: job.spec_fields[name] for name in names if name in job.spec_fields}
    try:
        manifest = _prepare(ctx, job.path, wishes)
    except ToolError:
        # A case may well seed a run whose data is gone.
        return None
    return {
        "dataset": manifest.id,
        "dataset_fingerprint": manifest.fingerprint,
        "task": manifest.task,
        "objective": manifest.objective,
        "labels": manifest.labels,
        "template": manifest.template,
    }


_of_samples: dict[tuple[Path, str], Manifest] = {}
"""Shipped sample and options → its version: reading the sample anew for every run takes long."""


def _prepare(ctx: Context, path: str, wishes: dict[str, Any]) -> Manifest:
    key = (locate(ctx.settings, path), repr(sorted(wishes.items())))
    known = _of_samples.get(key)
    if known and ctx.settings.dataset_folder(known.id).is_dir():
        ctx.store.save_dataset(
            known.id,
            fingerprint=known.fingerprint,
            source=known.source,
            manifest=known.model_dump(mode="json"),
        )
        return known
    manifest = prepare(ctx, path, PrepareOptions(**wishes))
    if key[0].is_relative_to(shipped("samples").resolve()):
        _of_samples[key] = manifest
    return manifest


def _imagined(ctx: Context, job: SeedJob) -> dict[str, Any]:
    fingerprint = hashlib.sha256(str(locate(ctx.settings, job.path)).encode()).hexdigest()
    return {
        "dataset": f"{Path(job.path).stem}@{fingerprint[:6]}",
        "dataset_fingerprint": fingerprint,
        "task": "classification",
        "objective": "prompt_completion",
    }


def _figures(job: SeedJob) -> dict[str, Any]:
    loss = round(final_eval_loss(job), 4)
    return {"eval_loss": loss} | job.metrics


def _predicted() -> dict[str, float]:
    return {"memory_gib": 0.5, "duration_s": 240.0}


def _measured() -> dict[str, float]:
    return {"memory_gib": 0.48, "duration_s": _DURATION.total_seconds()}


def _log(job: SeedJob) -> str:
    if job.log is None:
        return f"{error_text(job)}\n" if job.state == "failed" else "training\n"
    return job.log if isinstance(job.log, str) else "\n".join(job.log) + "\n"
