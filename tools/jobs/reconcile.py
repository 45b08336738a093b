"""What became of jobs whose worker no longer tells: read from the lock and the exit file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from tools.context import Context
from tools.history.jobs import JobRecord
from tools.history.spec import JobState
from tools.jobs.checkpoints import latest_checkpoint
from tools.jobs.ending import CANCEL_FILE, Ending, apply_ending, read_ending
from tools.jobs.launch import admit
from tools.jobs.parts import STARTED, is_part
from tools.jobs.trials import STUDY_FILE

LAUNCH_TAKES_AT_MOST = timedelta(minutes=1)


def reconcile(ctx: Context, *, leaving_bytes: int = 0) -> None:
    """Bring the history in line with what is true, then admit what is queued.

    Every face calls this at its start. A worker that holds its lock lives and is left alone.
    """
    for record in ctx.store.jobs.find(states=["running"]):
        _settle(ctx, record)
    admit(ctx, leaving_bytes=leaving_bytes)


def is_alive(folder: Path) -> bool:
    """Return whether a worker holds the lock of this job folder."""
    if not (folder / "lock").exists():
        return False
    try:
        with FileLock(folder / "lock", timeout=0):
            return False
    except Timeout:
        return True


def _settle(ctx: Context, record: JobRecord) -> None:
    folder = ctx.settings.job_folder(record.id)
    if is_alive(folder):
        return
    ending = read_ending(folder)
    if ending is not None:
        apply_ending(ctx.store, record, _checked(ctx, record, ending))
    elif not _may_still_start(ctx, record):
        _end_without_word(ctx, record, folder)


def _checked(ctx: Context, record: JobRecord, ending: Ending) -> Ending:
    """Nothing is succeeded without its artefacts."""
    missing = [p for p in record.artifacts.values() if not (ctx.settings.home / str(p)).exists()]
    leaves_some = record.kind in ("train", "adapters", "export")
    if ending.state != "succeeded" or not (missing or (leaves_some and not record.artifacts)):
        return ending
    message = f"{record.id} said it succeeded, but its result is not there."
    hint = "Start it again."
    error = {"code": "unavailable", "message": message, "hint": hint, "refused_by": None}
    return Ending(state="failed", notice=f"{message} {hint}", error=error)


def _may_still_start(ctx: Context, record: JobRecord) -> bool:
    """A launch younger than a minute has perhaps not come to its lock yet."""
    since = record.started_at or record.created_at
    if ctx.clock() - since > LAUNCH_TAKES_AT_MOST:
        return False
    return record.pid is None or _process_lives(record.pid)


def _process_lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _end_without_word(ctx: Context, record: JobRecord, folder: Path) -> None:
    if (folder / CANCEL_FILE).exists():
        ending = Ending(state="cancelled", notice=f"{record.id} was stopped.")
        apply_ending(ctx.store, record, ending)
        return
    kept = _what_is_kept(record, folder)
    state: JobState = "interrupted" if kept else "lost"
    if kept:
        message = f"The worker of {record.id} ended without a word after {kept[0]}."
        hint = f"`luthier resume {record.id}` goes on {kept[1]}."
    else:
        message = f"The worker of {record.id} ended without a word and left no checkpoint."
        hint = "Its log is in the job's folder; start it again."
    error = {"code": state, "message": message, "hint": hint, "refused_by": None}
    moved = ctx.store.jobs.set_state(
        record.id, state, expected=["running"], reason=message, error=error
    )
    if moved and not is_part(ctx.store, record):
        ctx.store.add_notice(record.id, record.thread_id, f"{message} {hint}")


def _what_is_kept(record: JobRecord, folder: Path) -> tuple[str, str] | None:
    """Return how far a job came and what it can go on from, or None where nothing is left."""
    if record.kind == "search":
        return ("some trials", "with the next trial") if (folder / STUDY_FILE).exists() else None
    if record.kind == "adapters":
        return ("some adapters", "with the next adapter") if record.metrics.get(STARTED) else None
    found = latest_checkpoint(folder, plan_hash=record.plan_hash)
    return (f"step {found[1].step}", "from its last checkpoint") if found else None
