"""The process of one job: `python -P -m tools.work.worker JOB_ID`.

It holds the lock on its job folder for its whole life, turns whatever happens into a state, and
writes `exit.json` last. A training that runs out of memory begins again in a fresh image of the
same process, with one more argument (see `tools.work.afresh`). Not covered: being killed; the next
face reconciles that.
"""

from __future__ import annotations

import errno
import faulthandler
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from filelock import Timeout

from tools.context import Context, utc_now
from tools.diagnose.compare import with_sick
from tools.errors import ToolError, Unavailable
from tools.history.events import Failed
from tools.history.spec import TrainingSpec
from tools.history.store import Store
from tools.jobs.ending import EXIT_FILE, Ending, apply_ending, write_ending
from tools.jobs.libraries import left_out
from tools.jobs.reconcile import reconcile
from tools.settings import Settings, read_settings
from tools.work.afresh import NO_ROOM, Start
from tools.work.attempts import as_attempted
from tools.work.loading import leave_out, without_collecting
from tools.work.report import Cancelled, Job
from tools.work.shortage import OutOfMemory, is_about_memory

_RESERVE = "reserve"
_RESERVE_BYTES = 512 * 1024


def main(arguments: list[str]) -> int:
    """Run one job. Returns the exit code: 0 where the job ended in a state it could record."""
    faulthandler.enable()
    # The training libraries warn of their own futures, which helps no reader of this log.
    warnings.simplefilter("ignore", FutureWarning)
    start = Start.of(arguments)
    settings = read_settings()
    folder = settings.job_folder(start.job_id)
    try:
        with start.locked(folder) as lock:
            try:
                job = _work(start, settings, lock)
            except Exception as error:
                if not is_about_memory(error):
                    raise
                return _without_room(start, folder, lock)
    except Timeout:
        _say(f"Another worker runs {start.job_id}.")
        return 0
    if job is not None:
        _admit_next(job)
    return 0


def _work(start: Start, settings: Settings, lock: int) -> Job | None:
    """Run the job to its end; None where there is nothing to do."""
    store = Store.open_as_worker(settings.database, clock=utc_now)
    record = store.jobs.get(start.job_id)
    if record.state != "running":
        _say(f"{record.id} is {record.state}; nothing to do.")
        return None
    folder = settings.job_folder(record.id)
    (folder / _RESERVE).write_bytes(b"\0" * _RESERVE_BYTES)
    job = Job(
        record, settings, store, failure=start.failure, restart=lambda why: start.again(lock, why)
    )
    with job.telling():
        ending = _run(job)
    _end(job, ending)
    return job


def _without_room(start: Start, folder: Path, lock: int) -> int:
    """Go on where there was not even memory to open the history."""
    if (folder / EXIT_FILE).exists():
        return 1  # the next face reads it
    try:
        start.again(lock, None)
    except OutOfMemory as error:
        _say(str(error))
        notice = f"{start.job_id} failed: {error}"
        write_ending(folder, Ending(state="failed", notice=notice, error=error.as_dict()))
    return 0


def _run(job: Job) -> Ending:
    """Do the work and say how it ended; only a failure to record that may escape."""
    try:
        job.phase("start", note="loading the libraries")
        result = _loaded(job)(job)
    except Cancelled:
        return Ending(state="cancelled", notice=f"{job.id} was stopped.")
    except ToolError as error:
        return _failure(job, error)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return _failure(job, _disk_full(job))
        return _short_or_bug(job, error)
    except Exception as error:  # noqa: BLE001 - the last handler: a bug becomes a failed job
        return _short_or_bug(job, error)
    notice = str(result.pop("notice", "")) or f"{job.id} finished."
    return Ending(state="succeeded", notice=notice, result=result)


def _loaded(job: Job) -> Callable[[Job], dict[str, Any]]:
    try:
        return _work_of(job)
    except Exception as error:
        # Libraries whose allocations fail without a word end as errors of the interpreter.
        if not (is_about_memory(error) or isinstance(error, SystemError)):
            raise
        job.begin_again(None)  # a process that was forked has more mapped than it needs
        raise OutOfMemory(f"{NO_ROOM}.") from None


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
    spec = as_attempted(job, job.spec) if isinstance(job.spec, TrainingSpec) else job.spec
    leave_out(left_out(job.store, spec))


def _failure(job: Job, error: ToolError) -> Ending:
    _say(f"{type(error).__name__}: {error}")
    refused_by = getattr(error, "refused_by", None)
    job.emit(Failed(message=error.problem, hint=error.hint, refused_by=refused_by))
    how = f"was refused by the {refused_by} gate" if refused_by else "failed"
    notice = f"{job.id} {how}: {error.problem} {error.hint}"
    cured = with_sick(job.store, job.record, state="failed")
    notice = f"{notice} {cured.text}" if cured else notice
    return Ending(state="failed", notice=notice, error=error.as_dict())


def _short_or_bug(job: Job, error: Exception) -> Ending:
    if not is_about_memory(error):
        return _bug(job, error)
    return _failure(job, OutOfMemory("Memory ran out."))


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
    try:
        job.flush()
    finally:  # whatever the history has no room for, how it ended is told
        write_ending(job.folder, ending)
    apply_ending(job.store, job.record, ending)


def _admit_next(job: Job) -> None:
    # This process still holds the memory that the next job may have.
    reconcile(Context(job.settings), leaving_bytes=psutil.Process().memory_info().rss)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
