"""What a running job tells and leaves behind: the one object a worker hands to its work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from tools.context import utc_now
from tools.errors import Unavailable
from tools.history.events import Event, PhaseStarted, Progress, Warned
from tools.history.jobs import JobRecord
from tools.history.spec import AnySpec
from tools.history.store import Store
from tools.jobs.ending import CANCEL_FILE
from tools.settings import Settings
from tools.work.shortage import Failure, is_about_memory

FLUSH_EVERY_S = 0.5


class Cancelled(Exception):
    """The person asked for the job to stop. Raised by `check_cancelled`; the worker catches it."""


class Job:
    """A job as its own worker sees it. Events are queued and written every half second.

    Attributes:
        record: The row of the history as it was at the start.
        folder: The job's folder and the process's working directory.
        tells: False in the processes of a run that leave the telling to the first.
        failure: What ran out of memory and is not answered yet.

    Args:
        restart: Replaces this process image by a fresh one that answers a failure.
    """

    tells = True

    def __init__(
        self,
        record: JobRecord,
        settings: Settings,
        store: Store,
        *,
        failure: Failure | None = None,
        restart: Callable[[Failure | None], None] | None = None,
    ) -> None:
        self.record = record
        self.settings = settings
        self.store = store
        self.folder: Path = settings.job_folder(record.id)
        self.failure = failure
        self._restart = restart
        self._queue: list[tuple[datetime, Event]] = []
        self._mutex = threading.Lock()
        self._writing = threading.Lock()
        self._ended = threading.Event()

    @property
    def id(self) -> str:
        """Id of the job."""
        return self.record.id

    @property
    def spec(self) -> AnySpec:
        """The frozen spec."""
        return self.record.spec

    def emit(self, event: Event) -> None:
        """Queue an event; it is in the history within half a second."""
        with self._mutex:
            self._queue.append((utc_now(), event))

    def phase(self, name: str, note: str = "") -> None:
        """Begin a part of the work. A good moment to stop: raises `Cancelled` where asked for."""
        self.check_cancelled()
        self.emit(PhaseStarted(phase=name, note=note))

    def progress(self, phase: str, done: int, total: int, eta_s: float | None = None) -> None:
        """Tell how far a phase is."""
        self.emit(Progress(phase=phase, done=done, total=total, eta_s=eta_s))

    def warn(self, code: str, message: str) -> None:
        """Tell something a person should know; the job goes on."""
        self.emit(Warned(code=code, message=message))

    def notify(self, text: str) -> None:
        """Leave word for the person now, while the job goes on."""
        self.store.add_notice(self.id, self.record.thread_id, text)

    def check_cancelled(self) -> None:
        """Raise `Cancelled` where a person asked for it. Cheap enough for every step."""
        if (self.folder / CANCEL_FILE).exists():
            raise Cancelled(self.id)

    def artifact(self, name: str, path: Path) -> None:
        """Record a result that lies under Luthier's home."""
        relative = path.resolve().relative_to(self.settings.home.resolve())
        self.store.jobs.record(self.id, artifacts={name: relative.as_posix()})

    def measure(self, **values: Any) -> None:
        """Record measured quantities, such as `memory_gib` or `duration_s`."""
        self.store.jobs.record(self.id, measured=values)

    def metrics(self, **values: Any) -> None:
        """Record what judges the result, such as `eval_loss` or `accuracy`."""
        self.store.jobs.record(self.id, metrics=values)

    def begin_again(self, failure: Failure | None) -> None:
        """Answer a failure with a smaller attempt: in a worker this does not return.

        Raises:
            OutOfMemory: It was begun again too often.
        """
        self.failure = failure
        if self._restart is not None:
            # There may be no memory even for this; steps after the last checkpoint come again.
            with suppress(Exception):
                self.flush()
            self._restart(failure)

    def flush(self) -> None:
        """Write queued events now. What cannot be written stays queued.

        Raises:
            Unavailable: The disk is full or the database cannot be written.
        """
        with self._writing:
            with self._mutex:
                batch, self._queue = self._queue, []
            try:
                events = [event for _, event in batch]
                self.store.jobs.append(self.id, events, at=[at for at, _ in batch])
            except BaseException:
                with self._mutex:
                    self._queue = batch + self._queue
                raise

    @contextmanager
    def telling(self) -> Iterator[Job]:
        """Write queued events in the background while the work goes on."""
        thread = threading.Thread(target=self._flush_until_end, name="events", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join(timeout=10 * FLUSH_EVERY_S)

    def _flush_until_end(self) -> None:
        while not self._ended.wait(FLUSH_EVERY_S):
            try:
                self.flush()
            except Exception as error:
                # The events stay queued; the work itself meets what is full and names it.
                if not isinstance(error, Unavailable) and not is_about_memory(error):
                    raise
                time.sleep(FLUSH_EVERY_S)
