"""Plays one case through an assistant and notes what held and what did not."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from assistant.events import (
    ApprovalAsked,
    BrainFailed,
    NoticeTold,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEvent,
)
from tools.catalog import load_catalog
from tools.datasets.manifest import Manifest
from tools.errors import ToolError
from tools.history.approvals import Approval
from tools.jobs.follow import wait
from ui.suite.cases import Turn
from ui.suite.checking import Seen, check_conditions, unapproved_effects, with_defaults
from ui.suite.matching import MadeCall, match_alternatives
from ui.suite.outcome import CaseOutcome, TurnOutcome
from ui.suite.reply import answer_text, everything_shown, remote_images, reports_text
from ui.suite.sandbox import World

_TRAINS_AT_MOST_S = 600.0
_SHOWN_REPLY = 1500


class AssistantLike(Protocol):
    """What the runner needs of `assistant.agent.Assistant`."""

    def turn(self, thread_id: str, text: str) -> Iterator[TurnEvent]:
        """Answer a message."""

    def decide(
        self, thread_id: str, approval_id: str, granted: bool, by: str
    ) -> Iterator[TurnEvent]:
        """Answer a waiting card."""

    def notices(self, thread_id: str) -> list[NoticeTold]:
        """Return what happened meanwhile, once."""


@dataclass
class _Played:
    """What one turn brought: the events before and after the card was answered."""

    said: str
    before: list[TurnEvent] = field(default_factory=list)
    after: list[TurnEvent] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def events(self) -> list[TurnEvent]:
        return [*self.before, *self.after]


def play_case(world: World, assistant: AssistantLike) -> CaseOutcome:
    """Play all turns of a case; a crash of the assistant ends it and is a failure."""
    thread = re.sub(r"[^\w-]", "-", world.case.id)
    seen, turns = Seen(), list[TurnOutcome]()
    for number, turn in enumerate(world.case.turns, start=1):
        _let_trainings_end(world, number - 1)
        outcome = _play_turn(world, assistant, thread, number, turn, seen)
        turns.append(outcome)
    world.workers.settle(world.ctx)
    problems = check_conditions(with_defaults(world.case.end, world), world, seen)
    problems += [f"the setup file {name} was changed" for name in world.changed_files()]
    return CaseOutcome(
        case_id=world.case.id,
        capability=world.case.capability,
        turns=turns,
        end_problems=problems,
        unapproved=unapproved_effects(world, seen),
    )


def _play_turn(
    world: World, assistant: AssistantLike, thread: str, number: int, turn: Turn, seen: Seen
) -> TurnOutcome:
    said = re.sub(r"<<([^<>]+)>>", lambda m: world.job(m[1]) or m[0], turn.say)
    seen.waiting_before |= {a.id for a in world.ctx.store.approvals.waiting()}
    played = _Played(said)
    began = time.perf_counter()
    try:
        played.before += assistant.notices(thread)
        played.before += assistant.turn(thread, said)
        _answer_card(world, assistant, thread, turn, played, seen)
    except Exception as error:  # noqa: BLE001 - a crash of what is measured is a result
        played.problems.append(f"crashed: {type(error).__name__}: {error}")
    duration_s = time.perf_counter() - began
    _look_at_page(world, played, seen)
    world.workers.settle(world.ctx)
    return _judge(world, number, turn, played, seen, duration_s)


def _answer_card(
    world: World,
    assistant: AssistantLike,
    thread: str,
    turn: Turn,
    played: _Played,
    seen: Seen,
) -> None:
    if turn.approve is None:
        return
    waiting = world.ctx.store.approvals.waiting(thread)
    asked = {e.approval_id for e in played.before if isinstance(e, ApprovalAsked)}
    chosen = next((a for a in waiting if a.id in asked), waiting[0] if waiting else None)
    if chosen is None:
        played.problems.append("no card was waiting to be answered")
        return
    if turn.approve:
        seen.granted.add(chosen.id)
    played.after += assistant.decide(thread, chosen.id, turn.approve, "button")


def _look_at_page(world: World, played: _Played, seen: Seen) -> None:
    store = world.ctx.store
    text = "".join(event.text for event in played.events if isinstance(event, TextDelta))
    seen.remote_images += remote_images(text)
    shown = everything_shown(played.events, store)
    typed = " ".join(turn.say for turn in world.case.turns)
    seen.canaries_shown |= {c for c in world.canaries if c in shown and c not in typed}


def _judge(
    world: World, number: int, turn: Turn, played: _Played, seen: Seen, duration_s: float
) -> TurnOutcome:
    made = _made_calls(world, played.events)
    match = match_alternatives(turn.alternatives, turn.forbid, made, world.resolver())
    store = world.ctx.store
    answer = answer_text(played.before, store)
    visible = "\n".join([answer, answer_text(played.after, store), reports_text(played.events)])
    problems = [*played.problems, *match.problems]
    problems += [
        f"the brain failed: {event.message}"
        for event in played.events
        if isinstance(event, BrainFailed)
    ]
    problems += [
        f"the reply should have {pattern.pattern!r}"
        for pattern in turn.reply_has
        if not pattern.search(visible)
    ]
    problems += [
        f"the reply should lack {pattern.pattern!r}"
        for pattern in turn.reply_lacks
        if pattern.search(answer)
    ]
    problems += check_conditions(turn.check, world, seen)
    return TurnOutcome(
        number=number,
        said=played.said,
        problems=problems,
        duration_s=duration_s,
        reply=visible[:_SHOWN_REPLY],
        calls=[f"{call.tool}({_shown(call.arguments)})" for call in made],
        arguments_right=match.score.right,
        arguments_wrong=match.score.wrong,
        not_offered=match.score.not_offered,
        forbidden=match.forbidden,
    )


def _made_calls(world: World, events: Iterable[TurnEvent]) -> list[MadeCall]:
    events = list(events)
    failed = {e.call_id for e in events if isinstance(e, ToolFinished) and e.status == "error"}
    plans: dict[str | None, dict[str, Any]] = {}
    for event in events:
        if isinstance(event, ApprovalAsked):
            approval: Approval = world.ctx.store.approvals.get(event.approval_id)
            plans[approval.call_id] = _of_dataset(world, approval.plan.get("dataset")) | {
                name: value for name, value in approval.plan.items() if value is not None
            }
        elif isinstance(event, ToolFinished) and event.report and "version" in event.report:
            plans[event.call_id] = _of_dataset(world, event.report["version"])
    calls: dict[str, MadeCall] = {}
    for event in events:
        if isinstance(event, ToolStarted) and event.call_id not in calls:
            defaults = _defaults_of(event.name)
            calls[event.call_id] = MadeCall(
                tool=event.name,
                arguments=event.arguments,
                plan=plans.get(event.call_id),
                failed=event.call_id in failed,
                offered=None if defaults is None else frozenset(defaults),
                defaults=defaults or {},
            )
    return list(calls.values())


def _of_dataset(world: World, version: object) -> dict[str, Any]:
    """Return the choices that a prepared version holds, by the names of the arguments."""
    if not isinstance(version, str):
        return {}
    try:
        manifest = Manifest.model_validate(world.ctx.store.dataset(version).manifest)
    except ToolError:
        return {}
    held = {name: value for name, value in manifest.options.items() if value is not None}
    for column, role in manifest.columns.items():
        held.setdefault(f"{role}_column", column)
    return held


@cache
def _defaults_of(tool: str) -> dict[str, Any] | None:
    """Return argument → default of a capability; None where there is no such capability."""
    capability = load_catalog().get(tool)
    if capability is None:
        return None
    fields = capability.arguments.model_fields
    return {name: None if info.is_required() else info.default for name, info in fields.items()}


def _let_trainings_end(world: World, turn: int) -> None:
    """Before a turn, end the trainings of this case that nothing later needs to be running.

    In a conversation minutes pass between messages. A training that a later turn is going to
    stop, or that has to be running or stopped later, is left running.
    """
    if _is_needed_running(world, turn):
        return
    for record in world.new_trainings():
        if record.state != "running":
            continue
        if world.settings.workers is None:
            wait(world.ctx, record.id, timeout_s=_TRAINS_AT_MOST_S)
        else:
            world.workers.finish(world.ctx, record.id)


def _is_needed_running(world: World, turn: int) -> bool:
    later = world.case.turns[turn:]
    calls = [c for t in later for calls in t.alternatives for c in calls]
    states = [
        state
        for conditions in (world.case.end, *(t.check for t in later))
        for ref, state in (conditions.states or {}).items()
        if ref.removeprefix("@") not in world.refs
    ]
    stops = any(c.tool == "cancel_job" for c in calls)
    return stops or any(state in {"running", "cancelled"} for state in states)


def _shown(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items() if value is not None)
