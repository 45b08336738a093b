"""Starts workers whose libraries are loaded already: `python -P -m tools.work.nursery`.

It loads them once, then forks one worker for each job id on its standard input and answers with
the process's id. Nothing is computed before a fork, so no library has threads or a GPU yet. A
search runs its trials like this: their start takes a tenth of a second instead of ten.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tools.settings import Settings, read_settings

_READY = "ready"


class Nursery:
    """The searching side: a stand-in for starting workers, see `Settings.workers`."""

    def __init__(self, folder: Path) -> None:
        self._ready: bool | None = None
        # The environment is that of a worker already.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tools.work.nursery"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def is_ready(self) -> bool:
        """Wait until the libraries are loaded; false where they cannot be."""
        if self._ready is None:
            assert self._process.stdout
            self._ready = self._process.stdout.readline().strip() == _READY
        return self._ready and self._process.poll() is None

    def start(self, settings: Settings, job_id: str) -> int | None:
        """Let a worker take over a job; return its process id."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{job_id}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        return int(answer) if answer else None

    def answer(self, settings: Settings, target: str, prompt: str) -> str:
        """Answer nothing: only jobs are started here."""
        raise NotImplementedError

    def close(self) -> None:
        """Start no more workers; those that run go on."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()


def main() -> int:
    """Load the libraries, then fork a worker for each line that comes in."""
    # Nobody waits for the workers: the system takes them away when they end.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # What trials of this machine do not use; a quantised base is loaded by ordinary workers.
    sys.modules.setdefault("deepspeed", None)  # type: ignore[arg-type]
    import peft  # noqa: F401, PLC0415 - the point of it all

    from tools.work import train  # noqa: F401, PLC0415

    settings = read_settings()
    print(_READY, flush=True)
    for line in sys.stdin:
        print(_fork(settings.job_folder(line.strip())), flush=True)
    return 0


def _fork(folder: Path) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        _become_worker(folder)
        from tools.work import worker  # noqa: PLC0415 - only here, after the fork

        code = worker.main([folder.name])
        sys.stdout.flush()
    finally:
        # Not the way of the parent, whose loop this process is a copy of.
        os._exit(code)


def _become_worker(folder: Path) -> None:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)


if __name__ == "__main__":
    sys.exit(main())
