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

from tests.jobs_factory import make_spec_alone
from tools.context import Context
from tools.errors import BadInput
from tools.history.spec import Between, EvaluationSpec, SearchSpec, TrainingSpec
from tools.jobs import launch, standby
from tools.jobs.launch import admit, submit, surroundings_of, why_it_waits
from tools.jobs.libraries import left_out
from tools.jobs.standby import StandBy, get_ready
from tools.starting import Launch, Surroundings
from ui.web.settings_page import changed_settings

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


class _Noted:
    """Notes what it was asked to be ready for."""

    def __init__(self, held_bytes: int = 0) -> None:
        self.wanted: list[Surroundings] = []
        self._held_bytes = held_bytes

    def warm(self, surroundings: Surroundings) -> None:
        self.wanted.append(surroundings)

    def start(self, launch: Launch) -> bool:
        launch.began(os.getpid())
        return True

    def held_bytes(self) -> int:
        return self._held_bytes


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


@pytest.fixture
def noted() -> _Noted:
    return _Noted()


@pytest.fixture
def expecting(ctx: Context, noted: _Noted, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A face that stays open, on a machine with room."""
    monkeypatch.setattr(standby, "free_memory_gib", lambda: 16.0)
    monkeypatch.setattr(launch, "free_memory_gib", lambda: 16.0)
    return Context(ctx.settings.model_copy(update={"warm_workers": noted}))


def test_a_waiting_plan_is_prepared_for_with_what_its_worker_will_have(
    expecting: Context, noted: _Noted
) -> None:
    spec = make_spec_alone()
    get_ready(expecting, spec, 2.0)
    assert noted.wanted == [surroundings_of(expecting, spec)]
    assert noted.wanted[0].environment["CUDA_VISIBLE_DEVICES"] == ""
    assert noted.wanted[0].left_out == ("bitsandbytes", "deepspeed")


def test_a_quantised_base_on_the_processor_keeps_its_library(
    expecting: Context, noted: _Noted
) -> None:
    get_ready(expecting, make_spec_alone(method="qlora"), 2.0)
    assert [given.left_out for given in noted.wanted] == [("deepspeed",)]


_SEARCH = {"base": make_spec_alone(), "space": {"learning_rate": Between(low=1e-4, high=1e-2)}}


@pytest.mark.parametrize(
    "spec",
    [
        make_spec_alone(method="qlora", device="cuda"),
        make_spec_alone(optimizer="adamw_8bit", device="cuda"),
        make_spec_alone(engine="zero2", device="cuda"),
        SearchSpec(**_SEARCH),
    ],
    ids=["qlora", "8-bit", "zero", "search"],
)
def test_what_asks_the_gpu_while_it_loads_is_not_prepared_for(
    spec: Any, expecting: Context, noted: _Noted
) -> None:
    get_ready(expecting, spec, 2.0)
    assert noted.wanted == []


def test_nothing_is_loaded_beside_a_job(expecting: Context, noted: _Noted) -> None:
    submit(expecting, make_spec_alone(seed=2), name="a")
    get_ready(expecting, make_spec_alone(), 2.0)
    assert noted.wanted == []


def test_nothing_is_loaded_where_memory_is_short(
    expecting: Context, noted: _Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "free_memory_gib", lambda: 2.5)
    get_ready(expecting, make_spec_alone(), 2.0)
    assert noted.wanted == []


def test_a_face_that_ends_soon_prepares_for_nothing(ctx: Context) -> None:
    assert ctx.settings.warm_workers is None
    get_ready(ctx, make_spec_alone(), 2.0)


def test_a_job_need_not_wait_for_the_memory_that_stands_by_for_it(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "free_memory_gib", lambda: 1.0)
    without = submit(ctx, make_spec_alone(), name="a", predicted={"memory_gib": 1.4})
    assert without.state == "queued"
    assert "waits for memory" in (why_it_waits(ctx, without, []) or "")
    ready = Context(ctx.settings.model_copy(update={"warm_workers": _Noted(2**29)}))
    assert admit(ready) == [without.id]
    assert ready.store.jobs.get(without.id).pid == os.getpid()


def test_other_settings_keep_what_stands_by(expecting: Context) -> None:
    changed = changed_settings(expecting.settings, network="allow")
    assert changed.warm_workers is expecting.settings.warm_workers
    with pytest.raises(BadInput):
        changed_settings(expecting.settings, network="sometimes")


def test_an_evaluation_leaves_out_what_its_run_does_not_use(ctx: Context) -> None:
    plain, quantised = (
        ctx.store.jobs.create(make_spec_alone(method=method), name=method)
        for method in ("lora", "qlora")
    )
    judged = [EvaluationSpec(job=run.id, dataset="made@0000") for run in (plain, quantised)]
    assert [left_out(ctx.store, spec) for spec in judged] == [
        ("bitsandbytes", "deepspeed"),
        ("deepspeed",),
    ]
    spread: TrainingSpec = make_spec_alone(engine="zero3")
    assert left_out(ctx.store, spread) == ("bitsandbytes",)
