"""Starts workers whose libraries are loaded already: `python -P -m tools.work.nursery NAME…`.

It loads them once, without those named, then forks one worker for each job id on its standard
input and answers with the process's id. Nothing is computed before a fork, and no GPU is asked. A
search runs its trials like this: their start takes a tenth of a second instead of ten.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

from tools.starting import Launch, Surroundings
from tools.work.loading import leave_out, load_training
from tools.work.standby import become_worker

_READY = "ready"
_FORKS = sys.platform == "linux"
"""Elsewhere there is no fork, or the system's own libraries do not survive one."""


class Nursery:
    """The searching side. Implements `tools.starting.WarmWorkers`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready: bool | None = None
        self._process: subprocess.Popen[str] | None = None
        self._surroundings: Surroundings | None = None

    def warm(self, surroundings: Surroundings) -> None:
        """Begin to load the libraries, once."""
        if self._process is not None or not _FORKS:
            return
        self._surroundings = surroundings
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tools.work.nursery", *surroundings.left_out],
            cwd=self._folder,
            env=surroundings.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def is_ready(self) -> bool:
        """Wait until the libraries are loaded; false where they cannot be."""
        if self._process is None:
            return False
        if self._ready is None:
            assert self._process.stdout
            self._ready = self._process.stdout.readline().strip() == _READY
        return self._ready and self._process.poll() is None

    def start(self, launch: Launch) -> bool:
        """Start a job that may have what is loaded here, and any other from a fresh process."""
        pid = self.fork(launch.folder.name) if self._surroundings == launch.surroundings else None
        if pid is None:
            return launch.fresh()
        launch.began(pid)
        return True

    def fork(self, job_id: str) -> int | None:
        """Let a worker take over a job; return its process id, or None where there is none."""
        if not self.is_ready():
            return None
        assert self._process
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(f"{job_id}\n")
            self._process.stdin.flush()
        except OSError:
            return None
        answer = self._process.stdout.readline().strip()
        return int(answer) if answer else None

    def held_bytes(self) -> int:
        """Return nothing: what is loaded here is part of what its search was admitted with."""
        return 0

    def close(self) -> None:
        """Start no more workers; those that run go on."""
        if self._process and self._process.stdin:
            self._process.stdin.close()
            self._process.wait()


def main(arguments: list[str]) -> int:
    """Load the libraries, then fork a worker for each line that comes in."""
    # Nobody waits for the workers: the system takes them away when they end.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    leave_out(arguments)
    load_training()
    print(_READY, flush=True)
    for line in sys.stdin:
        print(_fork(line.strip()), flush=True)
    return 0


def _fork(job_id: str) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        become_worker(job_id)
        from tools.work import worker  # noqa: PLC0415 - only here, after the fork

        code = worker.main([job_id])
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        # Not the way of the parent, whose loop this process is a copy of.
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
