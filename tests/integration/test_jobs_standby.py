"""A real run from a process that stood by: the same run, and nobody's but its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.jobs_factory import make_dataset, make_spec
from tools.context import Context
from tools.history.jobs import JobRecord
from tools.jobs.follow import wait
from tools.jobs.launch import submit
from tools.jobs.reconcile import is_alive

pytestmark = pytest.mark.integration

_ENDS_WITHIN_S = 300.0
_FACE = """
import os, sys, time
from tools.context import Context
from tools.history.spec import read_spec
from tools.jobs.launch import submit
from tools.jobs.reconcile import is_alive
from tools.jobs.standby import get_ready, standing_by
from tools.settings import read_settings

spec = read_spec(open(sys.argv[1]).read())
with standing_by(read_settings()) as settings:
    ctx = Context(settings)
    get_ready(ctx, spec, 0.5)
    print(settings.warm_workers._process.pid, flush=True)
    input()
    print(submit(ctx, spec, name="warm").id, flush=True)
    time.sleep(600)
"""


class _Face:
    """A process with a stand-by, as the app is."""

    def __init__(self, ctx: Context, spec: Any) -> None:
        file = ctx.settings.work_dir / "spec.json"
        file.write_text(spec.model_dump_json())
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FACE, str(file)],
            env=ctx.settings.worker_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = int(self._line())

    def submit(self) -> str:
        """Let the job start, and return its id."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._line()

    def let_it_load(self) -> None:
        """Wait until the process that stands by has nothing to do."""
        process, busy_s = psutil.Process(self.pid), -1.0
        deadline = time.monotonic() + _ENDS_WITHIN_S
        while (now := process.cpu_times().user) > busy_s:
            assert time.monotonic() < deadline
            busy_s = now
            time.sleep(2.0)

    def kill(self) -> None:
        """End the face without a word to anybody."""
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


def _until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + _ENDS_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _losses(ctx: Context, record: JobRecord) -> list[tuple[Any, ...]]:
    events = ctx.store.jobs.events(record.id, kinds=["metrics"])
    return [(e.payload["step"], e.payload["loss"], e.payload["eval_loss"]) for e in events]


def _spec(ctx: Context, material: Path) -> Any:
    return make_spec(make_dataset(ctx), material / "models" / "stories260K", seed=3)


def test_a_run_from_it_is_the_same_run_and_outlives_its_face(ctx: Context, material: Path) -> None:
    spec = _spec(ctx, material)
    fresh = wait(ctx, submit(ctx, spec, name="fresh").id, timeout_s=_ENDS_WITHIN_S)
    face = _Face(ctx, spec)
    face.let_it_load()
    job_id = face.submit()
    warm = ctx.store.jobs.get(job_id)
    face.kill()
    assert warm.pid == face.pid
    warm = wait(ctx, job_id, timeout_s=_ENDS_WITHIN_S)
    folders = [ctx.settings.job_folder(record.id) for record in (fresh, warm)]
    logs = "".join((folder / "log.txt").read_text() for folder in folders)
    assert (fresh.state, warm.state) == ("succeeded", "succeeded"), logs
    losses = _losses(ctx, warm)
    assert len(losses) >= 12
    assert losses == _losses(ctx, fresh)
    weights = [folder / "adapter" / "adapter_model.safetensors" for folder in folders]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert fresh.metrics == warm.metrics
    assert sorted(fresh.measured) == sorted(warm.measured)
    _until(lambda: not _lives(face.pid), "the worker's end")


def test_it_ends_with_a_face_that_is_killed(ctx: Context, material: Path) -> None:
    face = _Face(ctx, _spec(ctx, material))
    assert _lives(face.pid)
    face.kill()
    _until(lambda: not _lives(face.pid), "the end of what stood by")
    assert ctx.store.jobs.find() == []


def test_one_that_still_loads_takes_the_job_at_once_and_can_be_killed_like_any_worker(
    ctx: Context, material: Path
) -> None:
    face = _Face(ctx, _spec(ctx, material))
    record = ctx.store.jobs.get(face.submit())
    _until(lambda: is_alive(ctx.settings.job_folder(record.id)), "the lock")
    assert ctx.store.jobs.events(record.id, kinds=["phase"]) == []  # it has not come to its work
    assert os.getsid(face.pid) == face.pid
    log = ctx.settings.job_folder(record.id) / "log.txt"
    _until(lambda: os.readlink(f"/proc/{face.pid}/fd/2") == str(log), "the job's log")
    assert os.readlink(f"/proc/{face.pid}/cwd") == str(log.parent)
    os.kill(face.pid, signal.SIGKILL)
    ended = wait(ctx, record.id, timeout_s=_ENDS_WITHIN_S)
    face.kill()
    assert (ended.state, ended.pid) == ("lost", face.pid)
