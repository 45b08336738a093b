"""From a wish to the calls that meet it, or to the question that must be answered first."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assistant.brains.guided import references, talk
from assistant.brains.guided.runs import find_job, named_jobs
from assistant.brains.guided.slots import (
    Args,
    find_path,
    find_prompt,
    named_paths,
    only_offered,
    training_values,
)
from assistant.brains.guided.understand import Wish
from assistant.brains.guided.view import View

Offered = Mapping[str, frozenset[str]]


@dataclass
class Plan:
    """What the brain does with a message.

    Attributes:
        calls: Tool calls in their order, as `(name, arguments)`.
        reply: What is said where there are no calls.
        notes: Sentences behind the results.
        memo: What the brain must remember for the next message.
    """

    calls: list[tuple[str, Args]] = field(default_factory=list)
    reply: str = ""
    notes: list[str] = field(default_factory=list)
    memo: dict[str, Any] = field(default_factory=dict)

    def add(self, other: Plan) -> None:
        """Do another plan's calls behind these."""
        self.calls += [call for call in other.calls if call not in self.calls]
        self.notes += other.notes
        if other.reply:
            self.notes.append(other.reply)
        self.memo |= other.memo


def plan_wish(view: View, wish: Wish, offered: Offered) -> Plan:
    """Return the plan for one wish."""
    builder = _BUILDERS.get(wish.intent)
    return builder(view, wish, offered) if builder else Plan(reply=_SAID[wish.intent])


def plan_start(view: View, offered: Offered, base: Args, path: str | None) -> Plan:
    """Return the plan for a training with these wishes."""
    args = only_offered(base, offered["start_training"])
    if path is None:
        files, samples = view.state.get("files", []), view.state.get("samples", [])
        return Plan(
            reply=talk.ask_for_data(files, samples, "train on"),
            memo={"need": {"intent": "start", "slot": "path", "args": args}},
        )
    args = {"path": path, **{k: v for k, v in args.items() if k != "path"}}
    plan = Plan(memo={"path": path, "need": {"intent": "start", "slot": "path", "args": args}})
    if not _was_inspected(view, path) and "inspect_dataset" in offered:
        plan.calls.append(("inspect_dataset", {"path": path}))
    plan.calls.append(("start_training", args))
    plan.notes += _not_offered(base, view)
    return plan


def _was_inspected(view: View, path: str) -> bool:
    return any(
        call.ok and call.args.get("path") == path
        for call in view.earlier
        if call.name in ("inspect_dataset", "prepare_dataset", "start_training")
    )


def _not_offered(base: Args, view: View) -> list[str]:
    notes = []
    if "trials" in base or re.search(r"\b(?:hyperparameter|grid|random) search\b", view.said.plain):
        notes.append("A search over several settings is not there yet: this plan is one run.")
    if re.search(r"\b(?:deepspeed|zero\d|fsdp|ddp|multi ?gpu|several gpus|ray)\b", view.said.plain):
        notes.append("Training over several devices is not there yet: this plan uses one device.")
    return notes


def _start(view: View, wish: Wish, offered: Offered) -> Plan:
    values = training_values(view)
    if re.search(
        r"\b(?:image|images|photo|photos|picture|pictures|audio|video|speech|voice|music)s?\b",
        view.said.plain,
    ) and not named_paths(view):
        return Plan(reply=talk.IMAGES)
    goal = references.find_goal(view.said.plain)
    again = _rerun_of(view, wish)
    if again is not None:
        return plan_start(view, offered, {**again, **values}, str(again["path"]))
    explicit = named_paths(view, wish.clause) or named_paths(view)
    path = find_path(view)
    last = view.plans[-1] if view.plans else {}
    same_plan = not explicit and last.get("path") == path and last
    if goal and "goal" not in values:
        values["goal"] = goal
    if same_plan:
        values = {**last, **values}
    else:
        values = {**_prepared_with(view, path), **_talked_of(view), **values}
    return plan_start(view, offered, values, path)


def _rerun_of(view: View, wish: Wish) -> Args | None:
    """`do tickets-7 again, but with rank 32`: the earlier run's settings."""
    if not re.search(r"\b(?:again|repeat|redo|rerun|once more|same as|like)\b", view.said.plain):
        return None
    named = named_jobs(view)
    if not named and not re.search(
        r"\b(?:last|previous|that|the) (?:run|training|job|one)\b", view.said.plain
    ):
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
        named = references.methods_named(str(last.args.get("question", "")).lower())
        return {"method": named[0]} if len(named) == 1 else {}
    return {}


def _inspect(view: View, wish: Wish, offered: Offered) -> Plan:
    paths = named_paths(view, wish.clause) or named_paths(view)
    path = find_path(view, clause=wish.clause)
    if path is None:
        files, samples = view.state.get("files", []), view.state.get("samples", [])
        return Plan(
            reply=talk.ask_for_data(files, samples, "look at"),
            memo={"need": {"intent": "inspect", "slot": "path", "args": {}}},
        )
    extra: Args = {}
    if match := re.search(
        r"\b(?:show|give|see|first|preview|print)\b.{0,20}?\b(\d{1,2}) (?:\w+ )?(?:rows|lines|examples)\b",
        wish.clause,
    ):
        extra["sample_rows"] = min(50, int(match[1]))
    wanted = paths[:3] or [path]
    args = [only_offered({"path": p, **extra}, offered["inspect_dataset"]) for p in wanted]
    return Plan(calls=[("inspect_dataset", a) for a in args], memo={"path": wanted[-1]})


def _prepare(view: View, wish: Wish, offered: Offered) -> Plan:
    path = find_path(view, clause=wish.clause)
    values = training_values(view)
    if path is None:
        files, samples = view.state.get("files", []), view.state.get("samples", [])
        return Plan(
            reply=talk.ask_for_data(files, samples, "prepare"),
            memo={"need": {"intent": "prepare", "slot": "path", "args": values}},
        )
    args = only_offered({"path": path, **values}, offered["prepare_dataset"])
    return Plan(calls=[("prepare_dataset", args)], memo={"path": path})


def _advice_values(view: View) -> Args:
    values = training_values(view)
    plain = view.said.plain
    if hardware := references.find_hardware(plain):
        values["hardware"] = hardware
        of_the_machine = re.search(
            r"\d ?(?:gb|gigs?) (?:of )?(?:system |main )?(?:ram|memory)\b", plain
        )
        if of_the_machine or re.search(r"\d ?x|\d+ ?(?:gpus|cards)", hardware):
            values.pop("memory_gb", None)
    if match := re.search(r"\b(zero[123]|ddp|fsdp)\b", plain):
        values["engine"] = match[1]
    return values


def _recommend(view: View, wish: Wish, offered: Offered) -> Plan:
    values = _advice_values(view)
    values["target"] = references.find_target(view.said.plain)
    values["goal"] = references.find_goal(view.said.plain)
    path = find_path(view)
    if path is None and values["goal"] is None:
        values["goal"] = " ".join(view.typed.split())[:300]
    if re.search(r"\bcommercial\w*\b", view.said.plain):
        values["licence"] = "commercial"
    values.pop("method", None)
    args = only_offered({"path": path, **values}, offered["recommend_method"])
    offer = {
        "intent": "start",
        "args": only_offered({**training_values(view)}, offered["start_training"]),
    }
    memo: dict[str, Any] = {"offer": offer}
    if path:
        memo["path"] = path
    return Plan(calls=[("recommend_method", args)], memo=memo)


def _estimate(view: View, wish: Wish, offered: Offered) -> Plan:
    values = _advice_values(view)
    last = view.plans[-1] if view.plans and not named_paths(view) else {}
    path = find_path(view) or last.get("path")
    args = only_offered({"path": path, **last, **values}, offered["estimate_resources"])
    return Plan(calls=[("estimate_resources", args)], memo={"path": path} if path else {})


def _models(view: View, wish: Wish, offered: Offered) -> Plan:
    values: Args = {}
    if memory := training_values(view).get("memory_gb"):
        values |= {"memory_gb": memory, "fits": True}
    if re.search(r"\bcommercial\w*\b", view.said.plain):
        values["licence"] = "commercial"
    return Plan(calls=[("list_models", only_offered(values, offered["list_models"]))])


def _hardware(view: View, wish: Wish, offered: Offered) -> Plan:
    return Plan(calls=[("describe_hardware", {})])


def _explain(view: View, wish: Wish, offered: Offered) -> Plan:
    lines = [line for line in view.typed.splitlines() if not line.lstrip().startswith(">")]
    question = " ".join(" ".join(lines).split())[:1000] or wish.clause
    return Plan(calls=[("explain", {"question": question})])


def _jobs(view: View, wish: Wish, offered: Offered) -> Plan:
    args: Args = {
        "state": references.find_state(wish.clause),
        "limit": references.find_limit(wish.clause),
    }
    if re.search(r"\b(?:best|worst|all|every|highest|lowest)\b", wish.clause) or (
        args["state"] == "succeeded" and "good" in wish.clause
    ):
        args.pop("state")
    return Plan(calls=[("list_jobs", only_offered(args, offered["list_jobs"]))])


def _with_job(
    intent: str, tool: str, what: str, more: Callable[[View], Args] | None = None
) -> Callable[[View, Wish, Offered], Plan]:
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


def _show(view: View, wish: Wish, offered: Offered) -> Plan:
    ids = named_jobs(view)
    if len(ids) > 1:
        return Plan(calls=[("show_job", {"job": job}) for job in ids[:4]], memo={"job": ids[0]})
    return _with_job("show", "show_job", "show")(view, wish, offered)


def _evaluate(view: View, wish: Wish, offered: Offered) -> Plan:
    plan = _with_job("evaluate", "evaluate_model", "judge", _evaluation_values)(view, wish, offered)
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
        r"\b(?:on|with|only|first|just) (?:the )?(?:first )?(\d+) (?:rows|examples|samples)\b",
        view.said.plain,
    )
    return {"path": paths[0] if paths else None, "limit": int(limit[1]) if limit else None}


def _export_values(view: View) -> Args:
    return {
        **references.find_format(view.said.plain),
        "device": references.find_device(view.said.plain),
    }


def _try(view: View, wish: Wish, offered: Offered) -> Plan:
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


def _forget(view: View, wish: Wish, offered: Offered) -> Plan:
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
    return _with_job("forget", "forget", "delete")(view, wish, offered)


def _several(view: View, clause: str) -> list[str]:
    """`all failed runs`, `everything`."""
    if not re.search(r"\b(?:all|every|everything|each|both)\b", clause):
        return []
    state = references.find_state(clause)
    return [job["id"] for job in view.trainings if state in (None, job["state"])]


def _missing(tool: str, say: str) -> Callable[[View, Wish, Offered], Plan]:
    """A capability that a later version brings: what exists instead is done."""

    def build(view: View, wish: Wish, offered: Offered) -> Plan:
        ids = named_jobs(view)
        if tool == "compare_jobs" and tool in offered:
            ids = ids or [job["id"] for job in view.trainings[:2]]
            return Plan(calls=[(tool, only_offered({"jobs": ids}, offered[tool]))])
        if tool in offered:
            return _with_job(wish.intent, tool, "look into")(view, wish, offered)
        if tool == "compare_jobs" and len(ids) < 2:
            plan = Plan(calls=[("list_jobs", {})])
        else:
            plan = _show(view, wish, offered)
        if plan.calls:
            plan.notes.append(say)
        return plan

    return build


_BUILDERS: dict[str, Callable[[View, Wish, Offered], Plan]] = {
    "inspect": _inspect,
    "prepare": _prepare,
    "recommend": _recommend,
    "estimate": _estimate,
    "models": _models,
    "hardware": _hardware,
    "explain": _explain,
    "start": _start,
    "jobs": _jobs,
    "show": _show,
    "diagnose": _missing(
        "diagnose_run", "I cannot name causes by myself yet; this is what the run recorded."
    ),
    "compare": _missing(
        "compare_jobs", "I cannot lay runs side by side yet; these are their figures."
    ),
    "report": _missing(
        "write_report", "I cannot write a report page yet; this is what the run recorded."
    ),
    "cancel": _with_job("cancel", "cancel_job", "stop"),
    "resume": _with_job("resume", "resume_job", "resume"),
    "evaluate": _evaluate,
    "export": _with_job("export", "export_model", "export", _export_values),
    "try": _try,
    "forget": _forget,
}
_SAID = {
    "help": talk.HELP,
    "identity": talk.IDENTITY,
    "greet": talk.GREETING,
    "thanks": talk.THANKS,
    "bye": talk.BYE,
    "secret": talk.SECRET,
    "shell": talk.SHELL,
}
