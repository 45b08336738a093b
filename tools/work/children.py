"""Jobs that another job starts in its own place: started warm where possible, stopped, gone on."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from tools.context import Context
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED, TrainingSpec, run_of
from tools.jobs.ending import CANCEL_FILE
from tools.jobs.launch import submit, surroundings_of
from tools.jobs.libraries import can_load_ahead
from tools.jobs.reconcile import reconcile
from tools.jobs.resume import resume, why_not_resumable
from tools.work.nursery import Nursery
from tools.work.report import Job

LOOK_EVERY_S = 0.3
_STOPS_WITHIN_S = 20.0


class Children:
    """The training runs of one search or of several adapters, one at a time."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._ctx = Context(job.settings)
        self._nursery = Nursery(job.folder)
        run = run_of(job.spec)
        if can_load_ahead(job.store, run):
            self._nursery.warm(surroundings_of(self._ctx, run))

    def warm_up(self) -> Context:
        """Return the context that starts runs: from the warm process where there is one."""
        if not self._nursery.is_ready():
            return self._ctx
        warm = self._job.settings.model_copy(update={"warm_workers": self._nursery})
        return self._ctx.with_(settings=warm)

    def start(self, spec: TrainingSpec, name: str) -> JobRecord:
        """Start a run beside the queue: this job holds the room it needs."""
        return submit(
            self.warm_up(),
            spec,
            name=f"{self._job.id} {name}",
            parent=self._job.id,
            at_once=True,
        )

    def go_on(self, job_id: str) -> JobRecord:
        """Let a run that was left go on where it can, and return it as it stands."""
        reconcile(self._ctx)
        record = self._ctx.store.jobs.get(job_id)
        if record.state not in UNFINISHED and not why_not_resumable(self._ctx, record)[0]:
            record = resume(self.warm_up(), record, at_once=True)
        return record

    def stop(self, record: JobRecord) -> None:
        """Ask a run to stop, and end it where it does not."""
        folder = self._job.settings.job_folder(record.id)
        (folder / CANCEL_FILE).touch()
        deadline = time.monotonic() + _STOPS_WITHIN_S
        while (now := self._ctx.store.jobs.get(record.id)).state in UNFINISHED:
            if time.monotonic() > deadline and now.pid:
                with suppress(ProcessLookupError):
                    os.kill(now.pid, signal.SIGKILL)
            time.sleep(LOOK_EVERY_S)
            reconcile(self._ctx)

    def close(self) -> None:
        """Leave nothing behind but what was asked for."""
        self._nursery.close()
