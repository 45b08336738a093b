"""Messages without a wish of their own: answers to a question, names, a bare yes or no."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from typing import Any

from assistant.brains.guided import talk
from assistant.brains.guided.corrections import correct_plan
from assistant.brains.guided.followups import follow_up
from assistant.brains.guided.offers import follow_offer
from assistant.brains.guided.patterns import phrase
from assistant.brains.guided.plan import Offered, Plan
from assistant.brains.guided.rules import is_question
from assistant.brains.guided.runs import named_jobs
from assistant.brains.guided.slots import (
    Args,
    find_path,
    named_paths,
    only_offered,
    training_values,
)
from assistant.brains.guided.starting import plan_start
from assistant.brains.guided.steps import plan_wish
from assistant.brains.guided.view import View
from assistant.brains.guided.wishes import Understanding, Wish

_ADVISABLE = re.compile(
    r"\b(?:is|are|was|would|will|does|do)\b.{0,40}\b(?:the (?:right |best )?(?:thing|choice|way|answer)|right|wise|sensible|advisable|suit\w*|any good|good (?:idea|for|here)|help\w*|worth|make sense|appropriate|useful)\b"
)
_EITHER = re.compile(r"\b(?:or|versus|rather than)\b")


def plan_fragment(view: View, said: Understanding, offered: Offered) -> Plan | None:
    """Return what a message without a wish of its own leads to, or None where it says nothing."""
    need = view.memo.get("need")
    plain = view.said.plain
    if need and (plan := _answer_need(view, need, offered)):
        return plan
    if phrase("NO").match(plain):
        return Plan(reply=after_no(view))
    if plan := follow_offer(view, offered):
        return plan
    if plan := follow_up(view, said, offered):
        return plan
    if plan := _asks_about_settings(view, offered):
        return plan
    if re.search(r"\bwhat if\b|\bwould it (?:help|be better)\b", plain) and training_values(view):
        return plan_wish(view, Wish("estimate", 3, plain), offered)
    if plan := correct_plan(view, offered):
        return plan
    if plan := _named_only(view, offered):
        return plan
    if phrase("YES").match(plain):
        return Plan(reply=_after_yes(view))
    return None


def _asks_about_settings(view: View, offered: Offered) -> Plan | None:
    """`rank 8 or 16 for reviews.csv?`, `is ten minutes enough?`: a question starts nothing."""
    plain = view.said.plain
    if view.plans or not plain.endswith("?") or not (is_question(plain) or _EITHER.search(plain)):
        return None
    if not training_values(view):
        return None
    intent = "recommend" if _EITHER.search(plain) or not find_path(view) else "estimate"
    if intent == "estimate" and phrase("FIELD").search(plain) and _ADVISABLE.search(plain):
        intent = "explain"
    plan = plan_wish(view, Wish(intent, 3, plain, True), offered)
    if path := find_path(view):
        plan.memo.setdefault("path", path)
    return plan


def _answer_need(view: View, need: dict[str, Any], offered: Offered) -> Plan | None:
    """Fill what was asked for."""
    intent, slot, args = need["intent"], need["slot"], dict(need.get("args", {}))
    plain = view.said.plain
    if slot == "prompt":
        return _answer_prompt(view, args, offered)
    if slot == "job":
        jobs = named_jobs(view)
        if not jobs:
            return None
        return plan_wish(view, Wish(intent, 3, plain), offered)
    had_path = "path" in args
    path = find_path(view, fallback=False)
    if had_path and not named_paths(view) and not view.files:
        return None
    suggested = view.memo.get("near")
    if path is None and suggested and phrase("YES").match(plain):
        path = str(suggested)
    if path is None and (choice := _ordinal(view)):
        path = choice
    if path is None:
        return None
    values = {**args, **training_values(view), "path": path}
    if intent == "start":
        return plan_start(view, offered, values, path)
    if intent == "prepare":
        return Plan(calls=[("prepare_dataset", only_offered(values, offered["prepare_dataset"]))])
    return Plan(calls=[("inspect_dataset", {"path": path})], memo={"path": path})


def _answer_prompt(view: View, args: Args, offered: Offered) -> Plan | None:
    if phrase("NO").match(view.said.plain) or not view.typed.strip():
        return None
    prompt = view.typed.strip().strip('"“”')
    args = only_offered({**args, "prompt": prompt}, offered["try_model"])
    return Plan(calls=[("try_model", args)])


def _ordinal(view: View) -> str | None:
    """`the first one` of the files that were offered."""
    files = [str(name) for name in view.state.get("files", [])]
    for number, words in enumerate((r"first|1st", r"second|2nd", r"third|3rd")):
        if (
            re.search(rf"\bthe (?:{words})(?: one| file)?\b", view.said.plain)
            and len(files) > number
        ):
            return files[number]
    if len(files) == 1 and re.search(
        r"\b(?:that one|this one|the only one|yes|it|that file|yours|the one)\b", view.said.plain
    ):
        return files[0]
    return None


def _named_only(view: View, offered: Offered) -> Plan | None:
    """A file or a run and nothing else: look at it."""
    if paths := named_paths(view):
        return Plan(calls=[("inspect_dataset", {"path": paths[0]})], memo={"path": paths[0]})
    if view.files and len(view.said.plain.split()) < 8:
        path = view.files[-1]
        return Plan(calls=[("inspect_dataset", {"path": path})], memo={"path": path})
    if (jobs := named_jobs(view)) and "show_job" in offered:
        return Plan(calls=[("show_job", {"job": jobs[0]})], memo={"job": jobs[0]})
    return None


def after_no(view: View) -> str:
    """Say that nothing happens, and how to drop what waits."""
    if view.waiting:
        return "Nothing was started. The plan still waits: press Not now on its card to drop it, or say what to change."
    return "All right, nothing was done. Say what you would like instead."


def _after_yes(view: View) -> str:
    if view.path and not view.plans:
        return 'Nothing waits for a yes. Say "train it" for a plan, or "recommend a method" for advice.'
    return talk.NOTHING_WAITS
