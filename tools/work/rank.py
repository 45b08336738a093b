"""One of the processes that train a run together: `python -m tools.work.rank JOB_ID`.

The worker holds the job and launches these; only the first tells events and writes checkpoints.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
import traceback
import warnings
from contextlib import suppress
from typing import Any

import psutil

from tools.context import utc_now
from tools.history.events import Event
from tools.history.store import Store
from tools.settings import read_settings
from tools.work.launching import WORKER_PID, RankEnding, rank_ending, write_rank_ending
from tools.work.loading import without_collecting
from tools.work.report import Cancelled, Job
from tools.work.worker import spare_imports

_OUT_OF_WORK = 1
_ORPHANED = 2
_LOOK_EVERY_S = 0.2


class Silent(Job):
    """The job as seen by every rank but the first: the same work, told by nobody."""

    tells = False

    def emit(self, event: Event) -> None:
        """Tell nothing."""

    def measure(self, **values: Any) -> None:
        """Record nothing."""

    def metrics(self, **values: Any) -> None:
        """Record nothing."""

    def notify(self, text: str) -> None:
        """Leave no word."""


def main(arguments: list[str]) -> int:
    """Train as one rank. Returns 0 where the rank's work is done."""
    faulthandler.enable()
    warnings.simplefilter("ignore", FutureWarning)
    (job_id,) = arguments
    _die_with(os.environ.get(WORKER_PID))
    settings = read_settings()
    rank = int(os.environ["RANK"])
    store = Store.open_as_worker(settings.database, clock=utc_now)
    job = (Silent if rank else Job)(store.jobs.get(job_id), settings, store)
    with job.telling():
        ending = _work(job)
        if not rank:
            job.flush()
    write_rank_ending(job.folder, rank, ending)
    return 0 if ending.state in ("done", "cancelled") else _OUT_OF_WORK


def _die_with(worker_pid: str | None) -> None:
    """End this rank when its worker is gone.

    Else a killed job would go on writing beside the one that was resumed; the launcher between
    them does not look after its own parent.
    """
    if worker_pid is None:
        return
    try:
        worker = psutil.Process(int(worker_pid))
    except psutil.NoSuchProcess:
        os._exit(_ORPHANED)
    threading.Thread(target=_watch, args=(worker,), name="orphan", daemon=True).start()


def _watch(worker: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):  # gone between the two questions: over as well
        while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_LOOK_EVERY_S)
    os._exit(_ORPHANED)


def _work(job: Job) -> RankEnding:
    spare_imports(job)
    with without_collecting():
        import torch  # noqa: PLC0415 - the libraries take seconds; first the store

        from tools.work import train  # noqa: PLC0415

    if torch.cuda.is_available():
        # Before anything is loaded, or all ranks would load onto the first card.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    try:
        return RankEnding(state="done", facts=train.run_as_rank(job))
    except Cancelled as error:
        return rank_ending(error)
    except Exception as error:  # noqa: BLE001 - written down, and the worker tells it
        traceback.print_exc()
        return rank_ending(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
