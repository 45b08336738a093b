"""Several adapters on one base: each a training job of its own, one after the other.

Every run loads the base itself and judges its adapter against it, so a result here is the same as
that of the run alone. One that fails does not stop the others. Not covered: training several
adapters in one forward pass.
"""

from __future__ import annotations

import time
from typing import Any

from tools.context import Context
from tools.errors import Refused, ToolError, Unavailable
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED, AdaptersSpec, NamedRun
from tools.jobs.ending import CANCEL_FILE
from tools.jobs.parts import STARTED, children
from tools.jobs.reconcile import reconcile
from tools.jobs.words import headline
from tools.work.children import LOOK_EVERY_S, Children
from tools.work.report import Cancelled, Job

_RECONCILE_EVERY_S = 2.0


def run(job: Job) -> dict[str, Any]:
    """Train every adapter that is not there yet.

    Raises:
        Cancelled: The person asked to stop; the running one stops as well and both can go on.
        Refused: A gate said no to some; the others are trained and kept.
        Unavailable: Some failed; the others are trained and kept.
    """
    spec = job.spec
    assert isinstance(spec, AdaptersSpec)
    began = time.monotonic()
    starts = Children(job)
    try:
        ended = [_train(job, starts, named, number) for number, named in enumerate(spec.runs)]
    finally:
        starts.close()
        before = float(job.store.jobs.get(job.id).measured.get("duration_s", 0.0))
        job.measure(duration_s=round(before + time.monotonic() - began, 1))
    failed = [r for r in ended if r.state != "succeeded"]
    if failed:
        raise _failure(spec, ended, failed)
    told = ", ".join(
        f"{n.name} {headline(r.metrics)}" for n, r in zip(spec.runs, ended, strict=True)
    )
    return {"notice": f"{job.id} finished: {told}. Next: try them, or export them together."}


def _train(job: Job, starts: Children, named: NamedRun, number: int) -> JobRecord:
    """Train one adapter, or go on with it; return how it ended."""
    job.check_cancelled()
    spec = job.spec
    assert isinstance(spec, AdaptersSpec)
    job.progress("adapters", number, len(spec.runs))
    record = children(job.store, job.store.jobs.get(job.id)).get(named.name)
    if record is not None and record.state != "succeeded":
        record = starts.go_on(record.id)
        if record.state in ("failed", "lost", "cancelled"):
            record = None
    if record is None:
        record = starts.start(named.run, named.name)
        begun = job.store.jobs.get(job.id).metrics.get(STARTED, {})
        job.metrics(**{STARTED: begun | {named.name: record.id}})
        job.flush()
    record = _wait(job, starts, record)
    for path in record.artifacts.values():
        if record.state == "succeeded":
            job.artifact(named.name, job.settings.home / str(path))
            break
    return record


def _wait(job: Job, starts: Children, record: JobRecord) -> JobRecord:
    ctx, looked = Context(job.settings), time.monotonic()
    while (record := job.store.jobs.get(record.id)).state in UNFINISHED:
        if (job.folder / CANCEL_FILE).exists():
            starts.stop(record)
            raise Cancelled(job.id)
        if time.monotonic() - looked > _RECONCILE_EVERY_S:
            reconcile(ctx)
            looked = time.monotonic()
        time.sleep(LOOK_EVERY_S)
    if record.state == "cancelled":
        raise Cancelled(job.id)
    return record


def _failure(spec: AdaptersSpec, ended: list[JobRecord], failed: list[JobRecord]) -> ToolError:
    names = [n.name for n, r in zip(spec.runs, ended, strict=True) if r.state != "succeeded"]
    there = [n.name for n, r in zip(spec.runs, ended, strict=True) if r.state == "succeeded"]
    error = failed[0].error or {}
    kept = f" {' and '.join(there)} can be used as they are." if there else ""
    problem = (
        f"{len(failed)} of {len(ended)} adapters could not be trained ({', '.join(names)}): "
        f"{error.get('message', failed[0].state)}"
    )
    hint = f"{error.get('hint', 'Look at its log.')}{kept}"
    gates = {(record.error or {}).get("refused_by") for record in failed}
    # Where only gates said no, going on would end in the same.
    if None not in gates:
        return Refused(problem, hint=hint, refused_by=str(gates.pop()))
    return Unavailable(problem, hint=hint)
