"""When a process is made ready for a plan that waits, and when better not."""

from __future__ import annotations

import os
from typing import Any

import anyio
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
from ui import commands, conversation, mcp
from ui.web import app, security
from ui.web.settings_page import changed_settings


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


def test_faces_that_stay_open_have_a_process_stand_by(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Context] = []
    monkeypatch.setattr(security, "require_free_port", lambda port: port)
    monkeypatch.setattr(
        app, "_serve_until_interrupted", lambda given, *_, **__: seen.append(Context(given))
    )
    monkeypatch.setattr(mcp, "build_server", seen.append)
    monkeypatch.setattr(anyio, "run", lambda *_: None)
    monkeypatch.setattr(
        conversation.TerminalConversation, "loop", lambda self: seen.append(self._ctx)
    )
    monkeypatch.setattr(commands, "read_settings", lambda: ctx.settings)
    app.launch(ctx.settings, port=7860, open_browser=False)
    mcp.serve(ctx.settings)
    commands.chat(None)
    assert [type(face.settings.warm_workers) for face in seen] == [StandBy] * 3


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
