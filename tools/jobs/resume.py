"""Stopping a job, and whether and how a stopped one can go on."""

from __future__ import annotations

import time
from pathlib import Path

from filelock import FileLock

from tools.context import Context
from tools.errors import Conflict
from tools.history.events import AttemptChanged
from tools.history.jobs import JobRecord
from tools.history.spec import (
    UNFINISHED,
    AdaptersSpec,
    EvaluationSpec,
    JobState,
    SearchSpec,
    TrainingSpec,
)
from tools.jobs.checkpoints import (
    CheckpointManifest,
    checkpoint_folders,
    latest_checkpoint,
    search_checkpoints,
)
from tools.jobs.ending import CANCEL_FILE, EXIT_FILE
from tools.jobs.launch import admit, start
from tools.jobs.reconcile import is_alive, reconcile
from tools.jobs.trials import STUDY_FILE, minutes_left

_STOPS_SOON_S = 2.0
_ENDS_SOON_S = 10.0
NEXT_PART = {"search": "the next trial", "adapters": "the next adapter"}


def cancel(ctx: Context, record: JobRecord) -> JobRecord:
    """Ask a job to stop; a queued one never starts. Waits a moment for a quick end.

    Raises:
        Conflict: The job has already ended.
    """
    reconcile(ctx)
    record = ctx.store.jobs.get(record.id)
    if record.state not in UNFINISHED:
        raise Conflict(
            f"{record.id} has already ended ({record.state}); there is nothing to stop.",
            hint=f"`luthier show {record.id}` says how it ended.",
        )
    if ctx.store.jobs.set_state(record.id, "cancelled", expected=["queued"], reason="asked to"):
        return ctx.store.jobs.get(record.id)
    (ctx.settings.job_folder(record.id) / CANCEL_FILE).touch()
    deadline = time.monotonic() + _STOPS_SOON_S
    while time.monotonic() < deadline:
        record = ctx.store.jobs.get(record.id)
        if record.state not in UNFINISHED:
            break
        time.sleep(0.1)
    reconcile(ctx)
    return ctx.store.jobs.get(record.id)


def resume(ctx: Context, record: JobRecord, *, at_once: bool = False) -> JobRecord:
    """Let a stopped training or search finish its approved plan from where it came to.

    Args:
        at_once: Start it beside the queue, as a search does with its trial.

    Raises:
        Conflict: It cannot go on; the reason is named.
    """
    reconcile(ctx)
    record = ctx.store.jobs.get(record.id)
    # Digests of large checkpoints take a while, so they are compared before the lock is taken.
    why_not, found = why_not_resumable(ctx, record, thorough=True)
    _refuse(record, why_not)
    reason = _from_where(ctx, record, found)
    _let_end(ctx.settings.job_folder(record.id))
    # Two who resume at once: the second finds the first one's state, and touches nothing of its.
    with FileLock(ctx.settings.home / "admission.lock"):
        _back_into_the_queue(ctx, ctx.store.jobs.get(record.id), reason)
    if at_once:
        start(ctx, ctx.store.jobs.get(record.id))
    else:
        admit(ctx)
    return ctx.store.jobs.get(record.id)


def _let_end(folder: Path) -> None:
    """Give a worker that has told its end the moment it needs to be gone."""
    deadline = time.monotonic() + _ENDS_SOON_S
    while is_alive(folder) and time.monotonic() < deadline:
        time.sleep(0.1)


def _refuse(record: JobRecord, why_not: str) -> None:
    if why_not:
        raise Conflict(f"{record.id} cannot be resumed: {why_not}", hint=_instead(record))


def _back_into_the_queue(ctx: Context, record: JobRecord, reason: str) -> None:
    """Queue a stopped job again, and record where it goes on from."""
    _refuse(record, why_not_resumable(ctx, record)[0])
    folder = ctx.settings.job_folder(record.id)
    if is_alive(folder):
        raise Conflict(f"The worker of {record.id} has not ended yet.", hint="Wait a moment.")
    for left in (EXIT_FILE, CANCEL_FILE):
        (folder / left).unlink(missing_ok=True)
    stopped: tuple[JobState, ...] = ("interrupted", "cancelled", "failed", "lost")
    if not ctx.store.jobs.set_state(record.id, "queued", expected=stopped, reason="resumed"):
        raise Conflict(f"{record.id} was just resumed elsewhere.", hint="Look at its state.")
    number = 2 + len(ctx.store.jobs.events(record.id, kinds=["attempt"]))
    ctx.store.jobs.append(record.id, [AttemptChanged(number=number, changes={}, reason=reason)])


def _from_where(ctx: Context, record: JobRecord, found: CheckpointManifest | None) -> str:
    """Return from where a job goes on, and which later checkpoints cannot be trusted."""
    if found is None:
        what = NEXT_PART.get(record.kind, "the rows not scored yet")
        return f"resumed with {what}"
    folder = ctx.settings.job_folder(record.id)
    # The digests of the one chosen were compared already.
    newest = checkpoint_folders(folder)[0].name == f"checkpoint-{found.step}"
    passed_over = (
        "" if newest else search_checkpoints(folder, plan_hash=record.plan_hash)[1].rstrip(".")
    )
    return f"resumed from step {found.step}{passed_over and f'; {passed_over}'}"


def why_not_resumable(
    ctx: Context, record: JobRecord, *, thorough: bool = False
) -> tuple[str, CheckpointManifest | None]:
    """Return why a job cannot go on, or an empty text and the checkpoint it would start from.

    A search goes on with its next trial, several adapters with the next one, and an evaluation with
    the rows it has not scored; none of them needs a checkpoint.

    Args:
        thorough: Compare every digest of the checkpoint; otherwise only sizes.
    """
    spec = record.spec
    if not isinstance(spec, TrainingSpec | SearchSpec | AdaptersSpec | EvaluationSpec):
        return "only training runs leave checkpoints.", None
    if record.forgotten_at:
        return "its files were deleted.", None
    if record.state in UNFINISHED:
        return f"it is {record.state}.", None
    if record.state == "succeeded":
        return "it has already succeeded.", None
    refused_by = (record.error or {}).get("refused_by")
    if refused_by:
        return f"the {refused_by} gate refused it, and would again.", None
    folder = ctx.settings.job_folder(record.id)
    if isinstance(spec, EvaluationSpec | AdaptersSpec):
        return "", None
    if isinstance(spec, SearchSpec):
        return _why_search_stays(record, folder), None
    found = latest_checkpoint(folder, plan_hash=record.plan_hash, thorough=thorough)
    if found is None:
        return "it left no checkpoint that can be trusted.", None
    used_s = found[1].memory.get("elapsed_s", 0.0)
    if spec.max_minutes is not None and used_s >= spec.max_minutes * 60:
        return f"the {spec.max_minutes:g} minutes it was approved for are used up.", None
    return "", found[1]


def _why_search_stays(record: JobRecord, folder: Path) -> str:
    if not (folder / STUDY_FILE).exists():
        return "it had not begun its first trial."
    if minutes_left(record) <= 0:
        return "the minutes it was approved for are used up."
    return ""


def _instead(record: JobRecord) -> str:
    if record.state == "succeeded":
        return "Evaluate it, export it, or start a new training with more epochs."
    if record.state in UNFINISHED:
        return f"`luthier show {record.id}` says how far it is."
    return "Start a new training; the same data and settings can be used."
