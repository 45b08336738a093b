"""Decides the next step of a turn from what is seen of the conversation. Deterministic."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from assistant.brains.guided import replies, talk
from assistant.brains.guided.changes import is_correction
from assistant.brains.guided.corrections import correct_plan, takes_back, undo
from assistant.brains.guided.fragments import after_no, plan_fragment
from assistant.brains.guided.offers import follow_offer, option_named, take_up
from assistant.brains.guided.patterns import phrase
from assistant.brains.guided.plan import Offered, Plan
from assistant.brains.guided.repairs import filled_in
from assistant.brains.guided.runs import named_jobs
from assistant.brains.guided.slots import (
    find_path,
    named_paths,
    training_values,
)
from assistant.brains.guided.steps import plan_wish
from assistant.brains.guided.trouble import offer_of, tells_a_trouble
from assistant.brains.guided.understand import (
    is_deferred,
    names_a_term,
    second_opinion,
    understand,
)
from assistant.brains.guided.view import View
from assistant.brains.guided.weighing import ACTS
from assistant.brains.guided.wishes import Understanding, Wish

_ENDS = re.compile(r"\b(?:left|done|finish\w*|over|ready|longer|still|end|complete\w*)\b")
_NOW = re.compile(r"\b(?:current(?:ly)?|right now|at the moment|so far)\b")
_MOST_CALLS = 8
_TALK = frozenset({"help", "identity", "greet", "thanks", "bye"})
_ENDS_TALK = frozenset({"secret", "shell"})


@dataclass(frozen=True)
class Decision:
    """What the brain answers: a call, or text; and what it must remember.

    Attributes:
        calls: `(name, arguments)`; empty where `text` is the answer.
    """

    calls: Sequence[tuple[str, dict[str, Any]]] = ()
    text: str = ""
    memo: dict[str, Any] = field(default_factory=dict)


def decide(view: View, offered: Offered) -> Decision:
    """Return the next step of the turn."""
    if view.now and view.plan is None:
        return _finish(view, {"calls": [], "notes": [], "memo": {}})
    if view.now:
        return _go_on(view, view.plan or {})
    plan = plan_message(view, offered)
    if not plan.calls:
        return Decision(text=plan.reply, memo={**_kept(view), **plan.memo})
    written = {
        "calls": [list(call) for call in plan.calls[:_MOST_CALLS]],
        "notes": plan.notes,
        "memo": plan.memo,
    }
    return Decision(calls=[plan.calls[0]], memo={"plan": written})


def plan_message(view: View, offered: Offered) -> Plan:
    """Return the plan for the last message."""
    if plan := take_up(view, offered):
        return plan
    said = understand(view.said)
    wishes = _grounded(view, [wish for wish in said.wishes if _possible(wish, offered)])
    for wish in wishes:
        if wish.intent in _ENDS_TALK and not (
            wish.intent == "shell" and "file0" in wish.clause and len(wishes) > 1
        ):
            return Plan(reply=talk.SECRET if wish.intent == "secret" else talk.SHELL)
    if phrase("SMUGGLED").search(view.said.plain):
        wishes = [wish for wish in wishes if wish.intent not in ACTS | {"try"}]
        if not wishes:
            return Plan(reply=talk.SMUGGLED)
    if any(wish.intent == "drop" for wish in wishes):
        return Plan(reply=after_no(view))
    if wishes and wishes[0].intent == "undo":
        return undo(view, offered)
    agreed = {wish.intent for wish in wishes} <= {"recommend", "try", "resume"} or (
        {wish.intent for wish in wishes} == {"start"} and option_named(view.said.plain)
    )
    if wishes and agreed and not said.wishes[0].question:
        plan = follow_offer(view, offered)
        if plan:
            return plan
    if takes_back(view) or is_correction(view, wishes):
        plan = correct_plan(view, offered)
        if plan:
            return plan
    if not wishes or (len(wishes) == 1 and wishes[0].intent in _TALK and _says_more(view)):
        plan = plan_fragment(view, said, offered)
        if plan:
            return plan
    if not wishes and (guess := second_opinion(view.said)):
        wishes = [guess]
    if not wishes:
        return Plan(reply=_not_understood(view, said))
    return _plan_wishes(view, wishes, offered)


def _plan_wishes(view: View, wishes: Sequence[Wish], offered: Offered) -> Plan:
    whole = Plan()
    trains = False
    for wish in wishes:
        if wish.intent == "undo":
            continue
        if trains and is_deferred(wish.intent):
            whole.notes.append(f'When the run has ended, say "{_LATER[wish.intent]}" for the rest.')
            continue
        plan = plan_wish(view, wish, offered)
        if not plan.calls and len(wishes) == 1:
            return plan
        trains = trains or any(name == "start_training" for name, _ in plan.calls)
        whole.add(plan)
    if not whole.calls:
        return Plan(reply="\n\n".join(whole.notes), memo=whole.memo)
    return whole


_LATER = {
    "evaluate": "evaluate it",
    "export": "export it",
    "try": "try: …",
    "show": "how did it go",
    "report": "show the run",
    "compare": "list my runs",
}


def _possible(wish: Wish, offered: Offered) -> bool:
    return wish.intent in _TALK | _ENDS_TALK | {"undo"} or bool(offered)


def _grounded(view: View, wishes: Sequence[Wish]) -> list[Wish]:
    """Read wishes in the light of what there is: without runs `is it good?` means the data."""
    found: list[Wish] = []
    if _shows_a_log(view, wishes) or tells_a_trouble(view, wishes):
        return [Wish("diagnose", 3.0, view.said.plain)]
    live = any(job["state"] in ("running", "queued") for job in view.jobs)
    for wish in wishes:
        meant = wish
        if wish.intent == "export" and len(wishes) > 1 and not view.jobs:
            continue
        if wish.intent in ("evaluate", "show") and not view.jobs and not named_jobs(view):
            if named_paths(view) or view.path:
                meant = replace(wish, intent="inspect")
            elif (wish.question or "?" in view.typed) and names_a_term(
                wish.clause, view.said.plain
            ):
                meant = replace(wish, intent="explain")
        if wish.intent == "inspect" and phrase("LENS").search(wish.clause) and not find_path(view):
            meant = replace(wish, intent="explain")
        if (
            wish.intent == "estimate"
            and live
            and not named_paths(view)
            and _ENDS.search(wish.clause)
        ):
            meant = replace(wish, intent="show")
        if wish.intent == "explain" and live and _NOW.search(wish.clause):
            meant = replace(wish, intent="show")
        if not (meant is not wish and any(w.intent == meant.intent for w in (*found, *wishes))):
            found.append(meant)
    return found


def _shows_a_log(view: View, wishes: Sequence[Wish]) -> bool:
    """A log that is pasted is there to be looked into, unless something is to be done."""
    pasted = view.said.blocks and phrase("OF_A_LOG").search("\n".join(view.said.blocks))
    return bool(pasted) and not any(wish.intent in ACTS | {"drop"} for wish in wishes)


def _says_more(view: View) -> bool:
    return bool(training_values(view) or named_paths(view) or view.memo.get("offer"))


def _go_on(view: View, plan: dict[str, Any]) -> Decision:
    """Make the next call of the plan, or tell what came out."""
    calls = plan.get("calls", [])
    stopped = not view.now[-1].ok and view.now[-1].name != "recommend_method"
    if len(view.now) < len(calls) and not stopped and not view.now[-1].waits:
        name, args = calls[len(view.now)]
        return Decision(calls=[(name, filled_in(args, view.now[-1]))])
    return _finish(view, plan)


def _finish(view: View, plan: dict[str, Any]) -> Decision:
    notes = list(plan.get("notes", [])) if view.now[-1].ok else []
    text = replies.compose(view, view.now, notes)
    memo = {**_kept(view), **plan.get("memo", {})}
    if near := replies.near_name(view, view.now[-1]):
        memo["near"] = near
    for done in view.now:
        if done.name == "diagnose_run" and done.ok:
            memo.pop("offer", None)
            if offer := offer_of(view, done):
                memo["offer"] = offer
    if all(done.ok for done in view.now):
        memo.pop("need", None)
    for done in view.now:
        job = done.artifact.get("job") or done.args.get("job")
        if done.ok and isinstance(job, str):
            memo["job"] = job
    return Decision(text=text, memo=memo)


def _kept(view: View) -> dict[str, Any]:
    """What outlives a turn: the run and the data that were spoken of, and advice not yet taken."""
    kept: dict[str, Any] = {
        name: view.memo[name] for name in ("job", "path", "offer") if name in view.memo
    }
    if not view.now and "need" in view.memo:
        kept["need"] = view.memo["need"]
    return kept


def _not_understood(view: View, said: Understanding) -> str:
    if view.waiting:
        return (
            "I left the plan as it is; it still waits for your answer. Say yes to begin, or what "
            'shall be different, such as "use 2 epochs".'
        )
    if "start" in said.banned or "forget" in said.banned:
        return "All right, I start and delete nothing. Say what you would like to see instead."
    if view.path:
        examples = ["train on it", "recommend a method for it", "prepare it with 20 % held out"]
    elif view.trainings:
        examples = ["list my runs", "evaluate the last run", "export it to int4 ONNX"]
    else:
        examples = [
            "train on data/samples/support_tickets.csv",
            "look at my file.csv",
            "LoRA or QLoRA?",
        ]
    return talk.not_understood(examples)
