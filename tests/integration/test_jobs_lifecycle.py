"""Jobs as processes: they end well, stop, die, go on and queue, whatever happens to the faces."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.hub import Hub
from tests.jobs_factory import make_dataset, make_spec
from tools.context import Context
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED
from tools.jobs.checkpoints import checkpoint_folders, latest_checkpoint
from tools.jobs.follow import wait
from tools.jobs.launch import submit
from tools.jobs.reconcile import is_alive, reconcile
from tools.jobs.resume import cancel, resume

pytestmark = pytest.mark.integration

_ENDS_WITHIN_S = 400.0
LONG = {"max_steps": 120, "eval_steps": 40, "save_steps": 20, "dropout": 0.1}


@pytest.fixture
def tiny(material: Path) -> Path:
    """A real pre-trained model of 260k parameters."""
    return material / "models" / "stories260K"


def _until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + _ENDS_WITHIN_S
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"never happened: {what}")


def _step(ctx: Context, job_id: str) -> int:
    events = ctx.store.jobs.events(job_id, kinds=["metrics"])
    return max((e.payload["step"] for e in events), default=0)


def _losses(ctx: Context, job_id: str) -> dict[int, float]:
    events = ctx.store.jobs.events(job_id, kinds=["metrics"])
    return {e.payload["step"]: e.payload["loss"] for e in events if e.payload["loss"] is not None}


def _ended(ctx: Context, record: JobRecord) -> JobRecord:
    after = wait(ctx, record.id, timeout_s=_ENDS_WITHIN_S)
    log = ctx.settings.job_folder(record.id) / "log.txt"
    assert after.state not in UNFINISHED, log.read_text()[-2000:]
    return after


def _kill_worker(ctx: Context, record: JobRecord) -> None:
    pid = ctx.store.jobs.get(record.id).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    # The first thread of a killed process is gone a moment before its last one, which still
    # keeps the lock.
    folder = ctx.settings.job_folder(record.id)
    _until(lambda: not _lives(pid) and not is_alive(folder), "the worker is gone")
    reconcile(ctx)


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_killed_run_goes_on_and_ends_exactly_like_one_that_was_not(
    ctx: Context, tiny: Path
) -> None:
    spec = make_spec(make_dataset(ctx), tiny, **LONG)
    whole = _ended(ctx, submit(ctx, spec, name="whole"))
    assert whole.state == "succeeded"
    killed = submit(ctx, spec, name="killed")
    _until(lambda: _step(ctx, killed.id) >= 25, "step 25")
    _kill_worker(ctx, killed)
    after = ctx.store.jobs.get(killed.id)
    assert after.state == "interrupted"
    assert resume(ctx, after).state in UNFINISHED
    finished = _ended(ctx, after)
    assert finished.state == "succeeded"
    expected, found = _losses(ctx, whole.id), _losses(ctx, killed.id)
    assert set(found) == set(range(1, 121))
    assert found == expected
    assert finished.metrics["best_eval_loss"] == whole.metrics["best_eval_loss"]
    weights = "adapter/adapter_model.safetensors"
    folder = ctx.settings.job_folder
    assert (folder(whole.id) / weights).read_bytes() == (folder(killed.id) / weights).read_bytes()
    attempts = ctx.store.jobs.events(killed.id, kinds=["attempt"])
    assert [a.payload["reason"] for a in attempts] == ["resumed from step 20"]
    notices = [n.text for n in ctx.store.claim_notices("me")]
    assert [n.split()[0] for n in notices if "finished" in n] == [whole.id, killed.id]


def test_a_cancelled_run_stops_within_two_steps_and_can_go_on(ctx: Context, tiny: Path) -> None:
    spec = make_spec(make_dataset(ctx), tiny, **LONG | {"max_steps": 2000, "save_steps": 1000})
    job = submit(ctx, spec, name="stop me")
    queued = submit(ctx, make_spec(make_dataset(ctx), tiny, max_steps=4), name="next")
    assert queued.state == "queued"
    _until(lambda: _step(ctx, job.id) >= 3, "step 3")
    cancel(ctx, job)
    stopped = _ended(ctx, job)
    assert stopped.state == "cancelled"
    asked_at = (ctx.settings.job_folder(job.id) / "cancel").stat().st_mtime
    steps = [
        e.payload["done"]
        for e in ctx.store.jobs.events(job.id, kinds=["progress"])
        if e.payload["phase"] == "train" and e.at.timestamp() > asked_at
    ]
    assert len(set(steps)) <= 2
    (checkpoint,) = checkpoint_folders(ctx.settings.job_folder(job.id))
    assert checkpoint.name == f"checkpoint-{_step(ctx, job.id)}"
    # The worker that stopped admitted the next one by itself.
    assert ctx.store.jobs.get(queued.id).state != "queued"
    assert _ended(ctx, queued).state == "succeeded"
    assert ctx.store.jobs.get(job.id).state == "cancelled"


def test_a_job_outlives_its_launcher_in_a_home_with_spaces_beside_a_foreign_tools_folder(
    ctx: Context, tiny: Path, tmp_path: Path
) -> None:
    face = Context(ctx.settings.model_copy(update={"home": tmp_path / "a home of mine"}))
    spec = make_spec(make_dataset(face), tiny, max_steps=30)
    (face.settings.home / "wanted.json").write_text(spec.model_dump_json())
    foreign = tmp_path / "elsewhere" / "tools"
    foreign.mkdir(parents=True)
    (foreign / "__init__.py").write_text("raise SystemExit('this is not the tools we need')")
    launcher = subprocess.Popen(
        [sys.executable, "-P", "-c", _LAUNCHER],
        cwd=foreign.parent,
        env=face.settings.worker_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert launcher.stdout is not None
    job_id = launcher.stdout.readline().strip()
    launcher.kill()
    launcher.wait(timeout=30)
    launcher.stdout.close()
    assert _ended(face, face.store.jobs.get(job_id)).state == "succeeded"


_LAUNCHER = """
import time
from tools.context import Context
from tools.history.spec import read_spec
from tools.jobs.launch import submit
from tools.settings import read_settings
ctx = Context(read_settings())
spec = read_spec((ctx.settings.home / "wanted.json").read_text())
print(submit(ctx, spec, name="orphan").id, flush=True)
time.sleep(600)
"""


def test_a_worker_killed_before_its_first_checkpoint_is_lost_and_the_next_one_runs(
    ctx: Context, tiny: Path
) -> None:
    manifest = make_dataset(ctx)
    doomed = submit(ctx, make_spec(manifest, tiny), name="doomed")
    following = submit(ctx, make_spec(manifest, tiny, max_steps=3), name="following")
    _until(lambda: ctx.store.jobs.events(doomed.id, kinds=["phase"]), "the worker's first word")
    _kill_worker(ctx, doomed)
    assert ctx.store.jobs.get(doomed.id).state == "lost"
    assert ctx.store.jobs.get(following.id).state == "running"
    assert _ended(ctx, following).state == "succeeded"


def test_a_refusal_is_a_failure_with_its_gate_and_an_unknown_failure_is_a_bug(
    ctx: Context, tiny: Path
) -> None:
    manifest = make_dataset(ctx)
    refused = submit(ctx, make_spec(manifest, tiny, dataset_fingerprint="old"), name="refused")
    after = _ended(ctx, refused)
    assert after.state == "failed"
    assert after.error is not None
    assert after.error["refused_by"] == "preflight"
    # A dataset that is not Parquet at all is nothing a gate expects.
    (ctx.settings.dataset_folder(manifest.id) / "train.parquet").write_bytes(b"not parquet")
    broken = _ended(ctx, submit(ctx, make_spec(manifest, tiny), name="broken"))
    assert broken.state == "failed"
    assert broken.error is not None
    assert broken.error["code"] == "bug"
    log = (ctx.settings.job_folder(broken.id) / "log.txt").read_text()
    assert "Traceback" in log


def test_a_model_named_on_the_hub_is_fetched_and_trained(
    ctx: Context, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with Hub(models={"someone/stories": tiny}) as hub:
        changes = {"network": "allow", "hub_endpoint": hub.endpoint}
        reaching = Context(ctx.settings.model_copy(update=changes))
        spec = make_spec(make_dataset(reaching), "someone/stories", max_steps=3)
        fetched = _ended(reaching, submit(reaching, spec, name="fetched"))
        assert fetched.state == "succeeded", fetched.error
        assert any("model.safetensors" in path for path in hub.requests)
    # Without the network a name that was never fetched is said to be missing.
    unknown = submit(ctx, make_spec(make_dataset(ctx), "someone/else"), name="unknown")
    after = _ended(ctx, unknown)
    assert after.error is not None
    assert after.error["code"] == "not_found"


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A folder on a disk of a few MiB, where mounting is allowed."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small disk is not allowed here; the injected ENOSPC is tested")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def test_a_disk_that_fills_up_fails_the_job_clearly_and_keeps_the_history_whole(
    ctx: Context, tiny: Path, small_disk: Path
) -> None:
    small = Context(ctx.settings.model_copy(update={"home": small_disk / "home"}))
    manifest = make_dataset(small)
    # A full model and its optimiser take about 3 MiB a checkpoint: the second cannot be written.
    spec = make_spec(
        manifest, tiny, method="full", learning_rate=1e-3, max_steps=60, eval_steps=5, save_steps=5
    )
    after = _ended(small, submit(small, spec, name="full"))
    assert after.state == "failed"
    assert after.error is not None
    assert "full" in after.error["message"]
    assert "resume" in after.error["hint"]
    with sqlite3.connect(small.settings.database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    # With room again it goes on from the last whole checkpoint and finishes the approved plan.
    step = max(_losses(small, after.id))
    found = latest_checkpoint(small.settings.job_folder(after.id), plan_hash=after.plan_hash)
    assert found is not None
    assert 0 < found[1].step <= step
    room = ["mount", "-o", "remount,size=64m", str(small_disk)]
    assert subprocess.run(room, capture_output=True, check=False).returncode == 0
    resume(small, after)
    finished = _ended(small, after)
    assert finished.state == "succeeded", finished.error
    assert set(_losses(small, after.id)) == set(range(1, 61))
