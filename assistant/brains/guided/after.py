"""Steps with runs there are: history, judging, export, trying, stopping, deleting."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from assistant.brains.guided import references, talk
from assistant.brains.guided.patterns import phrase
from assistant.brains.guided.plan import Offered, Plan
from assistant.brains.guided.runs import find_job, named_jobs
from assistant.brains.guided.slots import Args, find_prompt, named_paths, only_offered
from assistant.brains.guided.view import View
from assistant.brains.guided.wishes import Wish


def jobs(view: View, wish: Wish, offered: Offered) -> Plan:
    """List runs."""
    args: Args = {
        "state": references.find_state(wish.clause),
        "limit": references.find_limit(wish.clause),
    }
    of_the_machine = re.search(r"\b(?:laptop|computer|pc|power|server|battery)\b", wish.clause)
    if (
        of_the_machine
        or re.search(r"\b(?:best|worst|all|every|highest|lowest)\b", wish.clause)
        or (args["state"] == "succeeded" and "good" in wish.clause)
    ):
        args.pop("state")
    return Plan(calls=[("list_jobs", only_offered(args, offered["list_jobs"]))])


def with_job(
    intent: str, tool: str, what: str, more: Callable[[View], Args] | None = None
) -> Callable[[View, Wish, Offered], Plan]:
    """Return a step with the run that is meant."""

    def build(view: View, wish: Wish, offered: Offered) -> Plan:
        job, choice = find_job(view, intent)
        if job is None:
            return _no_job(view, intent, what, choice)
        args = only_offered({"job": job, **(more(view) if more else {})}, offered[tool])
        return Plan(calls=[(tool, args)], memo={"job": job})

    return build


def _no_job(view: View, intent: str, what: str, choice: list[dict[str, Any]]) -> Plan:
    if choice:
        return Plan(
            reply=talk.ask_which_run(choice, what),
            memo={"need": {"intent": intent, "slot": "job", "args": {}}},
        )
    if view.waiting and intent in ("cancel", "show"):
        return Plan(
            reply="Nothing is running. A plan waits for your answer; Not now on its card drops it."
        )
    if intent == "cancel":
        return Plan(reply="Nothing is running at the moment, so there is nothing to stop.")
    if intent == "resume" and view.jobs:
        return Plan(reply="No run was interrupted, so there is nothing to resume.")
    return Plan(reply=talk.no_run(what))


def show(view: View, wish: Wish, offered: Offered) -> Plan:
    """Show one run, or several that are named."""
    ids = named_jobs(view)
    if len(ids) > 1:
        return Plan(calls=[("show_job", {"job": job}) for job in ids[:4]], memo={"job": ids[0]})
    return with_job("show", "show_job", "show")(view, wish, offered)


def evaluate(view: View, wish: Wish, offered: Offered) -> Plan:
    """Judge a run; where its worth is asked, show what is known of it first."""
    plan = with_job("evaluate", "evaluate_model", "judge", _evaluation_values)(view, wish, offered)
    if plan.calls and re.search(
        r"\b(?:un)?(?:forg[eo]t|learn)\w*\b|\babilit|\blos[et]\b", wish.clause
    ):
        plan.notes.append(talk.FORGETTING)
    soft = re.search(
        r"\b(?:worth|any good|how (?:good|well)|better|improv\w*|help|pay off|accuracy|verdict|score|perplexity|f1|metrics)\b",
        wish.clause,
    )
    if plan.calls and soft and "path" not in plan.calls[0][1]:
        job = plan.calls[0][1]["job"]
        done = next((j for j in view.trainings if j["id"] == job), {})
        if done.get("state") != "succeeded":
            return Plan(calls=[("show_job", {"job": job})], memo=plan.memo)
        plan.calls.insert(0, ("show_job", {"job": job}))
    return plan


def _evaluation_values(view: View) -> Args:
    paths = named_paths(view)
    limit = re.search(
        r"\b(?:on|with|only|first|just|at most|up to) (?:the )?(?:first )?(\d+) (?:rows|examples|samples)\b"
        r"|\b(\d+) (?:rows|examples|samples) (?:are|is|will|would|should|do|suffice|at most|max\w*|only)\b",
        view.said.plain,
    )
    return {
        "path": paths[0] if paths else None,
        "limit": int(limit[1] or limit[2]) if limit else None,
    }


def export_values(view: View) -> Args:
    """Return format, precision and device of an export."""
    return {
        **references.find_format(view.said.plain),
        "device": references.find_device(view.said.plain),
    }


def export(view: View, wish: Wish, offered: Offered) -> Plan:
    """Export a run, or the adapters of several runs as one model."""
    named = named_jobs(view)
    if phrase("TOGETHER").search(view.said.plain):
        named = named if len(named) > 1 else _adapters_meant(view, named)
        if named:
            args = {"job": named[0], "together": named[1:], **export_values(view), "format": "onnx"}
            args = {name: value for name, value in args.items() if value}
            call = ("export_model", only_offered(args, offered["export_model"]))
            return Plan(calls=[call], memo={"job": named[0]})
    return with_job("export", "export_model", "export", export_values)(view, wish, offered)


def _adapters_meant(view: View, named: list[str]) -> list[str]:
    """Return the newest job of several adapters, or the newest two runs on one base."""
    done = [job for job in view.trainings if job["state"] == "succeeded"]
    known = {job["id"]: job for job in done}
    job = known.get(named[0]) if named else next(iter(done), None)
    if job is None:
        return []
    parent = known.get(str(job.get("parent")), job)
    if parent["kind"] == "adapters":
        return [parent["id"]]
    same = [j["id"] for j in done if j["kind"] == "train" and j.get("model") == job.get("model")]
    rest = [other for other in same if other != job["id"]]
    return [job["id"], rest[0]] if rest else []


def try_it(view: View, wish: Wish, offered: Offered) -> Plan:
    """Ask a model what the person typed."""
    prompt = find_prompt(view)
    job, _ = find_job(view, "try")
    if prompt is None:
        return Plan(
            reply="What shall I ask the model? Write the text, for example: try: my card was charged twice.",
            memo={"need": {"intent": "try", "slot": "prompt", "args": {"job": job}}},
        )
    base_only = re.search(
        r"\b(?:base|untuned|starter|original) (?:model|one)?\b", view.said.plain.split(":")[0]
    )
    args: Args = {"prompt": prompt, "job": job}
    if job is None and base_only:
        args["model"] = "starter"
    return Plan(
        calls=[("try_model", only_offered(args, offered["try_model"]))],
        memo={"job": job} if job else {},
    )


def forget(view: View, wish: Wish, offered: Offered) -> Plan:
    """Ask to delete runs or a prepared version."""
    versions = {v["id"]: v["id"] for v in view.state.get("prepared", [])}
    for path in named_paths(view):
        if path in versions:
            return Plan(calls=[("forget", {"path": path})])
    ids = named_jobs(view)
    if not ids and named_paths(view) and not re.search(r"\brun|job|training|model\b", wish.clause):
        return Plan(
            reply="I never delete your own files. I can delete a run's files or a prepared version: "
            "name it."
        )
    if not ids:
        ids = _several(view, wish.clause)
    if len(ids) > 1 and "jobs" in offered["forget"]:
        return Plan(calls=[("forget", {"jobs": ids})])
    if ids:
        return Plan(calls=[("forget", {"job": ids[0]})])
    return with_job("forget", "forget", "delete")(view, wish, offered)


def _several(view: View, clause: str) -> list[str]:
    """`all failed runs`, `everything`."""
    if not re.search(r"\b(?:all|every|everything|each|both)\b", clause):
        return []
    state = references.find_state(clause)
    return [job["id"] for job in view.trainings if state in (None, job["state"])]


def compare(view: View, wish: Wish, offered: Offered) -> Plan:
    """Lay runs side by side: those that are named, the one that is spoken of, the last ones."""
    ended = [job["id"] for job in view.trainings if job["state"] not in ("queued", "running")]
    known = [job["id"] for job in view.trainings]
    named = named_jobs(view)
    if len(named) == 1 and len(re.findall(r"\bjob\d+\b", view.said.plain)) > 1:
        return Plan(reply=f"{named[0]} is named twice; a comparison needs two different runs.")
    wanted = named[:4]
    if len(wanted) < 2:
        focus = [str(view.focus)] if view.focus in known else []
        rest = [job for job in ended if job not in (*wanted, *focus)]
        older = _older_than(view, focus[0] if focus and not named else None, rest)
        wanted = list(dict.fromkeys([*focus, *wanted, *older]))[: _how_many(view)]
    if len(wanted) < 2:
        plan = Plan(calls=[("list_jobs", {})])
        plan.notes.append("There is only one run to look at; a comparison needs two.")
        return plan
    rowwise = re.search(
        r"\b(?:evaluate|judge|score|measure|test)\b.*\b(?:against|versus)\b", wish.clause
    )
    if rowwise and "against" in offered["evaluate_model"]:
        args = {"job": wanted[0], "against": wanted[1]}
        return Plan(calls=[("evaluate_model", args)], memo={"job": wanted[0]})
    return Plan(calls=[("compare_jobs", {"jobs": wanted})], memo={"job": wanted[0]})


def _older_than(view: View, job: str | None, rest: list[str]) -> list[str]:
    """Return the other runs, those before the one that is spoken of first."""
    ids = [j["id"] for j in view.trainings]
    if job is None:
        return rest
    place = ids.index(job)
    return [r for r in rest if ids.index(r) > place] + [r for r in rest if ids.index(r) < place]


def _how_many(view: View) -> int:
    """Return how many runs are compared: two, unless up to four are asked for."""
    match = re.search(
        r"\b(?:last|latest|newest|all) ([34])\b|\ball (?:my )?(?:runs|jobs)\b", view.said.plain
    )
    return int(match[1] or 4) if match else 2


def report(view: View, wish: Wish, offered: Offered) -> Plan:
    """Write a report where that is there; else show what the run recorded."""
    if "write_report" in offered:
        return with_job("report", "write_report", "report on")(view, wish, offered)
    plan = show(view, wish, offered)
    if plan.calls:
        plan.notes.append(
            "I cannot write a report page yet; this is what the run recorded, its verdict first."
        )
    return plan
