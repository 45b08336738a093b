"""The gate before the long run: a few real steps on the longest batch, and one generation.

It works on a throw-away copy of what is trained and puts every weight and random number back, so
a run with the probe ends exactly like one without.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tools.errors import Refused
from tools.history.events import GatePassed, SampleGenerated
from tools.history.spec import TrainingSpec
from tools.work.computing import computing, inputs_as_they_are
from tools.work.ladder import explained_memory
from tools.work.memory import forget_peak, memory_peak_gib
from tools.work.objectives import Objective
from tools.work.report import Job
from tools.work.rows import Encoded
from tools.work.saving import offloading, optimiser_of
from tools.work.shortage import Failure, MemoryShort
from tools.work.template import stop_token_ids

STEPS = 2
_NEW_TOKENS = 24


@dataclass(frozen=True)
class Probed:
    """What the probe measured."""

    first_loss: float
    last_loss: float
    seconds_per_step: float
    peak_gib: float


def probe(
    job: Job,
    spec: TrainingSpec,
    model: Any,
    objective: Objective,
    rows: Encoded,
    prompt: str | None,
) -> Probed:
    """Try the run on its longest batch.

    Raises:
        MemoryShort: It does not fit into memory.
        Refused: Its loss is not a number or exactly zero, or no weight receives a gradient.
    """
    forget_peak(spec.device)
    with undone(model), explained_memory(spec):
        losses, seconds = _steps(job, spec, model, objective, rows)
        if prompt is not None:
            answer, stopped = _generate(model, objective.tokenizer, prompt)
            job.emit(SampleGenerated(prompt=prompt[-400:], answer=answer, stopped=stopped))
    measured = Probed(losses[0], losses[-1], seconds, memory_peak_gib(spec.device))
    _check_memory(job, spec, measured.peak_gib)
    predicted = job.record.predicted.get("memory_gib")
    job.emit(
        GatePassed(
            gate="probe",
            measures={
                "steps": STEPS,
                "first_loss": round(measured.first_loss, 4),
                "last_loss": round(measured.last_loss, 4),
                "seconds_per_longest_step": round(seconds, 3),
                "memory_gib": round(measured.peak_gib, 3),
                "predicted_memory_gib": predicted,
            },
        )
    )
    return measured


@contextmanager
def undone(model: Any) -> Iterator[None]:
    """Put trained weights, gradients, mode and random numbers back at the end."""
    trained = [p for p in model.parameters() if p.requires_grad]
    before = [p.detach().to("cpu", copy=True) for p in trained]
    training = model.training
    states = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(trained, before, strict=True):
                parameter.copy_(value)
                parameter.grad = None
        model.train(training)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if on_gpu:
            torch.cuda.set_rng_state_all(on_gpu)


def _steps(
    job: Job, spec: TrainingSpec, model: Any, objective: Objective, rows: Encoded
) -> tuple[list[float], float]:
    lengths = rows.lengths
    longest = sorted(range(len(rows)), key=lambda i: -lengths[i])
    chosen = objective.collate([rows.row(i) for i in longest[: spec.batch_size]])
    batch = {k: v.to(spec.device) for k, v in chosen.items()}
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = optimiser_of(spec, trained)
    model.train()
    losses, took = [], 0.0
    for _ in range(STEPS):
        job.check_cancelled()
        began = time.monotonic()
        with inputs_as_they_are(spec, model):
            with offloading(spec), computing(spec, model):
                scores = objective.loss(model, batch)
                loss = scores.total / max(1, scores.items)
            loss.backward()
        losses.append(float(loss.detach()))
        _check_step(losses[-1], trained, gradient=objective.always_learns)
        optimiser.step()
        optimiser.zero_grad()
        took = time.monotonic() - began
    return losses, took


def _check_step(loss: float, trained: list[Any], *, gradient: bool) -> None:
    gradients = [float(p.grad.abs().sum()) for p in trained if p.grad is not None]
    if not np.isfinite(loss) or not np.isfinite(gradients).all():
        raise Refused(
            f"The loss or a gradient of the first steps is not a number (loss {loss}).",
            hint="Lower the learning rate or use float32.",
            refused_by="probe",
        )
    if loss == 0.0:
        raise Refused(
            "The loss of the first batch is exactly 0.0: there is nothing to learn.",
            hint="Check that the answers are not empty and that labels are not all masked.",
            refused_by="probe",
        )
    if gradient and not any(gradients):
        raise Refused(
            "No weight receives a gradient: the method would train nothing.",
            hint="Check the target modules, or choose another method.",
            refused_by="probe",
        )


def _generate(model: Any, tokenizer: Any, prompt: str) -> tuple[str, bool]:
    model.eval()
    inputs = tokenizer([prompt], return_tensors="pt", add_special_tokens=False).to(model.device)
    room = int(getattr(model.config, "max_position_embeddings", 0) or 2048) - _NEW_TOKENS
    ids = inputs["input_ids"][:, -max(1, room) :]
    stops = stop_token_ids(tokenizer, model)
    with torch.no_grad():
        result = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=_NEW_TOKENS,
            do_sample=False,
            eos_token_id=stops or None,
            pad_token_id=tokenizer.pad_token_id,
        )
    new = result[0, ids.shape[1] :].tolist()
    return tokenizer.decode(new, skip_special_tokens=True), bool(new and new[-1] in stops)


def _check_memory(job: Job, spec: TrainingSpec, peak_gib: float) -> None:
    limit = job.settings.memory_limit_gib
    if limit is not None and peak_gib > limit:
        problem = (
            f"A batch of {spec.batch_size} rows took {peak_gib:.2f} GiB, more than the "
            f"{limit:g} GiB allowed."
        )
        raise MemoryShort(Failure(problem=problem, available_gib=limit))
