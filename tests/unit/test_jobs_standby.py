"""A process that stands by: what it takes, what it leaves to a fresh one, and when there is none.

The processes here load nothing; what they load is the business of the integration tests.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tools.jobs import standby
from tools.jobs.standby import StandBy
from tools.starting import Launch, Surroundings

_HERE = Surroundings(dict(os.environ), ("bitsandbytes",))
_TAKES = "job = input(); print('some library speaks'); print('taken', flush=True); input()"
_DIES = "input()"
_DEADLINE_S = 20.0


class _Started:
    """Remembers who has a job."""

    def __init__(self, folder: Path) -> None:
        self.pids: list[int] = []
        self.fresh = 0
        self.launch = Launch(folder / "000001-a", _HERE, self.pids.append, self._start_fresh)

    def _start_fresh(self) -> bool:
        self.fresh += 1
        return True


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[str]]:
    """Every process that was begun, each of them running `script_of` the test."""
    return _playing(monkeypatch, _TAKES)


@pytest.fixture
def stand_by(tmp_path: Path) -> Iterator[StandBy]:
    found = StandBy(tmp_path)
    yield found
    found.close()


@pytest.fixture
def job(tmp_path: Path) -> _Started:
    return _Started(tmp_path)


def _playing(monkeypatch: pytest.MonkeyPatch, script: str) -> list[subprocess.Popen[str]]:
    begun: list[subprocess.Popen[str]] = []

    def begin(folder: Path, surroundings: Surroundings) -> subprocess.Popen[str]:
        begun.append(
            subprocess.Popen(
                [sys.executable, "-S", "-c", script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
        return begun[-1]

    monkeypatch.setattr(standby, "_begin", begin)
    return begun


def _until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


def test_the_process_that_waits_takes_the_job(
    stand_by: StandBy, job: _Started, begun: list[Any]
) -> None:
    stand_by.warm(_HERE)
    assert stand_by.start(job.launch)
    begun[0].wait(timeout=_DEADLINE_S)  # it is nobody's any more: its input has ended
    assert (job.pids, job.fresh) == ([begun[0].pid], 0)


def test_it_takes_one_job_only(stand_by: StandBy, job: _Started, begun: list[Any]) -> None:
    stand_by.warm(_HERE)
    stand_by.start(job.launch)
    stand_by.start(job.launch)
    assert (len(job.pids), job.fresh, len(begun)) == (1, 1, 1)


def test_nothing_waits_so_a_fresh_process_starts(stand_by: StandBy, job: _Started) -> None:
    assert stand_by.start(job.launch)
    assert (job.pids, job.fresh) == ([], 1)


def test_one_that_died_is_replaced_by_a_fresh_process(
    stand_by: StandBy, job: _Started, begun: list[Any]
) -> None:
    stand_by.warm(_HERE)
    begun[0].kill()
    begun[0].wait()
    assert stand_by.start(job.launch)
    assert (job.pids, job.fresh) == ([], 1)


def test_one_that_was_stopped_is_ended_and_replaced(
    stand_by: StandBy, job: _Started, begun: list[Any]
) -> None:
    stand_by.warm(_HERE)
    begun[0].send_signal(signal.SIGSTOP)
    _until(lambda: psutil.Process(begun[0].pid).status() == psutil.STATUS_STOPPED, "the stop")
    stand_by.start(job.launch)
    assert (job.pids, job.fresh, begun[0].poll()) == ([], 1, -signal.SIGKILL)


def test_one_that_dies_before_it_has_taken_the_job_is_replaced(
    stand_by: StandBy, job: _Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = _playing(monkeypatch, _DIES)
    stand_by.warm(_HERE)
    stand_by.start(job.launch)
    _until(lambda: job.fresh, "a fresh process")
    assert (job.pids, job.fresh) == ([begun[0].pid], 1)


def test_one_that_never_answers_is_ended_and_replaced(
    stand_by: StandBy, job: _Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "_TAKES_AT_MOST_S", 0.2)
    begun = _playing(monkeypatch, "import time; time.sleep(600)")
    stand_by.warm(_HERE)
    stand_by.start(job.launch)
    _until(lambda: job.fresh, "a fresh process")
    assert begun[0].returncode == -signal.SIGKILL


def test_a_job_of_another_kind_starts_fresh_and_has_the_memory(
    stand_by: StandBy, job: _Started, begun: list[Any]
) -> None:
    stand_by.warm(Surroundings(dict(os.environ), ()))
    assert stand_by.held_bytes() > 0
    stand_by.start(job.launch)
    assert (job.pids, job.fresh, begun[0].poll()) == ([], 1, -signal.SIGKILL)
    assert stand_by.held_bytes() == 0


def test_the_same_plan_again_keeps_the_process_and_another_replaces_it(
    stand_by: StandBy, begun: list[Any]
) -> None:
    stand_by.warm(_HERE)
    stand_by.warm(_HERE)
    assert len(begun) == 1
    stand_by.warm(Surroundings({**os.environ, "LUTHIER_NETWORK": "never"}, ("bitsandbytes",)))
    assert begun[0].poll() == -signal.SIGKILL
    assert [process.poll() for process in begun[1:]] == [None]


def test_it_does_not_wait_for_ever(
    stand_by: StandBy, begun: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "_WAITS_AT_MOST_S", 0.1)
    stand_by.warm(_HERE)
    _until(lambda: begun[0].poll() is not None, "its end")


def test_a_process_that_cannot_be_begun_costs_nothing(
    stand_by: StandBy, job: _Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path, surroundings: Surroundings) -> Any:
        raise OSError("no more processes")

    monkeypatch.setattr(standby, "_begin", fail)
    stand_by.warm(_HERE)
    assert stand_by.start(job.launch)
    assert job.fresh == 1
