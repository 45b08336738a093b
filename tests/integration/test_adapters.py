"""Several adapters trained in one job, killed on the way, and exported as one ONNX model."""

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
from tools.history.spec import UNFINISHED, AdaptersSpec, NamedRun
from tools.jobs.follow import wait
from tools.jobs.launch import submit
from tools.jobs.parts import children
from tools.jobs.reconcile import is_alive, reconcile
from tools.jobs.resume import cancel, resume

pytestmark = pytest.mark.integration

_ENDS_WITHIN_S = 400.0


def _spec(ctx: Context, model: Path, **changes: Any) -> AdaptersSpec:
    words = make_spec(make_dataset(ctx), model, **changes)
    chat = make_spec(make_dataset(ctx, "chat", train=24, validation=8), model, **changes)
    return AdaptersSpec(runs=(NamedRun(name="words", run=words), NamedRun(name="chat", run=chat)))


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
    _until(lambda: not is_alive(folder), "the worker is gone")
    _until(lambda: not psutil.pid_exists(pid) or _is_dead(pid), "its process is gone")


def _is_dead(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_adapters_killed_on_the_way_go_on_and_the_finished_one_stays(
    ctx: Context, material: Path
) -> None:
    spec = _spec(ctx, material / "models" / "stories260K", max_steps=6, eval_steps=3)
    job = submit(ctx, spec, name="both", predicted={"memory_gib": 1.0})
    second = _until(
        lambda: children(ctx.store, ctx.store.jobs.get(job.id)).get("chat"), "the second adapter"
    )
    _until(lambda: ctx.store.jobs.events(second.id, kinds=["metrics"]), "its first step")
    first = children(ctx.store, ctx.store.jobs.get(job.id))["words"]
    assert first.state == "succeeded"
    _kill(ctx, second)
    _kill(ctx, job)
    reconcile(ctx)
    assert ctx.store.jobs.get(job.id).state == "interrupted"
    resume(ctx, ctx.store.jobs.get(job.id))
    after = wait(ctx, job.id, timeout_s=_ENDS_WITHIN_S)
    log = ctx.settings.job_folder(job.id) / "log.txt"
    assert after.state == "succeeded", log.read_text()[-2000:]
    done = children(ctx.store, after)
    assert done["words"].id == first.id
    assert all(run.state == "succeeded" and run.parent == job.id for run in done.values())
    assert all("verdict" in run.metrics for run in done.values())
    assert sorted(after.artifacts) == ["chat", "words"]
    for path in after.artifacts.values():
        assert (ctx.settings.home / path / "adapter_model.safetensors").is_file()
    # People hear of the job once, not of each adapter.
    told = [n.text for n in ctx.store.claim_notices("me") if "finished" in n.text]
    assert len(told) == 1
    assert "words" in told[0]


def test_stopping_the_job_stops_the_adapter_and_one_that_fails_leaves_the_others(
    ctx: Context, material: Path
) -> None:
    tiny = material / "models" / "stories260K"
    spec = _spec(ctx, tiny, max_steps=100_000, eval_steps=50_000)
    job = submit(ctx, spec, name="long")
    first = _until(
        lambda: children(ctx.store, ctx.store.jobs.get(job.id)).get("words"), "the first adapter"
    )
    _until(lambda: ctx.store.jobs.events(first.id, kinds=["metrics"]), "its first step")
    cancel(ctx, job)
    assert wait(ctx, job.id, timeout_s=_ENDS_WITHIN_S).state == "cancelled"
    assert ctx.store.jobs.get(first.id).state not in UNFINISHED
    short = _spec(ctx, tiny, max_steps=2, eval_steps=2, probe=False)
    gone = short.runs[0].run.model_copy(update={"dataset_fingerprint": "another"})
    broken = AdaptersSpec(runs=(NamedRun(name="gone", run=gone), short.runs[1]))
    after = wait(ctx, submit(ctx, broken, name="half").id, timeout_s=_ENDS_WITHIN_S)
    assert after.state == "failed"
    assert after.error
    assert "gone" in after.error["message"]
    assert "chat can be used" in after.error["hint"]
    assert children(ctx.store, after)["chat"].state == "succeeded"
