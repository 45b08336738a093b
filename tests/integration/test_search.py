"""A search: its trials are jobs of their own, within one consent and one budget."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.jobs_factory import make_dataset, make_spec
from tools.context import Context
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED, Between, SearchSpec
from tools.jobs.follow import wait
from tools.jobs.launch import submit
from tools.jobs.reconcile import is_alive, reconcile
from tools.jobs.resume import cancel, resume
from tools.jobs.showing import show_one

pytestmark = pytest.mark.integration

_ENDS_WITHIN_S = 400.0


def _search(ctx: Context, tiny: Path, **changes: Any) -> SearchSpec:
    base = make_spec(make_dataset(ctx, train=24, validation=8), tiny, max_steps=9, eval_steps=3)
    space = {"learning_rate": Between(low=1e-4, high=3e-2, log=True), "rank": (2.0, 4.0)}
    return SearchSpec(**{"base": base, "space": space, "trials": 3} | changes)


def _ended(ctx: Context, record: JobRecord) -> JobRecord:
    after = wait(ctx, record.id, timeout_s=_ENDS_WITHIN_S)
    log = ctx.settings.job_folder(record.id) / "log.txt"
    assert after.state not in UNFINISHED, log.read_text()[-2000:]
    return after


def _until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + _ENDS_WITHIN_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"never happened: {what}")


def _kill(ctx: Context, record: JobRecord) -> None:
    pid = ctx.store.jobs.get(record.id).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    folder = ctx.settings.job_folder(record.id)
    _until(lambda: not is_alive(folder) and not _lives(pid), "the worker is gone")


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _trials(ctx: Context, search: JobRecord) -> list[JobRecord]:
    return list(reversed(ctx.store.jobs.find(parent=search.id)))


@pytest.fixture
def tiny(material: Path) -> Path:
    """A real pre-trained model of 260k parameters."""
    return material / "models" / "stories260K"


def test_a_search_killed_in_a_trial_goes_on_and_names_the_best(ctx: Context, tiny: Path) -> None:
    search = submit(ctx, _search(ctx, tiny), name="tune", predicted={"memory_gib": 1.0})
    first = _until(lambda: _trials(ctx, search), "the first trial")[0]
    assert first.training.learning_rate == search.spec.base.learning_rate  # type: ignore[union-attr]
    later = submit(ctx, make_spec(make_dataset(ctx), tiny, max_steps=2), name="later")
    assert later.state == "queued"
    _until(lambda: ctx.store.jobs.events(first.id, kinds=["metrics"]), "its first step")
    _kill(ctx, first)
    _kill(ctx, search)
    cancel(ctx, later)
    reconcile(ctx)
    assert ctx.store.jobs.get(search.id).state == "interrupted"
    resume(ctx, ctx.store.jobs.get(search.id))
    after = _ended(ctx, search)
    assert after.state == "succeeded", after.error
    shown = show_one(ctx, after)
    finished = [t for t in shown.trials if t["state"] == "finished"]
    assert len(shown.trials) >= 3
    assert len({t["values"]["learning_rate"] for t in shown.trials}) == len(shown.trials)
    best = min(finished, key=lambda t: t["value"])
    assert after.metrics["best_job"] == best["job"]
    assert after.metrics["best_value"] == best["value"]
    assert all(record.parent == search.id for record in _trials(ctx, search))
    assert all(record.state not in UNFINISHED for record in _trials(ctx, search))
    # The one that leads is judged against its base; people hear of the search once.
    assert "verdict" in ctx.store.jobs.get(best["job"]).metrics
    told = [n.text for n in ctx.store.claim_notices("me") if "finished" in n.text]
    assert len(told) == 1
    assert best["job"] in told[0]
    assert best["job"] in shown.text()
    assert (ctx.settings.home / shown.artifacts["plot"]).read_text().startswith("<svg")


def test_a_cancelled_search_goes_on_and_nothing_of_it_runs_after_its_minutes(
    ctx: Context, tiny: Path
) -> None:
    spec = _search(ctx, tiny)
    endless = spec.base.model_copy(update={"max_steps": 100_000, "eval_steps": 20})
    spec = spec.model_copy(update={"base": endless, "max_minutes": 60, "trials": 50})
    search = submit(ctx, spec, name="short")
    first = _until(lambda: _trials(ctx, search), "the first trial")[0]
    _until(lambda: ctx.store.jobs.events(first.id, kinds=["metrics"]), "its first step")
    cancel(ctx, search)
    stopped = _ended(ctx, search)
    assert stopped.state == "cancelled"
    assert ctx.store.jobs.get(first.id).state == "cancelled"
    assert 0 < stopped.measured["searched_s"] < 60 * 60
    # What was spent before it was stopped counts: as if an hour had passed, but for a moment.
    ctx.store.jobs.record(search.id, measured={"searched_s": 60 * 60 - 5.0})
    _until(lambda: not is_alive(ctx.settings.job_folder(search.id)), "the worker is gone")
    resume(ctx, ctx.store.jobs.get(search.id))
    after = _ended(ctx, search)
    trials = _trials(ctx, search)
    assert [t.id for t in trials] == [first.id], "no trial starts after the minutes"
    assert after.measured["searched_s"] > 60 * 60 - 5
    assert trials[0].state not in UNFINISHED
    _until(lambda: not any(_lives(t.pid or 0) for t in trials), "every trial's process is gone")
    resumed = ctx.store.jobs.events(first.id, kinds=["attempt"])
    assert [e.payload["reason"][:7] for e in resumed] == ["resumed"]
