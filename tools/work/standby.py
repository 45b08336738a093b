"""Loads the libraries, then becomes the worker of one job: `python -P -m tools.work.standby NAME…`.

The names are libraries to leave out. The job's id comes on standard input; where the input ends
instead, the face that would have sent it is gone, and so is this process. Until then it computes
nothing and asks no GPU.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from tools.jobs.standby import TAKEN
from tools.settings import read_settings
from tools.work.loading import leave_out, load_training


def main(arguments: list[str]) -> int:
    """Load, wait for a job, and be its worker."""
    leave_out(arguments)
    # Where a library is broken the worker meets the same error, and has a log to tell it in.
    with suppress(Exception):
        load_training()
    job_id = sys.stdin.readline().strip()
    if not job_id:
        return 0
    become_worker(job_id, answer=TAKEN)
    from tools.work import worker  # noqa: PLC0415 - its errors belong into the job's log

    return worker.main([job_id])


def become_worker(job_id: str, *, answer: str = "") -> None:
    """Work in the job's folder and write to its log; what this process was tied to is cut.

    Args:
        answer: Said at last to who started this process, unless that one is gone.
    """
    folder = read_settings().job_folder(job_id)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    if answer:
        with suppress(OSError):
            os.write(1, f"{answer}\n".encode())
    for descriptor, stream in enumerate((nothing, log, log)):
        os.dup2(stream, descriptor)
    os.chdir(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
