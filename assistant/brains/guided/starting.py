"""From the wish to train to the plan that is asked for."""

# Patterns are easier to check in one line than wrapped.

from __future__ import annotations

import re

from assistant.brains.guided import choices, references, talk
from assistant.brains.guided.patterns import phrase
from assistant.brains.guided.plan import Offered, Plan
from assistant.brains.guided.runs import find_job, named_jobs
from assistant.brains.guided.slots import (
    Args,
    find_path,
    named_paths,
    only_offered,
    relative_values,
    training_values,
)
from assistant.brains.guided.view import View
from assistant.brains.guided.wishes import Wish

_USUAL_TRIALS = 10
_SAID_ANYWAY = frozenset({"data", "train", "model", "adapter", "file", "test", "support", "csv"})


def plan_start(
    view: View, offered: Offered, base: Args, path: str | None, *, look: bool = True
) -> Plan:
    """Return the plan for a training with these wishes; data that is new is looked at first."""
    args = only_offered(base, offered["start_training"])
    if path is None:
        files, samples = view.state.get("files", []), view.state.get("samples", [])
        return Plan(
            reply=talk.ask_for_data(files, samples, "train on", view.said.plain),
            memo={"need": {"intent": "start", "slot": "path", "args": args}},
        )
    args = {"path": path, **{k: v for k, v in args.items() if k != "path"}}
    plan = Plan(memo={"path": path, "need": {"intent": "start", "slot": "path", "args": args}})
    if look and not _was_inspected(view, path) and "inspect_dataset" in offered:
        plan.calls.append(("inspect_dataset", {"path": path}))
    plan.calls.append(("start_training", args))
    return plan


def _was_inspected(view: View, path: str) -> bool:
    return any(
        call.ok and call.args.get("path") == path
        for call in view.earlier
        if call.name in ("inspect_dataset", "prepare_dataset", "start_training")
    )


def start(view: View, wish: Wish, offered: Offered) -> Plan:
    """Plan a training with what was said now and before."""
    values = training_values(view)
    if re.search(
        r"\b(?:image|images|photo|photos|picture|pictures|audio|video|speech|voice|music)s?\b",
        view.said.plain,
    ) and not named_paths(view):
        return Plan(reply=talk.IMAGES)
    goal = references.find_goal(view.said.plain)
    if plan := run_again(view, offered):
        return plan
    explicit = named_paths(view, wish.clause) or named_paths(view)
    path = find_path(view)
    last = view.plans[-1] if view.plans else {}
    same_plan = not explicit and last.get("path") == path and last
    if goal and "goal" not in values:
        values["goal"] = goal
    if explicit and phrase("KEEPS_LEARNING").search(view.said.plain):
        values["continues"] = find_job(view, "evaluate")[0]
    searched = {"trials", "vary"} & {*values, *last}
    if not searched and phrase("SEARCH").search(view.said.plain):
        values["trials"] = _USUAL_TRIALS
    if phrase("SAME_BASE").search(view.said.plain):
        values |= {k: v for k, v in _same_base(view).items() if k not in values}
        path = path if explicit else _for_words(view) or path
    several = several_data(view)
    if several:
        path, values["adapters"] = several[0], several[1:]
    if same_plan and not several:
        values = {**last, **relative_values(view, last), **values}
    else:
        values = {**_prepared_with(view, path), **_talked_of(view), **values}
    return plan_start(view, offered, values, path)


def several_data(view: View) -> list[str]:
    """`one adapter for tickets.csv and one for tone.csv`: the data of each, in that order.

    Where no files are written, each part of the sentence may name one by its words.
    """
    plain = view.said.plain
    if not phrase("ADAPTERS").search(plain):
        return []
    named = named_paths(view)
    if not named:
        parts = re.split(r"\band\b|,|\bplus\b|\bas well as\b", plain)
        named = [path for part in parts if (path := _for_words(view, part))]
    found = list(dict.fromkeys(named))
    return found if len(found) > 1 else []


def _same_base(view: View) -> Args:
    """`on the same base`: the base model of the run that was spoken of, or of the last one."""
    job_id = find_job(view, "rerun")[0]
    job = next((job for job in view.trainings if job["id"] == job_id), None)
    if job is not None and job.get("model"):
        return {"model": job["model"]}
    planned = view.plans[-1].get("model") if view.plans else None
    return {"model": planned} if planned else {}


def _for_words(view: View, part: str | None = None) -> str | None:
    """`a second adapter for tone`: the one file whose name has a word of the message.

    Args:
        part: Look at these words of it only.
    """
    plain = view.said.plain if part is None else part
    words = set(re.findall(r"[a-z]{3,}", plain)) - _SAID_ANYWAY
    files = [str(name) for name in view.state.get("files", [])]
    for names in (files, [*files, *map(str, view.state.get("samples", []))]):
        stems = {n: re.findall(r"[a-z]{3,}", n.rsplit("/", 1)[-1].lower()) for n in names}
        fitting = [name for name, parts in stems.items() if words & set(parts[:-1] or parts)]
        if len(fitting) == 1:
            return fitting[0]
    return None


def run_again(view: View, offered: Offered) -> Plan | None:
    """`try it again with a smaller batch`: an earlier run's settings with what is changed."""
    again = _rerun_of(view)
    if again is None:
        return None
    changed = {**relative_values(view, again), **training_values(view)}
    return plan_start(view, offered, {**again, **changed}, str(again["path"]))


def _rerun_of(view: View) -> Args | None:
    """`do tickets-7 again, but with rank 32`: the earlier run's settings."""
    if not phrase("AGAIN").search(view.said.plain):
        return None
    named = named_jobs(view)
    said_which = re.search(
        r"\b(?:last|previous|that|the) (?:run|training|job|one)\b", view.said.plain
    )
    nothing_else = not (view.plans or view.path or named_paths(view))
    if not named and not said_which and not nothing_else:
        return None
    job_id = named[0] if named else find_job(view, "rerun")[0]
    job = next((job for job in view.trainings if job["id"] == job_id), None)
    if job is None or not job.get("path"):
        return None
    names = (
        "path", "model", "method", "rank", "alpha", "dropout", "epochs", "max_steps",
        "learning_rate", "batch_size", "gradient_accumulation", "max_length", "weight_decay",
        "eval_fraction",
    )  # fmt: skip
    kept = {name: job[name] for name in names if job.get(name) is not None}
    if job.get("method") == "full":
        kept.pop("rank", None), kept.pop("alpha", None), kept.pop("dropout", None)
    return kept


def _prepared_with(view: View, path: str | None) -> Args:
    """What was chosen when this file was prepared in this conversation."""
    for call in reversed(view.earlier):
        if call.name == "prepare_dataset" and call.ok and call.args.get("path") == path:
            return {name: value for name, value in call.args.items() if name != "path"}
    return {}


def _talked_of(view: View) -> Args:
    """`use it then`: the method that was explained or recommended last."""
    last = view.last
    if last and last.name == "explain" and re.search(r"\b(?:it|that|this)\b", view.said.plain):
        named = choices.methods_named(str(last.args.get("question", "")).lower())
        return {"method": named[0]} if len(named) == 1 else {}
    return {}
