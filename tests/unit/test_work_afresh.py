"""A worker that begins again in a fresh process image, and what counts as memory running out."""

from __future__ import annotations

import errno
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.errors import Unavailable
from tools.jobs.reconcile import is_alive
from tools.work.afresh import Handover, Start
from tools.work.shortage import Failure, OutOfMemory, is_about_memory

_IMAGES = 12
_DEADLINE_S = 120.0
_CHILD = f"""
import sys, time
from pathlib import Path
from tools.work.afresh import Start
from tools.work.shortage import Failure

place = Path({{place!r}})
sys.executable = str(place / "wrapper")
start = Start.of(sys.argv[1:])
images = start.handover.images if start.handover else 0
with start.locked(place) as lock:
    (place / "held").touch()
    (place / "images").write_text(str(images))
    if images < {_IMAGES}:
        start.again(lock, Failure(problem=f"number {{{{images}}}}", available_gib=1.5))
    assert start.failure == Failure(problem="number {_IMAGES - 1}", available_gib=1.5)
    time.sleep(0.2)
    (place / "done").touch()
    time.sleep(1)
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that holds a job's lock and replaces its image a dozen times."""
    script = tmp_path / "child.py"
    script.write_text(_CHILD.format(place=str(tmp_path)))
    # In place of Python: the worker's own arguments go to the script instead.
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f'#!/bin/sh\nshift 3\nexec "{sys.executable}" "{script}" "$@"\n')
    wrapper.chmod(0o755)
    with subprocess.Popen([sys.executable, str(script), "job-1"]) as process:
        yield process
        process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="no process is replaced there")
def test_nobody_ever_finds_the_lock_free_while_images_are_replaced(
    child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    looked = 0
    while not (tmp_path / "done").exists():
        assert time.monotonic() < deadline
        if (tmp_path / "held").exists():
            alive, looked = is_alive(tmp_path), looked + 1
            assert alive, f"after {(tmp_path / 'images').read_text()} images"
    assert int((tmp_path / "images").read_text()) == _IMAGES
    assert looked > _IMAGES
    assert child.wait() == 0
    assert not is_alive(tmp_path)


def test_a_lock_that_somebody_else_holds_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    first, second = (Start("job-1", None, {}, (-1, -1)) for _ in range(2))
    with first.locked(tmp_path):
        assert is_alive(tmp_path)
    with second.locked(tmp_path):
        assert is_alive(tmp_path)
    assert not is_alive(tmp_path)


@pytest.mark.parametrize(
    ("handover", "failure"),
    [
        (Handover(lock=0, images=15, failure=Failure(problem="a")), Failure(problem="b")),
        (Handover(lock=0, images=1), None),
    ],
    ids=["too often", "no further"],
)
def test_an_end_comes_to_beginning_again(
    handover: Handover, failure: Failure | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.execve", lambda *_: pytest.fail("it was begun again"))
    limit = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(OutOfMemory) as told:
        Start("job-1", handover, {}, limit).again(0, failure)
    assert told.value.hint


def test_a_worker_that_stood_by_begins_again_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr("os.execve", lambda _, command, __: begun.append(command[-1]))
    limit = resource.getrlimit(resource.RLIMIT_DATA)
    with (tmp_path / "lock").open("w") as lock:
        handover = Handover(lock=lock.fileno(), images=0)
        Start("job-1", handover, {}, limit).again(lock.fileno(), None)
        after = Handover(lock=lock.fileno(), images=1)
    assert [Handover.model_validate_json(document) for document in begun] == [after]


def _sqlite(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


def _caused_by(cause: Exception) -> Unavailable:
    error = Unavailable("Cannot open it: out of memory.", hint="Look at it.")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("can't start new thread"), True),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("shapes do not match"), False),
        (_sqlite(sqlite3.SQLITE_IOERR_SHMMAP), True),
        (_sqlite(sqlite3.SQLITE_IOERR_WRITE), False),
        (_caused_by(_sqlite(sqlite3.SQLITE_NOMEM)), True),
        (_caused_by(_sqlite(sqlite3.SQLITE_FULL)), False),
    ],
    ids=str,
)
def test_running_out_of_memory_is_known_in_whose_words_ever(
    error: Exception, expected: bool
) -> None:
    assert is_about_memory(error) is expected
