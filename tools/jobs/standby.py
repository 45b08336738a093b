"""A process that loads the libraries while a plan waits, and becomes the worker of what is started.

It belongs to a face that stays open, ends with it, and ends after a while in which no job came.
Whatever is wrong with it, the job starts from a fresh process instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tools.context import Context
from tools.history.spec import AnySpec
from tools.jobs.launch import free_memory_gib, needed_gib, surroundings_of
from tools.jobs.libraries import can_load_ahead
from tools.settings import Settings
from tools.starting import Launch, Surroundings

TAKEN = "taken"
"""What the process answers when it has become the worker of a job."""
_WAITS_AT_MOST_S = 600.0
_TAKES_AT_MOST_S = 30.0
"""It answers at once, or when a library that is just being loaded lets it; else it was stopped."""
_ROOM_GIB = 1.0
"""Memory to be free beside what the job needs: twice what a process holds that waits."""


def get_ready(ctx: Context, spec: AnySpec, memory_gib: float) -> None:
    """Load the libraries of a planned training while its plan waits, where that is in no one's way.

    Args:
        memory_gib: What the training is predicted to need.
    """
    warm = ctx.settings.warm_workers
    if warm is None or spec.kind != "train" or not can_load_ahead(ctx.store, spec):
        return
    if os.name != "posix":
        return  # never tried elsewhere
    # A running job needs the processors; and after it the next is started by its worker.
    if ctx.store.jobs.find(states=["running", "queued"], limit=1):
        return
    free = free_memory_gib() + warm.held_bytes() / 2**30
    if free >= needed_gib(spec, memory_gib) + _ROOM_GIB:
        warm.warm(surroundings_of(ctx, spec))


@contextmanager
def standing_by(settings: Settings) -> Iterator[Settings]:
    """Give settings under which a face that stays open starts its jobs from a warm process."""
    standby = StandBy(settings.home)
    try:
        yield settings.model_copy(update={"warm_workers": standby})
    finally:
        standby.close()


class StandBy:
    """Implements `tools.starting.WarmWorkers`: one process at most, which takes one job.

    Args:
        folder: Where it waits.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mutex = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._surroundings: Surroundings | None = None
        self._timer: threading.Timer | None = None

    def warm(self, surroundings: Surroundings) -> None:
        """Begin to load the libraries in a process of its own. A failure to do so costs nothing."""
        with self._mutex:
            if self._surroundings != surroundings or not _waits(self._process):
                _end(self._give_away())
                with suppress(OSError):
                    self._process = _begin(self._folder, surroundings)
                    self._surroundings = surroundings
            if self._process is not None:
                self._end_later(self._process)

    def start(self, launch: Launch) -> bool:
        """Let the process that waits take a job; one that does not suit it makes room."""
        with self._mutex:
            suits = self._surroundings == launch.surroundings
            process = self._give_away()
        if not (suits and _hand_over(process, launch.folder.name)):
            _end(process)
            return launch.fresh()
        assert process is not None
        launch.began(process.pid)
        name = f"reap {launch.folder.name}"
        threading.Thread(target=_see_to, args=(process, launch), name=name, daemon=True).start()
        return True

    def held_bytes(self) -> int:
        """Return the memory of the process that waits."""
        with self._mutex:
            process = self._process
        try:
            return int(psutil.Process(process.pid).memory_info().rss) if process else 0
        except psutil.Error:
            return 0

    def close(self) -> None:
        """End the process that waits; workers that came of others go on."""
        with self._mutex:
            _end(self._give_away())

    def _give_away(self) -> subprocess.Popen[str] | None:
        process, self._process, self._surroundings = self._process, None, None
        if self._timer:
            self._timer.cancel()
        return process

    def _end_later(self, process: subprocess.Popen[str]) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = threading.Timer(_WAITS_AT_MOST_S, self._end_unused, [process])
        self._timer.daemon = True
        self._timer.start()

    def _end_unused(self, process: subprocess.Popen[str]) -> None:
        with self._mutex:
            if self._process is process:
                _end(self._give_away())


def _begin(folder: Path, surroundings: Surroundings) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tools.work.standby", *surroundings.left_out],
        cwd=folder,
        env=surroundings.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )


def _waits(process: subprocess.Popen[str] | None) -> bool:
    """Return whether a process is there that can take a job."""
    if process is None or process.poll() is not None:
        return False
    try:
        return bool(psutil.Process(process.pid).status() != psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def _hand_over(process: subprocess.Popen[str] | None, job_id: str) -> bool:
    """Name a job to the process, which may still be loading."""
    if process is None or not _waits(process):
        return False
    assert process.stdin
    try:
        process.stdin.write(f"{job_id}\n")
        process.stdin.close()
    except OSError:
        return False
    return True


def _see_to(process: subprocess.Popen[str], launch: Launch) -> None:
    """Wait for a worker's end, as for any other; start another where it never took the job."""
    patience = threading.Timer(_TAKES_AT_MOST_S, process.kill)
    patience.daemon = True
    patience.start()
    assert process.stdout
    with process.stdout as answers:
        taken = any(line.strip() == TAKEN for line in answers)
    patience.cancel()
    process.wait()
    if not taken:
        launch.fresh()


def _end(process: subprocess.Popen[str] | None) -> None:
    """End a process that has no job; nothing is lost with it."""
    if process is None:
        return
    process.kill()
    for pipe in (process.stdin, process.stdout):
        assert pipe
        with suppress(OSError):
            pipe.close()
    process.wait()
