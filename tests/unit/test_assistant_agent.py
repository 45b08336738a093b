"""The agent with scripted brains: events, errors, guards, memory."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from assistant.agent import Assistant
from assistant.events import (
    ApprovalAsked,
    BrainFailed,
    NoticeTold,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEvent,
    UserSaid,
)
from tests.unit.assistant_stage import FakeOpenAI, ScriptedBrain, calls, small_catalogue
from tools.settings import Settings


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Calls of the small catalogue."""
    made: list[tuple[str, Any]] = []
    small_catalogue(monkeypatch, made)
    return made


def scripted(settings: Settings, *answers: AIMessage) -> tuple[Assistant, ScriptedBrain]:
    brain = ScriptedBrain(responses=list(answers), seen=[])
    return Assistant(settings, actor="chat", brain=brain), brain


def text_of(events: list[TurnEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def only(events: list[TurnEvent], kind: type[TurnEvent]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_a_tool_call_is_told_with_its_title_result_and_time(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    assistant, _ = scripted(
        settings, calls(("inspect_dataset", {"path": "a.csv"})), AIMessage("It has 3 rows.")
    )
    events = list(assistant.turn("t", "look at a.csv"))
    started, finished = only(events, ToolStarted)[0], only(events, ToolFinished)[0]
    assert started.title == "looking at a.csv"
    assert finished.title == "looked at a.csv"
    assert finished.status == "done"
    assert finished.duration_s >= 0
    assert finished.report == {
        "type": "Said",
        "value": "a.csv has 3 rows.\n",
        "state": "done",
        "approval_id": None,
    }
    assert text_of(events) == "It has 3 rows."
    assert log == [("inspect_dataset", started.call_id)]


def test_a_tool_error_reaches_the_brain_with_its_hint(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    assistant, brain = scripted(
        settings, calls(("inspect_dataset", {"path": "empty"})), AIMessage("It is empty.")
    )
    events = list(assistant.turn("t", "look"))
    finished = only(events, ToolFinished)[0]
    assert finished.status == "error"
    assert finished.error["hint"] == "Name another file."
    result = next(m for m in brain.seen[-1] if isinstance(m, ToolMessage))
    assert result.status == "error"
    assert result.content == "The file is empty. Name another file."


def test_wrong_arguments_name_what_the_tool_takes(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    wrong = calls(("start_training", {"path": "a.csv", "rank": 0, "speed": 9}), ("fly", {}))
    assistant, _ = scripted(settings, wrong, AIMessage("I see."))
    finished = only(list(assistant.turn("t", "go")), ToolFinished)
    assert {f.status for f in finished} == {"error"}
    assert "rank" in finished[0].text
    assert "It takes: path, rank." in finished[0].text
    assert "no capability called fly" in finished[1].text
    assert log == []


def test_a_bug_in_a_tool_ends_the_turn_honestly_and_the_thread_stays_usable(
    settings: Settings, log: list[tuple[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    assistant, brain = scripted(
        settings, calls(("inspect_dataset", {"path": "broken"})), AIMessage("Here again.")
    )
    events = list(assistant.turn("t", "look"))
    assert only(events, ToolFinished)[0].error["code"] == "bug"
    assert "bug" in only(events, BrainFailed)[0].message
    assert "KeyError" in caplog.text
    assert text_of(list(assistant.turn("t", "and now?"))) == "Here again."
    lost = [m for m in brain.seen[-1] if isinstance(m, ToolMessage)]
    assert "interrupted" in lost[0].text


def test_calls_of_one_message_happen_in_their_order(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    many = [("prepare_dataset", {"path": f"{i}.csv"}) for i in range(5)]
    assistant, _ = scripted(settings, calls(*many), AIMessage("Done."))
    list(assistant.turn("t", "prepare all"))
    assert log == [("prepare_dataset", f"{i}.csv") for i in range(5)]


def test_a_waiting_plan_ends_the_turn_and_nothing_acts_behind_it(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    assistant, _ = scripted(
        settings,
        calls(("start_training", {"path": "a.csv"})),
        calls(("prepare_dataset", {"path": "a.csv"}), ("inspect_dataset", {"path": "a"}), start=5),
        AIMessage("A plan waits."),
    )
    events = list(assistant.turn("t", "train"))
    assert [f.status for f in only(events, ToolFinished)] == ["waiting", "error", "done"]
    assert isinstance(events[-1], ApprovalAsked)
    assert [name for name, _ in log] == ["start_training", "inspect_dataset"]


def test_the_same_call_three_times_is_refused(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    again = [calls(("inspect_dataset", {"path": "a"}), start=i) for i in range(4)]
    assistant, _ = scripted(settings, *again, AIMessage("Enough."))
    finished = only(list(assistant.turn("t", "loop")), ToolFinished)
    assert [f.status for f in finished] == ["done", "done", "error", "error"]
    assert len(log) == 2


def test_a_brain_that_never_stops_is_stopped(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    endless = [calls(("inspect_dataset", {"path": f"{i}"}), start=i) for i in range(60)]
    assistant, _ = scripted(settings, *endless)
    list(assistant.turn("t", "go on for ever"))
    assert len(log) <= 24


def test_a_long_result_is_cut_and_says_so(settings: Settings, log: list[tuple[str, Any]]) -> None:
    assistant, brain = scripted(
        settings, calls(("inspect_dataset", {"path": "long"})), AIMessage("Long.")
    )
    list(assistant.turn("t", "look"))
    result = next(m for m in brain.seen[-1] if isinstance(m, ToolMessage))
    assert len(result.text) < 9000
    assert "[cut: " in result.text


def test_the_network_is_asked_for_refused_or_allowed_by_the_settings(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    statuses = {}
    for policy in ("never", "ask", "allow"):
        home = settings.home / policy
        own = settings.model_copy(update={"network": policy, "home": home})
        assistant, _ = scripted(own, calls(("list_models", {"name": "org/model"})), AIMessage("."))
        events = list(assistant.turn("t", "look it up"))
        statuses[policy] = (only(events, ToolFinished)[0].status, len(only(events, ApprovalAsked)))
    assert statuses == {"never": ("error", 0), "ask": ("waiting", 1), "allow": ("done", 0)}
    assert log == [("list_models", True)]


def test_images_and_html_of_a_brain_never_reach_the_page(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    assistant, _ = scripted(settings, AIMessage("See ![x](http://evil/a.png) <img src=x> <|user|>"))
    said = text_of(list(assistant.turn("t", "hi")))
    assert said == "See [x](http://evil/a.png) &lt;img src=x> <|user|>"


def test_the_brain_is_told_the_state_behind_the_prompt(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    (settings.work_dir / "mine.csv").write_text("a,b\n1,2\n")
    assistant, brain = scripted(
        settings,
        calls(("start_training", {"path": "mine.csv"})),
        AIMessage("A plan."),
        AIMessage("-"),
    )
    list(assistant.turn("t", "train"))
    list(assistant.turn("t", "what now?"))
    system = next(m for m in brain.seen[-1] if isinstance(m, SystemMessage))
    assert system.text.startswith("You are Luthier")
    assert '"mine.csv"' in system.text
    assert "Tune on mine.csv." in system.text


def test_a_conversation_is_read_back_as_it_was_shown_after_a_restart(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    first, _ = scripted(
        settings, calls(("start_training", {"path": "a.csv"})), AIMessage("A plan "), AIMessage("!")
    )
    shown = list(first.turn("t", "train", ["up/a.csv"]))
    again, brain = scripted(settings, AIMessage("Still there."))
    history = again.history("t")
    assert history[0] == UserSaid(text="train", files=("up/a.csv",))
    assert [type(e) for e in history[1:]] == [type(e) for e in shown]
    list(again.turn("t", "are you there?"))
    said = [m.content for m in brain.seen[-1] if isinstance(m, HumanMessage)]
    assert said == ["train\n\n[attached: `up/a.csv`]", "are you there?"]


def test_a_notice_is_told_once_and_remembered(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    assistant, brain = scripted(settings, AIMessage("Fine."))
    store = assistant._ctx.store
    store.add_notice("run-1", "t", "run-1 has ended well.")
    assert assistant.notices("t") == [NoticeTold(job_id="run-1", text="run-1 has ended well.")]
    assert assistant.notices("t") == []
    list(assistant.turn("t", "and?"))
    assert any("run-1 has ended well." in str(m.content) for m in brain.seen[-1])


def test_the_memory_of_a_long_conversation_stays_small(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    assistant, _ = scripted(settings, *[AIMessage(f"answer {i}") for i in range(40)])
    for i in range(30):
        list(assistant.turn("t", f"message {i}"))
    with sqlite3.connect(settings.threads_database) as db:
        kept = db.execute("SELECT count(*) FROM checkpoints WHERE thread_id = 't'").fetchone()[0]
        writes = db.execute("SELECT count(*) FROM writes WHERE thread_id = 't'").fetchone()[0]
    assert kept == 1
    assert writes < 10
    assistant.forget_thread("t")
    assert assistant.history("t") == []


def test_a_listener_that_leaves_loses_nothing(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    assistant, _ = scripted(
        settings, calls(("start_training", {"path": "a.csv"})), AIMessage("A plan.")
    )
    turn = assistant.turn("t", "train")
    next(turn)
    turn.close()  # type: ignore[attr-defined]
    with assistant._locks["t"]:
        history = assistant.history("t")
    for _ in range(200):
        history = assistant.history("t")
        if isinstance(history[-1], ApprovalAsked):
            break
        with assistant._locks["t"]:
            pass
    assert isinstance(history[-1], ApprovalAsked)


def test_a_database_that_is_none_is_named(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    Path(settings.threads_database).write_text("this is no database at all, but text " * 50)
    with pytest.raises(Exception, match="Cannot open the conversations"):
        Assistant(settings)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(401, "key"), (429, "rate limit"), (500, "fault"), (404, "model")],
)
def test_a_failing_server_is_explained_and_the_thread_stays_usable(
    settings: Settings, log: list[tuple[str, Any]], answer: int, words: str
) -> None:
    answers: list[Any] = [answer] * 2 + [{"content": "Hello again."}]
    with FakeOpenAI(lambda body: answers.pop(0) if len(answers) > 1 else answers[0]) as server:
        own = settings.model_copy(update={"brain": "tiny", "base_url": server.base_url})
        assistant = Assistant(own)
        while len(answers) > 1:
            failed = only(list(assistant.turn("t", "hi")), BrainFailed)[0]
            assert words in failed.message
            assert failed.hint
        assert text_of(list(assistant.turn("t", "hi again"))) == "Hello again. "


def test_a_server_speaks_through_the_same_events(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    def decide(body: dict[str, Any]) -> dict[str, Any]:
        if body["messages"][-1]["role"] == "tool":
            return {"content": "A plan waits for you."}
        return {"calls": [{"id": "call_0", "name": "start_training", "args": {"path": "a.csv"}}]}

    with FakeOpenAI(decide) as server:
        own = settings.model_copy(update={"brain": "tiny", "base_url": server.base_url})
        assistant = Assistant(own)
        first = list(assistant.turn("t", "train on a.csv"))
        second = list(assistant.turn("u", "train on a.csv"))
    for events in (first, second):
        kinds = [type(e).__name__ for e in events if not isinstance(e, TextDelta)]
        assert kinds == ["ToolStarted", "ToolFinished", "ApprovalAsked"]
    # The server numbers its calls alike in both conversations; each has a plan of its own.
    assert first[-1] != second[-1]


def test_tool_calls_that_are_no_json_are_explained(
    settings: Settings, log: list[tuple[str, Any]]
) -> None:
    broken = {
        "calls": [{"id": "call_1", "name": "inspect_dataset", "args": {}, "raw": "{path: oops]"}]
    }
    with FakeOpenAI(lambda body: broken) as server:
        own = settings.model_copy(update={"brain": "tiny", "base_url": server.base_url})
        events = list(Assistant(own).turn("t", "look"))
    assert "not valid JSON" in only(events, BrainFailed)[0].message


def test_an_unreachable_server_is_explained(settings: Settings, log: list[tuple[str, Any]]) -> None:
    own = settings.model_copy(update={"brain": "tiny", "base_url": "http://127.0.0.1:9/v1"})
    failed = only(list(Assistant(own).turn("t", "hi")), BrainFailed)[0]
    assert "cannot be reached" in failed.message
