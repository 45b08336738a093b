"""Which run a person means: an id, `the last one`, `the failed one`, `my dora run`, `it`."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from typing import Any

from assistant.brains.guided.view import View

Job = dict[str, Any]
_ENDED = ("succeeded",)
_SUITS: dict[str, tuple[str, ...]] = {
    "cancel": ("running", "queued"),
    "resume": ("interrupted", "failed", "cancelled", "lost"),
    "export": _ENDED,
    "try": _ENDED,
    "evaluate": _ENDED,
    "report": _ENDED,
}
_ONE_RUN = ("try", "evaluate", "report")
_PRONOUN = re.compile(r"\b(?:it|that|this|that one|this one|them)\b")
_STATES = (
    ("failed", r"failed|broken|crashed|sick|bad"),
    ("running", r"running|active|current|ongoing|going on"),
    ("interrupted", r"interrupted|unfinished|cut off|paused"),
    ("cancelled", r"cancelled|canceled|stopped|aborted"),
    ("succeeded", r"succeeded|finished|successful|done|completed|good"),
    ("queued", r"queued|waiting"),
    ("lost", r"lost"),
)
_NOUN = r"(?:one|runs?|jobs?|trainings?|models?|tunings?|attempts?|experiments?)"


def named_jobs(view: View) -> list[str]:
    """Return the ids that are written in the message, in their order."""
    plain = view.said.plain
    found = [view.said.value(mark) for mark in re.findall(r"\bjob\d+\b", plain)]
    numbers = re.findall(
        r"(?:\b(?:run|job|training|number|no\.?) ?#?|#)(\d{1,4})\b(?! (?:epochs|steps))", plain
    )
    for number in numbers:
        found += [job["id"] for job in view.jobs if job["id"].endswith(f"-{number}")][:1]
    return list(dict.fromkeys(found))


def find_job(view: View, intent: str) -> tuple[str | None, list[Job]]:
    """Return the run that is meant, and the runs it could be where that is not clear."""
    if named := named_jobs(view):
        return named[0], []
    pool = view.trainings
    if intent == "show":
        pool = [job for job in view.jobs if job["state"] in ("running", "queued")] or pool
        if any(re.search(rf"\b(?:{word})\b", view.said.plain) for word in ("export", "evaluation")):
            pool = view.jobs
    chosen = _described(view, view.trainings)
    if chosen is not None:
        return (chosen[0]["id"], []) if len(chosen) >= 1 else (None, [])
    if intent == "cancel":
        pool = view.jobs
    suited = [job for job in pool if job["state"] in _SUITS.get(intent, (job["state"],))]
    if intent in ("cancel", "resume"):
        # What is part of another job is stopped, and goes on, with that.
        whole = {job["id"] for job in suited}
        suited = [job for job in suited if job.get("parent") not in whole]
    elif intent in _ONE_RUN:
        suited = [job for job in suited if job["kind"] != "adapters"]
    focus = _focus(view, suited if suited else pool)
    if intent == "show" and suited and suited[0]["state"] in ("running", "queued"):
        live = [job for job in suited if job["id"] == view.focus] or suited
        return live[0]["id"], []
    if focus:
        return focus, []
    if intent == "forget":
        return (pool[0]["id"], []) if len(pool) == 1 else (None, pool)
    if intent == "cancel" and len(suited) > 1:
        return None, suited
    if suited:
        return suited[0]["id"], []
    if intent == "resume" and any(job["state"] not in _SUITS["resume"] for job in pool):
        return None, []
    if intent == "cancel":
        return None, []
    return (pool[0]["id"], []) if pool else (None, [])


def _focus(view: View, pool: list[Job]) -> str | None:
    """The run that was last spoken of, where it suits."""
    return next((job["id"] for job in pool if job["id"] == view.focus), None)


def _described(view: View, pool: list[Job]) -> list[Job] | None:
    """Return the runs that a description fits, newest first; None where there is none."""
    plain = view.said.plain
    if re.search(rf"\b(?:first|oldest|very first) {_NOUN}\b", plain):
        return pool[-1:]
    if re.search(
        rf"\b(?:the|my) (?:previous|second last|2nd last|1 before|one before|other) {_NOUN}\b|\bthe one before\b",
        plain,
    ):
        return pool[1:2] or pool[:1]
    if re.search(rf"\b(?:(?:best|better) {_NOUN}|winner|winning {_NOUN})\b", plain):
        ranked = [job for job in pool if _score(job) is not None]
        return sorted(ranked, key=lambda job: -(_score(job) or 0))[:1] or pool[:1]
    for state, words in _STATES:
        if re.search(
            rf"\b(?:the|my|that|a|this|last|latest)\b(?: \w+)? (?:{words}) (?:{_NOUN})\b|\b(?:{_NOUN}) (?:that|which) (?:was|is|has|got|were)? ?(?:just |been )?(?:{words})\b|\b(?:{words}) {_NOUN}\b",
            plain,
        ):
            fitting = [job for job in pool if job["state"] == state]
            if fitting:
                return fitting
    for method in ("qlora", "dora", "lora", "full"):
        if re.search(rf"\b(?:the|my|that|last|latest) (?:\w+ )?{method} {_NOUN}\b", plain):
            fitting = [job for job in pool if job.get("method") == method]
            if fitting:
                return fitting
    if match := re.search(rf"\b(?:{_NOUN}|with) (?:with |of |at )?rank (\d+)\b", plain):
        fitting = [job for job in pool if job.get("rank") == int(match[1])]
        if fitting:
            return fitting
    if re.search(
        rf"\b(?:last|latest|newest|most recent|recent) {_NOUN}\b|\bthe latest\b|\bthe newest\b",
        plain,
    ):
        suited = [job for job in pool if job["state"] == "succeeded"]
        wants_model = re.search(
            r"\b(?:model|export\w*|evaluat\w*|try|adapter|merged|onnx)\b", plain
        )
        return (suited[:1] if wants_model and suited else pool[:1]) or None
    return _by_data(view, pool)


def _by_data(view: View, pool: list[Job]) -> list[Job] | None:
    """`the run on reviews.csv`."""
    marks = re.findall(
        rf"\b{_NOUN} (?:on|of|for|with|over|from) (?:the )?(file\d+)\b", view.said.plain
    )
    for mark in marks:
        name = view.said.value(mark).rsplit("/", 1)[-1].lower()
        fitting = [job for job in pool if str(job.get("path", "")).lower().endswith(name)]
        if fitting:
            return fitting
    return None


def _score(job: Job) -> float | None:
    metrics = job.get("metrics", {})
    if (accuracy := metrics.get("accuracy")) is not None:
        return float(accuracy)
    loss = metrics.get("eval_loss")
    return -float(loss) if loss is not None else None
