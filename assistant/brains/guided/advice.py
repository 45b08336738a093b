"""Steps that look and advise: data, methods, memory and time, models, this machine, the guide."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from typing import Any

from assistant.brains.guided import references, talk
from assistant.brains.guided.plan import Offered, Plan
from assistant.brains.guided.slots import (
    Args,
    find_path,
    named_paths,
    only_offered,
    training_values,
)
from assistant.brains.guided.view import View
from assistant.brains.guided.wishes import Wish


def inspect(view: View, wish: Wish, offered: Offered) -> Plan:
    """Look at the data that is meant."""
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


def prepare(view: View, wish: Wish, offered: Offered) -> Plan:
    """Make a clean, split version of the data that is meant."""
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


def recommend(view: View, wish: Wish, offered: Offered) -> Plan:
    """Ask for advice on method and settings."""
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


def estimate(view: View, wish: Wish, offered: Offered) -> Plan:
    """Ask what a run takes."""
    values = _advice_values(view)
    last = view.plans[-1] if view.plans and not named_paths(view) else {}
    path = find_path(view) or last.get("path")
    args = only_offered({"path": path, **last, **values}, offered["estimate_resources"])
    return Plan(calls=[("estimate_resources", args)], memo={"path": path} if path else {})


def models(view: View, wish: Wish, offered: Offered) -> Plan:
    """List base models."""
    values: Args = {}
    if memory := training_values(view).get("memory_gb"):
        values |= {"memory_gb": memory, "fits": True}
    if re.search(r"\bcommercial\w*\b", view.said.plain):
        values["licence"] = "commercial"
    return Plan(calls=[("list_models", only_offered(values, offered["list_models"]))])


def hardware(view: View, wish: Wish, offered: Offered) -> Plan:
    """Describe this machine."""
    return Plan(calls=[("describe_hardware", {})])


def explain(view: View, wish: Wish, offered: Offered) -> Plan:
    """Look the question up in the guide."""
    lines = [line for line in view.typed.splitlines() if not line.lstrip().startswith(">")]
    question = " ".join(" ".join(lines).split())[:1000] or wish.clause
    return Plan(calls=[("explain", {"question": question})])
