"""Reading the history: lists of jobs, and one job with everything known of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.context import Context
from tools.errors import NotFound
from tools.history.jobs import EventRecord, JobRecord
from tools.history.spec import JobKind, JobState, run_of
from tools.jobs.checkpoints import CheckpointManifest
from tools.jobs.launch import why_it_waits
from tools.jobs.parts import adapter_rows
from tools.jobs.reconcile import reconcile
from tools.jobs.reports import JobsReport, ShowReport, job_row
from tools.jobs.resume import NEXT_PART, why_not_resumable
from tools.jobs.trials import trial_rows

_MOST_EVENTS = 10_000
_LOG_BYTES = 8_000


def list_all(
    ctx: Context,
    *,
    states: Sequence[JobState] | None,
    kinds: Sequence[JobKind] | None,
    limit: int,
) -> JobsReport:
    """Return the newest jobs."""
    reconcile(ctx)
    found = ctx.store.jobs.find(states=states, kinds=kinds)
    rows = tuple(job_row(record, _training_of(ctx, record)) for record in found[:limit])
    return JobsReport(jobs=rows, total=len(found))


def show_one(ctx: Context, record: JobRecord) -> ShowReport:
    """Return everything about a job, after bringing its state in line with what is true."""
    reconcile(ctx)
    record = ctx.store.jobs.get(record.id)
    row = job_row(record, _training_of(ctx, record))
    events = ctx.store.jobs.events(record.id)
    why_not, found = why_not_resumable(ctx, record)
    return ShowReport(
        id=record.id,
        job=record.id,
        kind=record.kind,
        state=record.state,
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        dataset=row.dataset,
        method=row.method,
        base_model=row.base_model,
        goal=str(getattr(run_of(record.spec), "goal", "")),
        parent=record.parent,
        plan_hash=record.plan_hash,
        spec=record.spec.model_dump(mode="json"),
        attempts=_attempts(events),
        trials=tuple(trial_rows(ctx.store, record, events)) if record.kind == "search" else (),
        adapters=tuple(adapter_rows(ctx.store, record)) if record.kind == "adapters" else (),
        events=tuple(_event(event) for event in events[-_MOST_EVENTS:]),
        predicted=record.predicted,
        measured=record.measured,
        metrics=record.metrics,
        artifacts=record.artifacts,
        error=record.error,
        progress=_progress(record, events),
        resumable={
            "can": not why_not,
            "why": why_not or _from_where(record, found),
        },
        waits_because=_waiting(ctx, record),
        log_tail=_tail(ctx.settings.job_folder(record.id) / "log.txt"),
    )


def _from_where(record: JobRecord, found: CheckpointManifest | None) -> str:
    if found:
        return f"from its checkpoint at step {found.step}."
    return f"with {NEXT_PART.get(record.kind, 'the rows not scored yet')}."


def _training_of(ctx: Context, record: JobRecord) -> JobRecord | None:
    job_id = getattr(record.spec, "job", None)
    if job_id is None:
        return None
    try:
        return ctx.store.jobs.get(job_id)
    except NotFound:
        return None


def _event(event: EventRecord) -> dict[str, Any]:
    return {
        **event.payload,
        "seq": event.seq,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "payload": event.payload,
    }


def _attempts(events: list[EventRecord]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {**event.payload, "at": event.at.isoformat()} for event in events if event.kind == "attempt"
    )


def _progress(record: JobRecord, events: list[EventRecord]) -> dict[str, Any] | None:
    if record.state != "running":
        return None
    for event in reversed(events):
        if event.kind == "progress":
            return event.payload
        if event.kind == "phase":
            return None
    return None


def _waiting(ctx: Context, record: JobRecord) -> str | None:
    if record.state != "queued":
        return None
    return why_it_waits(ctx, record, ctx.store.jobs.find(states=["running"]))


def _tail(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LOG_BYTES))
        return file.read().decode("utf-8", errors="replace")
