"""What is changed when memory runs out, without asking again and without changing the task.

Rungs, in order: a smaller micro-batch with as much more accumulation, checkpointing of
activations, cheaper optimiser states, attention that keeps no scores, activations in the
machine's own memory. Rows, length, rank, quantisation, model and epochs are protected: for those
the person is asked. Which rung is tried next is predicted, with the failure as a measurement;
a rung that saves nothing here (8-bit states of a small adapter, say) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from tools.advise.architecture import Shape, shape_of
from tools.advise.figures import MemoryEstimate
from tools.advise.memory import Workload, estimate_memory
from tools.errors import Refused
from tools.history.events import AttemptChanged
from tools.history.spec import TrainingSpec
from tools.work.memory import is_about_memory, memory_room_gib
from tools.work.proposals import proposal
from tools.work.report import Job

_ROOM = 0.92
_GROWING = ("activations", "logits")
_WORTH = 0.99
"""A rung must bring the prediction below this share of the one before."""
_FIELDS = (
    "batch_size",
    "gradient_accumulation",
    "gradient_checkpointing",
    "optimizer",
    "attention",
    "activation_offload",
)


class OutOfMemory(Refused):
    """The run does not fit as it is; a lower rung may.

    Args:
        available_gib: Memory there was, where it is known.
        hopeless: No rung can help: what did not fit is not a batch.
        hint: What to ask the person for; only what the plan protects is left then.
    """

    def __init__(
        self,
        problem: str,
        *,
        available_gib: float | None = None,
        hopeless: bool = False,
        hint: str = "Make a new plan with a smaller model, shorter rows or QLoRA.",
    ) -> None:
        super().__init__(problem, hint=hint, refused_by="memory")
        self.available_gib = available_gib
        self.hopeless = hopeless


@contextmanager
def explained_memory(spec: TrainingSpec, what: str = "") -> Iterator[None]:
    """Turn running out of memory into something the ladder understands.

    Args:
        what: What did not fit, where it is no batch of rows and a smaller one cannot help.

    Raises:
        OutOfMemory: In place of what torch, CUDA or the machine raised.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_about_memory(error):
            raise
        room = memory_room_gib(spec.device)
        what = what and f"{what} did not fit into memory."
        batch = f"A batch of {spec.batch_size} rows did not fit into memory."
        raise OutOfMemory(what or batch, available_gib=room, hopeless=bool(what)) from None


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
        for name in _FIELDS
        if getattr(before, name) != getattr(after, name)
    ]
    if not changes:
        return ""
    return (
        f"Memory ran out, so it went on with less: {', '.join(changes)}; rows per update, data and "
        "what is learned stayed the same."
    )


def step_down(
    job: Job, spec: TrainingSpec, *, config: dict[str, Any], length: int, failure: OutOfMemory
) -> TrainingSpec:
    """Choose the next attempt, record it, and return its spec.

    Args:
        config: The base model's configuration.
        length: Tokens of the longest row.
        failure: What happened, for the record.

    Raises:
        OutOfMemory: There is no rung left that the plan allows; the hint proposes what to ask for.
    """
    shape = shape_of(config)
    before = _predicted_gib(spec, shape, length)
    below = [] if failure.hopeless else _worth_trying(spec, shape, length)
    if not below:
        problem = f"{failure.problem} Nothing that the plan allows makes it smaller."
        hint = proposal(spec, lambda wish, rows: _predicted_gib(wish, shape, rows), length)
        raise OutOfMemory(problem, available_gib=failure.available_gib, hint=hint)
    tries = 1 + sum(
        bool(event.payload["changes"]) for event in job.store.jobs.events(job.id, kinds=["attempt"])
    )
    limit = _limit(spec, shape, length, failure.available_gib, tries)
    chosen = next((r for r in below if _predicted_gib(r, shape, length) <= limit), below[-1])
    changes = {
        name: [getattr(spec, name), getattr(chosen, name)]
        for name in _FIELDS
        if getattr(spec, name) != getattr(chosen, name)
    }
    after = _predicted_gib(chosen, shape, length)
    reason = f"{failure.problem} Predicted: {after:.2f} instead of {before:.2f} GiB."
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
    for name, value in _switches(spec):
        if name in allowed and getattr(spec, name) != value:
            spec = spec.model_copy(update={name: value})
            yield spec


def _switches(spec: TrainingSpec) -> Iterator[tuple[str, object]]:
    """Yield what else can be set to something smaller on this device, in order."""
    yield "gradient_checkpointing", True
    if spec.optimizer == "adamw" and find_spec("bitsandbytes") is not None:
        # On a CPU the paged ones work too, but without pages: nothing is won over 8 bits.
        yield "optimizer", "paged_adamw_8bit" if spec.device == "cuda" else "adamw_8bit"
    if spec.attention == "eager":
        yield "attention", "sdpa"
    if spec.device == "cuda":
        # On a CPU the machine's own memory is what ran out.
        yield "activation_offload", True


def _smallest_factor(number: int) -> int:
    # Rows per update stay exactly the same, so a batch of 15 becomes 3 times 5.
    return next(f for f in range(2, number + 1) if number % f == 0)


def _limit(
    spec: TrainingSpec, shape: Shape, length: int, available_gib: float | None, tries: int
) -> float:
    """Return what the next attempt may need, as the estimator reckons.

    It needed more than there was, whatever was predicted: what grows with the batch is halved at
    least, and cut to an eighth where that was not enough.
    """
    estimate = _estimate(spec, shape, length)
    growing = sum(estimate.parts.get(name, 0.0) for name in _GROWING)
    before = _predicted_gib(spec, shape, length)
    reached = before - growing * (1 - 0.5 ** (2 * tries - 1))
    return min(reached, (available_gib or before) * _ROOM)


def _worth_trying(spec: TrainingSpec, shape: Shape, length: int) -> list[TrainingSpec]:
    """Return the rungs below, without single switches that save next to nothing."""
    kept: list[TrainingSpec] = []
    last, dropped = spec, dict[str, object]()
    for rung in rungs(spec):
        candidate = rung.model_copy(update=dropped)
        fewer_rows = candidate.batch_size < last.batch_size
        smaller = _predicted_gib(candidate, shape, length) < _WORTH * _predicted_gib(
            last, shape, length
        )
        if fewer_rows or smaller:
            kept.append(candidate)
            last = candidate
        else:
            dropped |= {
                n: getattr(last, n) for n in _FIELDS if getattr(last, n) != getattr(rung, n)
            }
    return kept


def _predicted_gib(spec: TrainingSpec, shape: Shape, length: int) -> float:
    estimate = _estimate(spec, shape, length)
    if spec.activation_offload:
        return estimate.expected_gib - estimate.parts.get("activations", 0.0)
    return estimate.expected_gib


def _estimate(spec: TrainingSpec, shape: Shape, length: int) -> MemoryEstimate:
    return estimate_memory(
        Workload(
            shape=shape,
            method=spec.method,
            batch=spec.batch_size,
            length=length,
            rank=spec.rank,
            targets=spec.target_modules,
            precision=spec.precision,
            quantization=spec.quantization,
            optimizer=spec.optimizer,
            checkpointing=spec.gradient_checkpointing,
            device=spec.device,
            attention="eager" if spec.attention == "eager" else "fused",
            accumulates=spec.gradient_accumulation > 1,
            dropout=spec.dropout,
        )
    )
