"""What a face that starts makes of jobs whose worker does not tell."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from tests.jobs_factory import make_spec_alone
from tools.context import Context, utc_now
from tools.history.jobs import JobRecord
from tools.jobs.checkpoints import seal
from tools.jobs.ending import CANCEL_FILE, Ending, read_ending, write_ending
from tools.jobs.reconcile import reconcile

_NO_SUCH_PROCESS = 2**22 + 1


def _running(ctx: Context, pid: int | None = _NO_SUCH_PROCESS) -> tuple[JobRecord, Path]:
    record = ctx.store.jobs.create(make_spec_alone(), name="run")
    ctx.store.jobs.set_state(record.id, "running")
    ctx.store.jobs.record(record.id, pid=pid)
    folder = ctx.settings.job_folder(record.id)
    folder.mkdir(parents=True)
    return ctx.store.jobs.get(record.id), folder


def _checkpoint(folder: Path, record: JobRecord, step: int = 6) -> Path:
    checkpoint = folder / "checkpoints" / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "adapter_model.safetensors").write_bytes(b"weights" * step)
    seal(checkpoint, step=step, plan_hash=record.plan_hash)
    return checkpoint


def test_a_worker_that_holds_its_lock_is_left_alone(ctx: Context) -> None:
    record, folder = _running(ctx)
    with FileLock(folder / "lock"):
        reconcile(ctx)
        assert ctx.store.jobs.get(record.id).state == "running"
    reconcile(ctx)
    assert ctx.store.jobs.get(record.id).state == "lost"


def test_a_launch_younger_than_a_minute_is_left_alone(ctx: Context) -> None:
    record, _ = _running(ctx, pid=None)
    reconcile(ctx)
    assert ctx.store.jobs.get(record.id).state == "running"
    later = Context(ctx.settings, clock=lambda: utc_now() + timedelta(seconds=61))
    reconcile(later)
    assert ctx.store.jobs.get(record.id).state == "lost"


def test_a_resumed_job_is_not_judged_by_the_process_it_had_before(ctx: Context) -> None:
    record, _ = _running(ctx)
    ctx.store.jobs.set_state(record.id, "interrupted")
    # Resumed; its new worker has not told its process yet.
    ctx.store.jobs.set_state(record.id, "queued")
    ctx.store.jobs.set_state(record.id, "running")
    reconcile(ctx)
    assert ctx.store.jobs.get(record.id).state == "running"


def test_without_a_word_but_with_a_checkpoint_it_is_interrupted(ctx: Context) -> None:
    record, folder = _running(ctx)
    _checkpoint(folder, record)
    reconcile(ctx)
    after = ctx.store.jobs.get(record.id)
    assert after.state == "interrupted"
    assert after.error is not None
    assert "step 6" in after.error["message"]
    assert "resume" in after.error["hint"]


@pytest.mark.parametrize("damage", ["content", "missing file", "no manifest", "other plan"])
def test_a_checkpoint_that_cannot_be_trusted_does_not_count(ctx: Context, damage: str) -> None:
    record, folder = _running(ctx)
    checkpoint = _checkpoint(folder, record)
    weights = checkpoint / "adapter_model.safetensors"
    if damage == "content":
        weights.write_bytes(b"weightZ" * 6)
    elif damage == "missing file":
        weights.unlink()
    elif damage == "no manifest":
        (checkpoint / "manifest.json").unlink()
    else:
        seal(checkpoint, step=6, plan_hash="of another plan")
    reconcile(ctx)
    assert ctx.store.jobs.get(record.id).state == "lost"


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_an_exit_file_is_the_result(ctx: Context, state: str) -> None:
    record, folder = _running(ctx)
    error = {"code": "x", "message": "It broke.", "hint": "Mend it.", "refused_by": None}
    ending = Ending(state=state, notice="Told.", error=error if state == "failed" else None)
    write_ending(folder, ending)
    reconcile(ctx)
    reconcile(ctx)
    after = ctx.store.jobs.get(record.id)
    assert (after.state, after.error) == (state, ending.error)
    assert [n.text for n in ctx.store.claim_notices("me")] == ["Told."]


def test_nothing_is_succeeded_without_its_artefacts(ctx: Context) -> None:
    record, folder = _running(ctx)
    write_ending(folder, Ending(state="succeeded", notice="Done."))
    reconcile(ctx)
    assert ctx.store.jobs.get(record.id).state == "failed"
    record, folder = _running(ctx)
    ctx.store.jobs.record(record.id, artifacts={"adapter": f"jobs/{record.id}/adapter"})
    write_ending(folder, Ending(state="succeeded", notice="Done."))
    reconcile(ctx)
    assert ctx.store.jobs.get(record.id).state == "failed"


def test_a_success_with_its_artefacts_stands(ctx: Context) -> None:
    record, folder = _running(ctx)
    (folder / "adapter").mkdir()
    ctx.store.jobs.record(record.id, artifacts={"adapter": f"jobs/{record.id}/adapter"})
    write_ending(folder, Ending(state="succeeded", notice="Done."))
    reconcile(ctx)
    assert ctx.store.jobs.get(record.id).state == "succeeded"


def test_a_worker_killed_after_it_was_asked_to_stop_was_cancelled(ctx: Context) -> None:
    record, folder = _running(ctx)
    (folder / CANCEL_FILE).touch()
    reconcile(ctx)
    assert ctx.store.jobs.get(record.id).state == "cancelled"


def test_half_an_exit_file_counts_as_none(ctx: Context) -> None:
    record, folder = _running(ctx)
    (folder / "exit.json").write_text('{"state": "succ')
    assert read_ending(folder) is None
    reconcile(ctx)
    assert ctx.store.jobs.get(record.id).state == "lost"
