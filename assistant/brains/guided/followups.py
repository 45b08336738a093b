"""The last thing once more, differently: `and with 24 GB?`, `the other one?`."""

# Patterns are easier to check in one line than wrapped.

from __future__ import annotations

import re

from assistant.brains.guided import references, talk
from assistant.brains.guided.patterns import phrase
from assistant.brains.guided.plan import Offered, Plan
from assistant.brains.guided.runs import named_jobs
from assistant.brains.guided.slots import (
    named_paths,
    only_offered,
    training_values,
)
from assistant.brains.guided.steps import plan_wish
from assistant.brains.guided.view import Done, View
from assistant.brains.guided.wishes import Understanding, Wish

OF_MEMORY = frozenset(
    {"precision", "gradient_checkpointing", "batch_size", "gradient_accumulation", "max_length"}
    | {"rank", "optimizer", "quantization"}
)
"""Settings that change what a run takes."""
_REPEATABLE = {
    "recommend_method": "recommend",
    "estimate_resources": "estimate",
    "list_models": "models",
}


def follow_up(view: View, said: Understanding, offered: Offered) -> Plan | None:
    """`and with 24 GB?`, `what about DoRA?`, `and now messy.csv`: the last thing once more."""
    plain, last = view.said.plain, view.last
    asks = plain.endswith("?") or phrase("FOLLOW_UP").match(plain)
    if last is not None and not view.waiting and (plan := _estimate_again(view, last, offered)):
        return plan
    if last is None or not asks:
        return None
    if last.name in _REPEATABLE and phrase("WHAT_WORKS").search(plain):
        kept = {k: v for k, v in last.args.items() if k not in ("method", "engine", "solve")}
        args = only_offered(kept, offered["recommend_method"])
        return Plan(calls=[("recommend_method", args)])
    if last.name == "explain" and not view.waiting and phrase("OF_THE_EDITIONS").search(plain):
        question = f"{last.args.get('question', '')} {view.typed}".strip()
        return Plan(calls=[("explain", {"question": question})])
    if last.name in _REPEATABLE and not (view.waiting and not plain.endswith("?")):
        again = plan_wish(view, Wish(_REPEATABLE[last.name], 3, plain), offered)
        name, args = again.calls[0]
        changed = {k: v for k, v in args.items() if last.args.get(k) != v and k != "goal"}
        if changed:
            again.calls[0] = (name, {**last.args, **changed})
            return again
    if plan := _the_other(view, last):
        return plan
    if last.name in ("inspect_dataset", "prepare_dataset") and named_paths(view) and not view.plans:
        path = named_paths(view)[0]
        return Plan(calls=[(last.name, {**last.args, "path": path})], memo={"path": path})
    if last.name == "export_model" and (values := references.find_format(plain)):
        keep = {"job": last.args.get("job")}
        args = only_offered({**keep, **values}, offered["export_model"])
        return Plan(calls=[("export_model", args)])
    if (
        last.name == "explain"
        and not view.waiting
        and re.match(r"^(?:and|what about|how about)\b", plain)
    ):
        topic = re.sub(r"(?i)^\W*(?:and|what about|how about)\s+", "", view.typed.strip()).rstrip(
            "?. "
        )
        return Plan(calls=[("explain", {"question": f"What is {topic}?"})]) if topic else None
    if last.name in ("show_job", "evaluate_model", "list_jobs") and (jobs := named_jobs(view)):
        tool = "show_job" if last.name == "list_jobs" else last.name
        return Plan(calls=[(tool, {"job": jobs[0]})], memo={"job": jobs[0]})
    return None


def _estimate_again(view: View, last: Done, offered: Offered) -> Plan | None:
    """`and on two of those?`, `turn checkpointing on`, `bf16 then`: the same run, changed.

    With data at hand settings are meant for the plan; of a model alone only its price was asked.
    """
    if last.name != "estimate_resources" or not last.ok or view.path:
        return None
    plain, size = view.said.plain, last.args.get("memory_gb")
    if size and (
        match := re.search(r"\b(\d{1,2}) (?:of (?:those|them|these)|cards|gpus)\b", plain)
    ):
        kept = {k: v for k, v in last.args.items() if k != "memory_gb"}
        args = {**kept, "hardware": f"{match[1]}x{size:g}GB"}
        return Plan(calls=[(last.name, only_offered(args, offered[last.name]))])
    if not OF_MEMORY & training_values(view).keys():
        return None
    again = plan_wish(view, Wish("estimate", 3, plain), offered)
    name, args = again.calls[0]
    return Plan(calls=[(name, {**last.args, **args})])


def _the_other(view: View, last: Done) -> Plan | None:
    """`and the other one?`: the only other file or run there is."""
    named = named_paths(view) or named_jobs(view)
    if named or not re.search(r"\bthe other(?: one| file| run)?\b", view.said.plain):
        return None
    if last.name in ("inspect_dataset", "prepare_dataset"):
        shown = {str(c.args.get("path")) for c in view.earlier if c.name == last.name}
        others = [str(f) for f in view.state.get("files", []) if f not in shown]
        if len(others) == 1:
            args = {**last.args, "path": others[0]}
            return Plan(calls=[(last.name, args)], memo={"path": others[0]})
        if others:
            return Plan(reply=talk.ask_for_data(others, [], "look at"))
    if last.name in ("show_job", "evaluate_model") and last.args.get("job"):
        runs = [j["id"] for j in view.trainings if j["id"] != last.args["job"]]
        if runs:
            return Plan(calls=[(last.name, {"job": runs[0]})], memo={"job": runs[0]})
    return None
