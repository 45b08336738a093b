"""Several processes for one run: the same losses as one, stopped and resumed alike."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.jobs_factory import make_dataset, make_spec
from tools.context import Context
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED, TrainingSpec
from tools.jobs.follow import wait
from tools.jobs.launch import submit
from tools.jobs.reconcile import is_alive
from tools.jobs.resume import cancel, resume

pytestmark = pytest.mark.integration

_ENDS_WITHIN_S = 400.0
TOLERANCE = 1e-4
"""Largest relative difference of losses: sums are added in another order."""


@pytest.fixture
def tiny(material: Path) -> Path:
    """A real pre-trained model of 260k parameters."""
    return material / "models" / "stories260K"


def _spec(ctx: Context, tiny: Path, **changes: Any) -> TrainingSpec:
    values = {"batch_size": 8, "max_steps": 60, "eval_steps": 20, "save_steps": 20}
    return make_spec(make_dataset(ctx), tiny, **values | changes)


def _ended(ctx: Context, record: JobRecord) -> JobRecord:
    after = wait(ctx, record.id, timeout_s=_ENDS_WITHIN_S)
    log = ctx.settings.job_folder(record.id) / "log.txt"
    assert after.state not in UNFINISHED, log.read_text()[-2000:]
    return after


def _losses(ctx: Context, job_id: str) -> dict[int, float]:
    events = ctx.store.jobs.events(job_id, kinds=["metrics"])
    return {e.payload["step"]: e.payload["loss"] for e in events if e.payload["loss"] is not None}


def test_two_processes_stopped_and_resumed_learn_what_one_does(ctx: Context, tiny: Path) -> None:
    alone = _ended(ctx, submit(ctx, _spec(ctx, tiny), name="alone"))
    assert alone.state == "succeeded", alone.error
    pair = submit(ctx, _spec(ctx, tiny, batch_size=4, engine="ddp", processes=2), name="pair")
    deadline = time.monotonic() + _ENDS_WITHIN_S
    # Six updates are an epoch: it goes on from within a later one.
    while max(_losses(ctx, pair.id), default=0) < 7:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    cancel(ctx, pair)
    stopped = _ended(ctx, pair)
    assert stopped.state == "cancelled", stopped.error
    # Its last process ends a moment after the state is told.
    while is_alive(ctx.settings.job_folder(pair.id)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    resume(ctx, stopped)
    together = _ended(ctx, pair)
    assert together.state == "succeeded", together.error
    # What both hold together, not the first alone.
    assert together.measured["memory_gib"] > 1.5 * alone.measured["memory_gib"]
    expected, found = _losses(ctx, alone.id), _losses(ctx, pair.id)
    assert found.keys() == expected.keys()
    assert found == {step: pytest.approx(loss, rel=TOLERANCE) for step, loss in expected.items()}
    best = alone.metrics["best_eval_loss"]
    assert together.metrics["best_eval_loss"] == pytest.approx(best, rel=TOLERANCE)


def test_several_processes_that_have_too_little_are_made_smaller_and_then_say_what_is_missing(
    ctx: Context, tiny: Path
) -> None:
    # Less than the libraries alone have in each: no batch can be small enough.
    here = Context(ctx.settings.model_copy(update={"memory_limit_gib": 0.2}))
    spec = _spec(
        here, tiny, batch_size=4, engine="ddp", processes=2, max_steps=4,
        may_change=("batch_size", "gradient_accumulation"),
    )  # fmt: skip
    pair = submit(here, spec, name="tight", predicted={"memory_gib": 0.1})
    pid = pair.pid
    ended = _ended(here, pair)
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error["refused_by"] == "memory", ended.error
    assert "0.2 GiB allowed" in ended.error["message"]
    assert "smaller model" in ended.error["hint"]
    # All of it is one process, whatever images it had.
    assert pid is not None
    assert ended.pid == pid
    attempts = [e.payload["changes"] for e in here.store.jobs.events(pair.id, kinds=["attempt"])]
    assert attempts
    assert attempts[-1]["batch_size"][1] == 1
    assert all(set(a) == {"batch_size", "gradient_accumulation"} for a in attempts)
