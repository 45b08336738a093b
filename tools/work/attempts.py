"""What the attempts of a job have changed beside its frozen spec. Imports no torch."""

from __future__ import annotations

from tools.history.spec import MAY_CHANGE, TrainingSpec
from tools.work.report import Job


def as_attempted(job: Job, spec: TrainingSpec) -> TrainingSpec:
    """Return the spec with what earlier attempts of this job already changed."""
    for event in job.store.jobs.events(job.id, kinds=["attempt"]):
        changes = event.payload["changes"]
        spec = spec.model_copy(update={name: change[1] for name, change in changes.items()})
    return spec


def what_changed(job: Job) -> str:
    """Return in a sentence what was changed because memory ran out; empty where nothing was."""
    before, after = job.record.training, as_attempted(job, job.record.training)
    changes = [
        f"{name.replace('_', ' ')} {getattr(before, name)} to {getattr(after, name)}"
        for name in MAY_CHANGE
        if getattr(before, name) != getattr(after, name)
    ]
    if not changes:
        return ""
    return (
        f"Memory ran out, so it went on with less: {', '.join(changes)}; rows per update, data and "
        "what is learned stayed the same."
    )
