"""Going on: from which checkpoint, said how, and only once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from tests.jobs_factory import NoWorkers, make_spec_alone
from tools.context import Context
from tools.errors import Conflict
from tools.history.jobs import JobRecord
from tools.jobs.capabilities import resume_job
from tools.jobs.checkpoints import (
    HALF,
    checkpoint_folders,
    drop_old,
    latest_checkpoint,
    move_up,
    seal,
)
from tools.jobs.ending import CANCEL_FILE
from tools.jobs.launch import submit
from tools.jobs.resume import resume
from tools.settings import Settings

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def idle(settings: Settings) -> Context:
    """A context whose jobs start no process."""
    return Context(settings.model_copy(update={"workers": NoWorkers()}))


def _stopped(ctx: Context, *steps: int) -> tuple[JobRecord, Path]:
    """A run that was interrupted and left checkpoints of these steps."""
    record = submit(ctx, make_spec_alone(), name="run")
    folder = ctx.settings.job_folder(record.id)
    for step in steps:
        _write(folder / "checkpoints" / f"checkpoint-{step}", step, record.plan_hash)
    ctx.store.jobs.set_state(record.id, "interrupted")
    return ctx.store.jobs.get(record.id), folder


def _write(checkpoint: Path, step: int, plan_hash: str) -> Path:
    checkpoint.mkdir(parents=True)
    (checkpoint / WEIGHTS).write_bytes(b"weights" * step)
    (checkpoint / "optimizer.pt").write_bytes(b"moments" * step)
    seal(checkpoint, step=step, plan_hash=plan_hash)
    return checkpoint


def _truncate(checkpoint: Path) -> str:
    path = checkpoint / "optimizer.pt"
    path.write_bytes(path.read_bytes()[:-3])
    return "optimizer.pt has another size"


def _flip_a_byte(checkpoint: Path) -> str:
    content = bytearray((checkpoint / WEIGHTS).read_bytes())
    content[5] ^= 1
    (checkpoint / WEIGHTS).write_bytes(content)
    return f"{WEIGHTS} has another content"


def _lose_a_file(checkpoint: Path) -> str:
    (checkpoint / WEIGHTS).unlink()
    return f"{WEIGHTS} is missing"


def _lose_the_manifest(checkpoint: Path) -> str:
    (checkpoint / "manifest.json").unlink()
    return "no manifest"


def _cut_the_manifest(checkpoint: Path) -> str:
    path = checkpoint / "manifest.json"
    path.write_bytes(path.read_bytes()[:40])
    return "manifest cannot be read"


@pytest.mark.parametrize(
    "damage", [_truncate, _flip_a_byte, _lose_a_file, _lose_the_manifest, _cut_the_manifest]
)
def test_a_damaged_newest_checkpoint_is_passed_over_and_that_is_said(
    idle: Context, damage: Callable[[Path], str]
) -> None:
    record, folder = _stopped(idle, 4, 8)
    flaw = damage(folder / "checkpoints" / "checkpoint-8")
    told = resume_job(record.id, ctx=idle)
    (attempt,) = idle.store.jobs.events(record.id, kinds=["attempt"])
    for text in (told.message, attempt.payload["reason"]):
        assert "from step 4; checkpoint-8 cannot be trusted" in text
        assert flaw in text
    found = latest_checkpoint(folder, plan_hash=record.plan_hash)
    assert found is not None
    assert found[0].name == "checkpoint-4"


def test_where_all_checkpoints_are_damaged_nothing_is_started(idle: Context) -> None:
    record, folder = _stopped(idle, 4, 8)
    _truncate(folder / "checkpoints" / "checkpoint-4")
    _flip_a_byte(folder / "checkpoints" / "checkpoint-8")
    with pytest.raises(Conflict, match="no checkpoint that can be trusted"):
        resume(idle, record)
    assert idle.store.jobs.get(record.id).state == "interrupted"
    assert idle.store.jobs.events(record.id, kinds=["attempt"]) == []


def test_a_run_that_succeeded_is_not_resumed_and_stays_as_it_is(idle: Context) -> None:
    record, _ = _stopped(idle, 4)
    idle.store.jobs.set_state(record.id, "succeeded")
    with pytest.raises(Conflict, match="already succeeded") as told:
        resume(idle, record)
    assert "more epochs" in told.value.hint
    assert idle.store.jobs.get(record.id).state == "succeeded"


def test_of_those_who_resume_at_once_one_does(idle: Context) -> None:
    record, _ = _stopped(idle, 4)
    told: list[str] = []
    together = threading.Barrier(6)

    def work() -> None:
        face = Context(idle.settings)
        together.wait()
        try:
            told.append(resume(face, record).state)
        except Conflict as error:
            told.append(error.problem)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.count("running") == 1, told
    assert len(idle.store.jobs.events(record.id, kinds=["attempt"])) == 1
    workers = idle.settings.workers
    assert isinstance(workers, NoWorkers)
    # Once when it was submitted, once when it was resumed.
    assert workers.started == [record.id, record.id]


def test_who_resumes_too_late_does_not_undo_a_wish_to_stop(
    idle: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, folder = _stopped(idle, 4)
    late = Context(idle.settings)
    from tools.jobs import resume as module

    real = module.why_not_resumable

    def slowly(ctx: Context, looked_at: JobRecord, **options: bool) -> object:
        found = real(ctx, looked_at, **options)
        if ctx is late and options.get("thorough"):
            # While the digests were compared somebody else resumed it and a person stopped it.
            resume(idle, record)
            (folder / CANCEL_FILE).touch()
        return found

    monkeypatch.setattr(module, "why_not_resumable", slowly)
    with pytest.raises(Conflict, match="it is running"):
        resume(late, record)
    assert (folder / CANCEL_FILE).exists()


def test_a_worker_that_told_its_end_is_given_the_moment_to_be_gone(idle: Context) -> None:
    record, folder = _stopped(idle, 4)
    lock = FileLock(folder / "lock", thread_local=False)
    lock.acquire()
    gone = threading.Timer(0.5, lock.release)
    gone.start()
    assert resume(idle, record).state == "running"
    gone.join()


def test_two_checkpoints_are_kept_so_that_there_is_one_behind_the_newest(tmp_path: Path) -> None:
    folders = [_write(tmp_path / "checkpoints" / f"checkpoint-{n}", n, "p") for n in (4, 8, 12)]
    drop_old(tmp_path, newest=folders[2], best=folders[2])
    assert [f.name for f in checkpoint_folders(tmp_path)] == ["checkpoint-12", "checkpoint-8"]
    fourth = _write(tmp_path / "checkpoints" / "checkpoint-16", 16, "p")
    drop_old(tmp_path, newest=fourth, best=folders[1])
    assert [f.name for f in checkpoint_folders(tmp_path)] == ["checkpoint-16", "checkpoint-8"]
    drop_old(tmp_path, newest=fourth, best=fourth)
    assert [f.name for f in checkpoint_folders(tmp_path)] == ["checkpoint-16", "checkpoint-8"]


def test_a_checkpoint_written_again_takes_the_place_of_the_earlier_one(tmp_path: Path) -> None:
    old = _write(tmp_path / "checkpoints" / "checkpoint-8", 8, "p")
    new = _write(tmp_path / "checkpoints" / HALF / "checkpoint-8", 8, "p")
    (old / "old").touch()
    assert move_up(new) == old
    assert not (old / "old").exists()
    assert latest_checkpoint(tmp_path, plan_hash="p") is not None
    assert list((tmp_path / "checkpoints" / HALF).iterdir()) == []
