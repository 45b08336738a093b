"""The trials of a search: child jobs that inherit its approval and run in its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tools.history.jobs import EventRecord, JobRecord
from tools.history.spec import SearchSpec
from tools.history.store import Store

STUDY_FILE = "study.db"
"""In a search's folder: every trial with its values and losses, as Optuna keeps them."""


def is_trial(store: Store, record: JobRecord) -> bool:
    """Tell whether a job is one variant that a search tries."""
    return record.parent is not None and store.jobs.get(record.parent).kind == "search"


def leads(store: Store, record: JobRecord, value: float) -> bool:
    """Tell whether no other trial of the same search has ended with a lower validation loss."""
    others = store.jobs.find(states=["succeeded"], parent=record.parent)
    return all(value < final_loss(other) for other in others if other.id != record.id)


def final_loss(record: JobRecord) -> float:
    """Return the lowest validation loss of a finished run; infinite where there is none."""
    value = record.metrics.get("best_eval_loss", record.metrics.get("eval_loss"))
    return float(value) if isinstance(value, int | float) else math.inf


def validation_losses(events: Sequence[EventRecord]) -> list[tuple[int, float]]:
    """Return `(step, loss)` of each evaluation, in order; repeated steps once."""
    found = {
        int(event.payload["step"]): float(event.payload["eval_loss"])
        for event in events
        if event.kind == "metrics" and event.payload.get("eval_loss") is not None
    }
    return sorted(found.items())


def trial_rows(
    store: Store, search: JobRecord, events: Sequence[EventRecord]
) -> list[dict[str, Any]]:
    """Return the trials as they stand: `{number, job, state, value, values, steps}`.

    Args:
        events: All events of the search.
    """
    rows: dict[int, dict[str, Any]] = {}
    for event in events:
        if event.kind == "trial":
            rows[event.payload["number"]] = dict(event.payload)
    for row in rows.values():
        row["steps"] = validation_losses(store.jobs.events(row["job"], kinds=["metrics"]))
    return [rows[number] for number in sorted(rows)]


def minutes_left(record: JobRecord) -> float:
    """Return what is left of a search's budget; infinite where it has none."""
    spec = record.spec
    assert isinstance(spec, SearchSpec)
    if spec.max_minutes is None:
        return math.inf
    return spec.max_minutes - float(record.measured.get("searched_s", 0.0)) / 60
