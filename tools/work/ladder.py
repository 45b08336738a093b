"""What is changed when memory runs out, without asking again and without changing the task.

Rungs, in order: a smaller micro-batch with as much more accumulation, checkpointing of
activations, cheaper optimiser states, attention that keeps no scores, activations in the
machine's own memory. Rows, length, rank, quantisation, model and epochs are protected: for those
the person is asked. Which rung is tried next is predicted, with the failure as a measurement;
a rung that saves nothing here (8-bit states of a small adapter, say) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tools.advise.architecture import Shape, shape_of
from tools.advise.figures import MemoryEstimate
from tools.advise.memory import Workload, estimate_memory
from tools.history.events import AttemptChanged
from tools.history.spec import MAY_CHANGE, TrainingSpec
from tools.work.memory import memory_room_gib
from tools.work.proposals import has_bitsandbytes, proposal
from tools.work.report import Job
from tools.work.shortage import Failure, MemoryShort, OutOfMemory, is_about_memory

_ROOM = 0.92
_GROWING = ("activations", "logits")
_WORTH = 0.99
"""A rung must bring the prediction below this share of the one before."""


@contextmanager
def explained_memory(spec: TrainingSpec, what: str = "") -> Iterator[None]:
    """Turn running out of memory into something the ladder understands.

    Args:
        what: What did not fit, where it is no batch of rows and a smaller one cannot help.

    Raises:
        MemoryShort: In place of what torch, CUDA or the machine raised.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_about_memory(error):
            raise
        problem = f"{what or f'A batch of {spec.batch_size} rows'} did not fit into memory."
        raise MemoryShort(failed(spec, problem, hopeless=bool(what))) from None


def failed(spec: TrainingSpec, problem: str, *, hopeless: bool = False) -> Failure:
    """Return what is to be known of a failure; what cannot be measured any more is left out."""
    room = None
    with suppress(Exception):
        room = memory_room_gib(spec.device)
    return Failure(problem=problem, available_gib=room, hopeless=hopeless)


def step_down(
    job: Job, spec: TrainingSpec, *, config: dict[str, Any], length: int, failure: Failure
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
        raise OutOfMemory(problem, hint=hint)
    tries = 1 + sum(
        bool(event.payload["changes"]) for event in job.store.jobs.events(job.id, kinds=["attempt"])
    )
    limit = _limit(spec, shape, length, failure.available_gib, tries)
    chosen = next((r for r in below if _predicted_gib(r, shape, length) <= limit), below[-1])
    changes = {
        name: [getattr(spec, name), getattr(chosen, name)]
        for name in MAY_CHANGE
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
    if spec.optimizer == "adamw" and has_bitsandbytes():
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
                n: getattr(last, n) for n in MAY_CHANGE if getattr(last, n) != getattr(rung, n)
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
