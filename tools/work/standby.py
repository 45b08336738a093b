"""Loads the libraries, then becomes the worker of one job: `python -P -m tools.work.standby NAME…`.

The names are libraries to leave out. The job's id comes on standard input, perhaps while they are
still being loaded; where the input ends instead, the face that would have sent it is gone, and so
is this process. Until then it computes nothing and asks no GPU.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

from filelock import lock_descriptor

from tools.jobs.standby import TAKEN
from tools.settings import read_settings
from tools.work.afresh import LOCK_FILE, Handover
from tools.work.loading import leave_out, load_training


def main(arguments: list[str]) -> int:
    """Load, wait for a job, and be its worker."""
    leave_out(arguments)
    taken: list[str] = []
    listener = threading.Thread(target=_take, args=(taken,), name="take", daemon=True)
    listener.start()
    # Where a library is broken the worker meets the same error, and has a history to tell it in.
    with suppress(Exception):
        load_training()
    listener.join()
    from tools.work import worker  # noqa: PLC0415 - its errors belong into the job's log

    return worker.main(taken)


def _take(taken: list[str]) -> None:
    """Take the job that is named: lock its folder, so that whoever looks finds a worker alive.

    Args:
        taken: Gets the arguments of its worker.
    """
    try:
        job_id = sys.stdin.readline().strip()
        if not job_id:
            os._exit(0)
        path = read_settings().job_folder(job_id) / LOCK_FILE
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        lock_descriptor(lock)
        taken += [job_id, Handover(lock=lock, images=0).model_dump_json()]
        asker = os.dup(1)
        become_worker(job_id)
        # Who asked may be gone by now, as with any worker.
        with suppress(OSError):
            os.write(asker, f"{TAKEN}\n".encode())
        os.close(asker)
    except Exception:  # noqa: BLE001 - what is not taken is started from a fresh process
        os._exit(1)


def become_worker(job_id: str) -> None:
    """Work in the job's folder and write to its log; what this process was tied to is cut."""
    folder = read_settings().job_folder(job_id)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, stream in enumerate((nothing, log, log)):
        os.dup2(stream, descriptor)
    os.chdir(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
