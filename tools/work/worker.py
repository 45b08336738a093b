"""The process of one job: `python -P -m tools.work.worker JOB_ID`.

It holds the lock on its job folder for its whole life, turns whatever happens into a state, and
writes `exit.json` last. Not covered: being killed; the next face reconciles that.
"""

from __future__ import annotations

import errno
import faulthandler
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import psutil
from filelock import FileLock, Timeout

from tools.context import Context, utc_now
from tools.diagnose.compare import with_sick
from tools.errors import ToolError, Unavailable
from tools.history.events import Failed
from tools.history.store import Store
from tools.jobs.ending import Ending, apply_ending, write_ending
from tools.jobs.libraries import left_out
from tools.jobs.reconcile import reconcile
from tools.settings import read_settings
from tools.work.loading import leave_out, without_collecting
from tools.work.report import Cancelled, Job

_LOCK_PATIENCE_S = 20.0
_RESERVE = "reserve"
_RESERVE_BYTES = 512 * 1024


def main(arguments: list[str]) -> int:
    """Run one job. Returns the exit code: 0 where the job ended in a state it could record."""
    faulthandler.enable()
    # The training libraries warn of their own futures, which helps no reader of this log.
    warnings.simplefilter("ignore", FutureWarning)
    (job_id,) = arguments
    settings = read_settings()
    folder = settings.job_folder(job_id)
    try:
        # A face that looks whether this worker lives holds the lock for a moment.
        with FileLock(folder / "lock", timeout=_LOCK_PATIENCE_S):
            store = Store.open_as_worker(settings.database, clock=utc_now)
            record = store.jobs.get(job_id)
            if record.state != "running":
                _say(f"{job_id} is {record.state}; nothing to do.")
                return 0
            (folder / _RESERVE).write_bytes(b"\0" * _RESERVE_BYTES)
            job = Job(record, settings, store)
            with job.telling():
                ending = _run(job)
            _end(job, ending)
    except Timeout:
        _say(f"Another worker runs {job_id}.")
        return 0
    _admit_next(job)
    return 0


def _run(job: Job) -> Ending:
    """Do the work and say how it ended; only a failure to record that may escape."""
    try:
        job.phase("start", note="loading the libraries")
        result = _work_of(job)(job)
    except Cancelled:
        return Ending(state="cancelled", notice=f"{job.id} was stopped.")
    except ToolError as error:
        return _failure(job, error)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return _failure(job, _disk_full(job))
        return _bug(job, error)
    except Exception as error:  # noqa: BLE001 - the last handler: a bug becomes a failed job
        return _bug(job, error)
    notice = str(result.pop("notice", "")) or f"{job.id} finished."
    return Ending(state="succeeded", notice=notice, result=result)


@without_collecting()
def _work_of(job: Job) -> Callable[[Job], dict[str, Any]]:
    # Each kind pays only for the libraries it uses.
    spare_imports(job)
    if job.record.kind == "search":
        from tools.work import search  # noqa: PLC0415

        return search.run
    if job.record.kind == "adapters":
        from tools.work import adapters  # noqa: PLC0415

        return adapters.run
    if job.record.kind == "train":
        from tools.work import train  # noqa: PLC0415

        return train.run
    if job.record.kind == "evaluate":
        from tools.work import evaluate  # noqa: PLC0415

        return evaluate.run
    from tools.work import export  # noqa: PLC0415

    return export.run


def spare_imports(job: Job) -> None:
    """Keep out what this job does not use."""
    leave_out(left_out(job.store, job.spec))


def _failure(job: Job, error: ToolError) -> Ending:
    _say(f"{type(error).__name__}: {error}")
    refused_by = getattr(error, "refused_by", None)
    job.emit(Failed(message=error.problem, hint=error.hint, refused_by=refused_by))
    how = f"was refused by the {refused_by} gate" if refused_by else "failed"
    notice = f"{job.id} {how}: {error.problem} {error.hint}"
    cured = with_sick(job.store, job.record, state="failed")
    notice = f"{notice} {cured.text}" if cured else notice
    return Ending(state="failed", notice=notice, error=error.as_dict())


def _bug(job: Job, error: Exception) -> Ending:
    traceback.print_exc()
    message = f"A bug in Luthier ended the job: {type(error).__name__}."
    hint = f"The details are in {job.folder / 'log.txt'}; please report them."
    job.emit(Failed(message=message, hint=hint))
    document = {"code": "bug", "message": message, "hint": hint, "refused_by": None}
    return Ending(state="failed", notice=f"{job.id} failed: {message} {hint}", error=document)


def _disk_full(job: Job) -> Unavailable:
    return Unavailable(
        f"The disk that holds {job.settings.home} is full.",
        hint=f"Free some space; then `luthier resume {job.id}` goes on from the last checkpoint.",
    )


def _end(job: Job, ending: Ending) -> None:
    # The reserve gives a full disk just enough room to say so.
    (job.folder / _RESERVE).unlink(missing_ok=True)
    job.flush()
    write_ending(job.folder, ending)
    apply_ending(job.store, job.record, ending)


def _admit_next(job: Job) -> None:
    # This process still holds the memory that the next job may have.
    reconcile(Context(job.settings), leaving_bytes=psutil.Process().memory_info().rss)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
