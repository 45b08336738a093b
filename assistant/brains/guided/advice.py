"""Steps that look and advise: data, methods, memory and time, models, this machine, the guide."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from typing import Any

from assistant.brains.guided import machines, references, talk
from assistant.brains.guided.patterns import phrase
from assistant.brains.guided.plan import Offered, Plan
from assistant.brains.guided.repairs import ALL_THAT_WERE_FOUND, wanted_fixes
from assistant.brains.guided.slots import (
    Args,
    find_path,
    named_paths,
    only_offered,
    training_values,
)
from assistant.brains.guided.view import View
from assistant.brains.guided.wishes import Wish
from tools.advise.aims import aims_of
from tools.advise.cards import places
from tools.advise.models import catalogue_entry

_OF_SIZE = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d+)?) ?(b|billion)\b(?! ?(?:rows|tokens|examples))")
_AT_MOST = re.compile(
    r"(?:\b(?:under|below|up to|at most|(?:small|few|low)er than|less than|max(?:imum)?|no (?:more|bigger|larger) than|within)|<=?) ?(\d+(?:\.\d+)?) ?(b|billion|m|million)\b"
)
_LICENCES = re.compile(
    r"\bcommercial\w*|\bsell\w*\b|\bapache(?: 2(?:\.0)?)?\b|\bmit\b|\bpermissive\w*|\bopen[- ]source\b"
)
_MODEL_FACT = re.compile(
    r"\bonnx\b|\blicen[cs]\w*|\bcommercial\w*|\bgated\b|\bcontext (?:length|window)|\bhow many parameters (?:has|does)\b"
)
_LENS = phrase("LENS")
_SYNTHETIC = phrase("SYNTHETIC")
_OUR_ACCURACY = phrase("OUR_ACCURACY")
_AUGMENTS = (
    (
        "typos",
        r"typos?|typing (?:errors?|slips?|mistakes?)|misspell\w*|spelling (?:errors?|mistakes?)",
    ),
    ("word_dropout", r"(?:word|words) dropout|drop(?:ping)? words|leav\w+ out words|missing words"),
    ("word_swap", r"swap\w*(?: words)?|word order|shuffl\w+ words|reorder\w*"),
    ("case", r"(?:upper|lower) ?case|capital\w*|case(?: changes)?"),
    ("punctuation", r"punctuation|commas"),
)
_MOST = r"(?:longest|largest|biggest|max(?:imum|imal)?|highest|greatest|how (?:long|large|big|many|high)|most|what size)"
_SOLVED = (
    (
        "longest_context",
        rf"\b{_MOST}\b.{{0,24}}\b(?:context|sequences?|lengths?|texts?|rows|tokens|inputs?|prompts?|documents?)\b"
        r"|\bhow (?:long|many tokens)\b.{0,40}\b(?:rows|texts?|sequences?|contexts?|inputs?|documents?)\b.{0,30}\b(?:be|get|go|fit|afford)\b",
    ),
    (
        "largest_batch",
        rf"\b{_MOST}\b.{{0,24}}\b(?:batch(?:es)?(?: size)?|bs|samples|examples)\b"
        r"|\b(?:what|which) batch(?: size)?\b.{0,30}\b(?:can|could|may|fits?|afford)\b"
        r"|\bhow many (?:rows|samples|examples)\b.{0,24}\b(?:at once|batch|at a time)\b",
    ),
    ("biggest_model", rf"\b{_MOST}\b.{{0,24}}\b(?:models?|llms?|base|parameters?)\b"),
)


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
    if _LENS.search(view.said.plain):
        extra["lens"] = True
    wanted = paths[:3] or [path]
    args = [only_offered({"path": p, **extra}, offered["inspect_dataset"]) for p in wanted]
    notes = [talk.MASK] if extra.get("lens") else []
    return Plan([("inspect_dataset", a) for a in args], notes=notes, memo={"path": wanted[-1]})


def prepare(view: View, wish: Wish, offered: Offered) -> Plan:
    """Make a clean, split version of the data that is meant."""
    path = find_path(view, clause=wish.clause)
    values = training_values(view)
    if path is None and view.last and view.last.name == "diagnose_run":
        return Plan(reply=talk.NO_CURE)
    if path is None:
        files, samples = view.state.get("files", []), view.state.get("samples", [])
        return Plan(
            reply=talk.ask_for_data(files, samples, "prepare"),
            memo={"need": {"intent": "prepare", "slot": "path", "args": values}},
        )
    args = {"path": path, **values, **wanted_fixes(view)}
    if _SYNTHETIC.search(view.said.plain):
        args["augment"] = _augmentation(view.said.plain)
    plan = Plan(memo={"path": path})
    if args.get("fixes") == ALL_THAT_WERE_FOUND:
        plan.calls.append(("inspect_dataset", {"path": path}))
    plan.calls.append(("prepare_dataset", only_offered(args, offered["prepare_dataset"])))
    return plan


def _augmentation(plain: str) -> list[str]:
    """Return by which methods rows shall be made; they label what they make as synthetic."""
    named = [name for name, pattern in _AUGMENTS if re.search(rf"\b(?:{pattern})\b", plain)]
    return named or [name for name, _ in _AUGMENTS[:3]]


def _advice_values(view: View) -> Args:
    values = training_values(view)
    plain = view.said.plain
    if "model" not in values and (sized := _OF_SIZE.search(plain)):
        values["model"] = f"{sized[1]}{sized[2][0]}"
    if hardware := machines.find_hardware(plain) or _rented(plain):
        values["hardware"] = hardware
        of_the_machine = re.search(
            r"\d ?(?:gb|gigs?) (?:of )?(?:system |main )?(?:ram|memory)\b", plain
        )
        if of_the_machine or re.search(r"\d ?x|\d+ ?(?:gpus|cards)|[a-z].*\d ?gb", hardware):
            values.pop("memory_gb", None)
    return values


def _rented(plain: str) -> str | None:
    """Return a service or a rented machine that is named, such as `colab`."""
    return next((place.name for place in places() if place.name.strip(".") in plain.split()), None)


def _licence(plain: str) -> str | None:
    """Return what a model's licence shall allow."""
    named = _LICENCES.search(plain)
    if named is None:
        return None
    word = named[0]
    return "commercial" if word.startswith(("commercial", "sell")) else (
        "permissive" if word.startswith(("permissive", "open")) else word
    )  # fmt: skip


def _fact_of_model(view: View, offered: Offered) -> Plan | None:
    """Look a listed model up where the question is about a fact of it, such as its licence."""
    listed = catalogue_entry(str(training_values(view).get("model", "")))
    if not listed or not _MODEL_FACT.search(view.said.plain):
        return None
    search = {"search": listed["name"].rpartition("/")[2]}
    return Plan(calls=[("list_models", only_offered(search, offered["list_models"]))])


def recommend(view: View, wish: Wish, offered: Offered) -> Plan:
    """Ask for advice on method and settings."""
    if not named_paths(view) and (fact := _fact_of_model(view, offered)):
        return fact
    values = _advice_values(view)
    values["target"] = machines.find_target(view.said.plain)
    values["goal"] = references.find_goal(view.said.plain)
    path = find_path(view)
    if values["goal"] is None and (path is None or aims_of(view.said.plain)):
        values["goal"] = " ".join(view.typed.split())[:300]
    values["licence"] = _licence(view.said.plain)
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
    if "gradient_checkpointing" in values:
        values["gradient_checkpointing"] = "on" if values["gradient_checkpointing"] else "off"
    if modules := values.get("target_modules"):
        values["target_modules"] = ",".join(modules)
    if _OUR_ACCURACY.search(view.said.plain):
        return Plan(calls=[("estimate_resources", {"accuracy": True})])
    values["solve"] = _largest(view.said.plain)
    if values["solve"] == "biggest_model":
        values.pop("model", None)
    args = only_offered({"path": path, **last, **values}, offered["estimate_resources"])
    return Plan(calls=[("estimate_resources", args)], memo={"path": path} if path else {})


def _largest(plain: str) -> str | None:
    """Return what shall be as large as it fits."""
    return next((name for name, pattern in _SOLVED if re.search(pattern, plain)), None)


def models(view: View, wish: Wish, offered: Offered) -> Plan:
    """List base models."""
    values: Args = {}
    if memory := training_values(view).get("memory_gb"):
        values |= {"memory_gb": memory, "fits": True}
    values["licence"] = _licence(view.said.plain)
    if largest := _AT_MOST.search(view.said.plain):
        values["largest_b"] = float(largest[1]) / (1 if largest[2].startswith("b") else 1000)
    if re.search(r"\b(?:gguf|llama\.?cpp|ollama)\b", view.said.plain):
        values["target"] = "gguf"
    elif re.search(r"\b(?:onnx|phones?|mobile|edge)\b", view.said.plain):
        values["target"] = "onnx-cpu"
    return Plan(calls=[("list_models", only_offered(values, offered["list_models"]))])


def hardware(view: View, wish: Wish, offered: Offered) -> Plan:
    """Describe this machine."""
    return Plan(calls=[("describe_hardware", {})])


def explain(view: View, wish: Wish, offered: Offered) -> Plan:
    """Look the question up in the guide, or in the list where it is a fact of one model."""
    if fact := _fact_of_model(view, offered):
        return fact
    lines = [line for line in view.typed.splitlines() if not line.lstrip().startswith(">")]
    question = " ".join(" ".join(lines).split())[:1000] or wish.clause
    return Plan(calls=[("explain", {"question": question})])
