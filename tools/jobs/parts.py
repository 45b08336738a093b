"""The runs that a search, or a job of several adapters, is made of: child jobs in its place."""

from __future__ import annotations

from typing import Any

from tools.errors import NotFound
from tools.history.jobs import JobRecord
from tools.history.spec import PARENTS, AdaptersSpec
from tools.history.store import Store

STARTED = "adapters"
"""Among the metrics of such a job: name of an adapter → id of the job that trains it."""


def is_part(store: Store, record: JobRecord) -> bool:
    """Tell whether a job is a trial of a search or one of several adapters."""
    if record.kind != "train" or record.parent is None:
        return False
    return store.jobs.get(record.parent).kind in PARENTS


def children(store: Store, record: JobRecord) -> dict[str, JobRecord]:
    """Return the jobs that train the adapters, by name; those not begun are missing."""
    found: dict[str, JobRecord] = {}
    for name, job_id in record.metrics.get(STARTED, {}).items():
        try:
            found[name] = store.jobs.get(str(job_id))
        except NotFound:
            continue
    return found


def adapter_rows(store: Store, record: JobRecord) -> list[dict[str, Any]]:
    """Return the adapters as they stand: `{name, job, state, dataset, metrics}`."""
    assert isinstance(record.spec, AdaptersSpec)
    begun = children(store, record)
    rows = []
    for named in record.spec.runs:
        child = begun.get(named.name)
        rows.append(
            {
                "name": named.name,
                "job": child.id if child else None,
                "state": child.state if child else "not begun",
                "dataset": named.run.dataset,
                "metrics": child.metrics if child else {},
            }
        )
    return rows
