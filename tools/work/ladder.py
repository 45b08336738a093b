"""What is changed when memory runs out, without asking again and without changing the task.

Rungs, in order: a smaller micro-batch with as much more accumulation, then checkpointing of
activations. Rows, length, rank, quantisation, model and epochs are protected: for those the
person is asked. Which rung is tried next is predicted, with the failure itself as a measurement.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.advise.architecture import Shape, shape_of
from tools.advise.memory import Workload, estimate_memory
from tools.errors import Refused
from tools.history.events import AttemptChanged
from tools.history.spec import TrainingSpec
from tools.work.report import Job

_ROOM = 0.92
_FIELDS = ("batch_size", "gradient_accumulation", "gradient_checkpointing")


class OutOfMemory(Refused):
    """The run does not fit as it is; a lower rung may.

    Args:
        available_gib: Memory there was, where it is known.
    """

    def __init__(self, problem: str, *, available_gib: float | None = None) -> None:
        super().__init__(
            problem,
            hint="Make a new plan with a smaller model, shorter rows or QLoRA.",
            refused_by="memory",
        )
        self.available_gib = available_gib


def as_attempted(job: Job, spec: TrainingSpec) -> TrainingSpec:
    """Return the spec with what earlier attempts of this job already changed."""
    for event in job.store.jobs.events(job.id, kinds=["attempt"]):
        changes = event.payload["changes"]
        spec = spec.model_copy(update={name: change[1] for name, change in changes.items()})
    return spec


def step_down(
    job: Job,
    spec: TrainingSpec,
    *,
    config: dict[str, Any],
    length: int,
    failure: str,
    available_gib: float | None,
) -> TrainingSpec:
    """Choose the next attempt, record it, and return its spec.

    Args:
        config: The base model's configuration.
        length: Tokens of the longest row.
        failure: What happened, for the record.

    Raises:
        Refused: There is no rung left that the plan allows; the hint proposes what to ask for.
    """
    shape = shape_of(config)
    before = _predicted_gib(spec, shape, length)
    below = list(rungs(spec))
    if not below:
        raise OutOfMemory(f"{failure} Nothing that the plan allows makes it smaller.")
    # It needed more than there was, so the prediction was too low by at least this much.
    limit = min(available_gib or before, before) * _ROOM
    chosen = next((r for r in below if _predicted_gib(r, shape, length) <= limit), below[-1])
    changes = {
        name: [getattr(spec, name), getattr(chosen, name)]
        for name in _FIELDS
        if getattr(spec, name) != getattr(chosen, name)
    }
    after = _predicted_gib(chosen, shape, length)
    reason = f"{failure} Predicted: {after:.2f} instead of {before:.2f} GiB."
    number = 2 + len(job.store.jobs.events(job.id, kinds=["attempt"]))
    job.flush()
    job.store.jobs.append(job.id, [AttemptChanged(number=number, changes=changes, reason=reason)])
    return chosen


def rungs(spec: TrainingSpec) -> Iterator[TrainingSpec]:
    """Yield ever smaller ways to train the same thing, as far as the plan allows."""
    allowed = set(spec.may_change)
    if {"batch_size", "gradient_accumulation"} <= allowed:
        while spec.batch_size > 1:
            factor = _smallest_factor(spec.batch_size)
            spec = spec.model_copy(
                update={
                    "batch_size": spec.batch_size // factor,
                    "gradient_accumulation": spec.gradient_accumulation * factor,
                }
            )
            yield spec
    if "gradient_checkpointing" in allowed and not spec.gradient_checkpointing:
        yield spec.model_copy(update={"gradient_checkpointing": True})


def _smallest_factor(number: int) -> int:
    # Rows per update stay exactly the same, so a batch of 15 becomes 3 times 5.
    return next(f for f in range(2, number + 1) if number % f == 0)


def _predicted_gib(spec: TrainingSpec, shape: Shape, length: int) -> float:
    work = Workload(
        shape=shape,
        method=spec.method,
        batch=spec.batch_size,
        length=length,
        rank=spec.rank,
        targets=spec.target_modules,
        precision=spec.precision,
        checkpointing=spec.gradient_checkpointing,
        device=spec.device,
        accumulates=spec.gradient_accumulation > 1,
    )
    return estimate_memory(work).expected_gib
