"""A sick run: which one is meant, what was pasted of it, and the cure that is offered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from assistant.brains.guided.likely import likely_intent
from assistant.brains.guided.patterns import phrase
from assistant.brains.guided.plan import Offered, Plan
from assistant.brains.guided.rules import is_question
from assistant.brains.guided.runs import find_job, named_jobs
from assistant.brains.guided.slots import Args, named_paths, only_offered
from assistant.brains.guided.starting import plan_start
from assistant.brains.guided.talk import NO_TROUBLE_SEEN
from assistant.brains.guided.view import Done, View
from assistant.brains.guided.wishes import Wish
from tools.diagnose.words import is_complaint, names_a_cause, quotes_an_error

_LOG_FILE = re.compile(r"\.(?:log|txt|out|err)$", re.I)
_STATE_FILE = re.compile(r"\.jsonl?$", re.I)
_AFTER_THE_WORD = re.compile(
    r"(?is)\b(?:log|traceback|error|output|message|this|following|got|says?|shows?)\b[^\n:]{0,40}:\s*(\S.{12,})$"
)
_ORDER_OR_QUESTION = re.compile(
    r"^(?:(?:please|now|then|ok|so|and) )*(?:do not|don't|never|keep|what|which|who|"
    r"how (?!come)|should|shall|can|could|"
    r"would|will|do|does|explain|define|is there|are there|let's|let us|i want|i would|i'd|"
    r"export|convert|merge|quanti\w+|resume|continue|evaluate|judge|measure|test|try|ask|show|list|"
    r"compare|train|tune|teach|make|give|use|set|start|run|stop|cancel|delete|look)\b"
)
_ASKS_WHAT_IT_IS = re.compile(r"\b(?:means?|terms?|called|definition|explain|tell me)\b")
_BESIDE_A_TROUBLE = frozenset({"try", "explain", "evaluate", "export", "undo", "inspect"})
_OF_MINE = re.compile(r"(?:my|our|the)\b")
_MOST_LOG = 20_000
_ALIKE = 3
"""Words that two errors must share to be the same one, such as `CUDA out of memory`."""
_FAILED = ("failed", "lost", "interrupted")
_LIVE = ("running", "queued")


def tells_a_trouble(view: View, wishes: Sequence[Wish]) -> bool:
    """Whether the words complain of something the diagnosis knows, though they name other things.

    An export that is worse than before, or a resume that ends in an error, is a trouble and no
    wish to export or to resume. Orders and questions about the field stay what they are.
    """
    intents = {wish.intent for wish in wishes}
    words = view.said.plain
    if view.waiting or _ORDER_OR_QUESTION.search(words):
        return False
    if not intents:
        return is_complaint(words) or quotes_an_error(view.typed)
    if intents <= {"resume", "show", "models"}:
        told = intents == {"show"} and not is_question(words) and names_a_cause(words)
        return quotes_an_error(view.typed) or (told and likely_intent(words) == "diagnose")
    asks = is_question(words) or _ASKS_WHAT_IT_IS.search(words)
    if asks or ("evaluate" in intents and words.endswith("?") and not _OF_MINE.match(words)):
        return False
    about_a_file = "inspect" in intents and bool(named_paths(view))
    return intents <= _BESIDE_A_TROUBLE and not about_a_file and names_a_cause(words)


def diagnose(view: View, wish: Wish, offered: Offered) -> Plan:
    """Ask what is wrong, with the run, the log or the words there are."""
    args = only_offered(_evidence(view, wish), offered["diagnose_run"])
    told = phrase("SYMPTOM").search(view.said.plain) or is_complaint(view.typed)
    if not args or (set(args) == {"question"} and not told):
        return Plan(reply=NO_TROUBLE_SEEN)
    memo = {"job": args["job"]} if "job" in args else {}
    return Plan(calls=[("diagnose_run", args)], memo=memo)


def _evidence(view: View, wish: Wish) -> Args:
    words = " ".join(view.typed.split())[:2000]
    files = [path for path in named_paths(view) if _LOG_FILE.search(path)]
    streams = [path for path in named_paths(view) if _STATE_FILE.search(path)]
    named = named_jobs(view)
    if named:
        args: Args = {"job": named[0], "question": words}
        return {**args, "log": pasted_log(view)}
    if files:
        return {"log": files[0], "question": words}
    if log := pasted_log(view):
        return {"job": _run_that_said(view, log), "log": log, "question": words[:300]}
    if streams and "events" in words:
        return {"events": streams[0], "question": words}
    return {"job": _sick_job(view, wish), "question": words}


def _run_that_said(view: View, log: str) -> str | None:
    """Return the one failed run whose own error is what was pasted, so that it can be cured."""
    quoted = _words_of(log)
    said = [
        str(job["id"])
        for job in view.trainings
        if job["state"] in _FAILED and len(_words_of(str(job.get("error", ""))) & quoted) >= _ALIKE
    ]
    return said[0] if len(said) == 1 else None


def _words_of(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{3,}", text.lower()))


def pasted_log(view: View) -> str | None:
    """Return what a message quotes of a log."""
    if view.said.blocks:
        return "\n".join(view.said.blocks)[:_MOST_LOG]
    if not phrase("OF_A_LOG").search(view.typed):
        return None
    match = _AFTER_THE_WORD.search(view.typed)
    return (match[1] if match else view.typed).strip()[:_MOST_LOG]


def _sick_job(view: View, wish: Wish) -> str | None:
    """Return the run that the symptom fits: a crash a failed one, slowness a live one."""
    runs = view.trainings
    if not runs:
        return None
    described, _ = find_job(view, "diagnose")
    broke = phrase("BROKE").search(view.said.plain)
    states = _FAILED if broke else _LIVE if phrase("SLOW").search(view.said.plain) else ()
    fitting = [job["id"] for job in runs if job["state"] in states]
    if fitting and described not in fitting:
        return str(view.focus) if view.focus in fitting else str(fitting[0])
    return described or str(runs[0]["id"])


def offer_of(view: View, done: Done) -> dict[str, Any] | None:
    """Return what a diagnosis offers to do, to be taken up with one word."""
    for cause in done.artifact.get("causes", [])[:1]:
        cure = cause.get("cure", {})
        if cure.get("arguments"):
            return {
                "tool": cure.get("capability", "start_training"),
                "args": cure["arguments"],
                "asked": True,
            }
    return None


def take_cure(view: View, offered: Offered, offer: dict[str, Any], values: Args) -> Plan | None:
    """Do what a diagnosis offered, with what the person changed of it."""
    tool = offer["tool"]
    if tool not in offered:
        return None
    args = {**offer["args"], **values}
    if tool == "start_training":
        return plan_start(view, offered, args, args.get("path"), look=False)
    return Plan(calls=[(tool, only_offered(args, offered[tool]))])
