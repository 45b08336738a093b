"""Taking up what was advised: `go with that`, `the second one`."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from typing import Any

from assistant.brains.guided.corrections import OF_TRAINING
from assistant.brains.guided.patterns import phrase
from assistant.brains.guided.plan import Offered, Plan
from assistant.brains.guided.rules import is_question
from assistant.brains.guided.slots import (
    Args,
    find_path,
    named_paths,
    training_values,
)
from assistant.brains.guided.starting import plan_start
from assistant.brains.guided.trouble import take_cure
from assistant.brains.guided.view import View

_LONGEST_TAKING = 14


def follow_offer(view: View, offered: Offered) -> Plan | None:
    """Do what was advised, where the person agrees to it."""
    offer = view.memo.get("offer")
    plain = view.said.plain
    if offer and (choice := option_named(plain)):
        return _take_option(view, offered, choice)
    if offer and offer.get("tool"):
        return take_up(view, offered)
    if not offer or not (
        phrase("STRONG").search(plain) or (phrase("YES").match(plain) and offer.get("asked"))
    ):
        return None
    values = {k: v for k, v in training_values(view).items() if k in OF_TRAINING}
    path = find_path(view)
    return plan_start(view, offered, {**offer.get("args", {}), **values}, path)


def take_up(view: View, offered: Offered) -> Plan | None:
    """Start the cure that a diagnosis offered; a question or a no does not take it up."""
    offer: dict[str, Any] = view.memo.get("offer") or {}
    plain = view.said.plain
    if not offer.get("tool") or len(plain.split()) > _LONGEST_TAKING or named_paths(view):
        return None
    found = next((c for c in reversed(view.earlier) if c.name == "diagnose_run" and c.ok), None)
    if found and phrase("ASKS_FOR_CURE").search(plain):
        return Plan(calls=[(found.name, found.args)])
    values = {k: v for k, v in training_values(view).items() if k in OF_TRAINING}
    agrees = phrase("YES").match(plain) or phrase("STRONG").search(plain)
    agrees = agrees or phrase("TAKES_CURE").search(plain)
    asked_of_us = re.match(r"(?:please )?(?:can|could|would|will) you\b", plain)
    doubts = (plain.endswith("?") and not asked_of_us) or re.search(
        r"\b(?:not|don't|no|why|what|how|before|wait)\b", phrase("AS_TOLD").sub(" ", plain)
    )
    return take_cure(view, offered, offer, values) if agrees and not doubts else None


def option_named(plain: str) -> int | None:
    """Return the number of a ranked option that is taken: `the second one`, `number 2`, `option 3`."""
    if is_question(plain) or re.search(r"\b(?:not|don't|neither)\b", plain):
        return None
    places = ("first|1st|top|1|one(?= *\\W*$|,)", "second|2nd|2|runner up", "third|3rd|3")
    for number, word in enumerate(places, 1):
        if re.search(
            rf"\b(?:option|number|no\.?|plan|choice|suggestion|variant) (?:{word})\b(?! epochs?)"
            rf"|(?:^|\b(?:the|your|that) )(?:{word.split('|one')[0]})(?: (?:one|option|plan|choice|suggestion|proposal|idea|recommendation|method|variant))?\b(?! (?:file|run|column|row|epoch|job))",
            plain,
        ):
            return number
    if re.search(r"\bthe (?:recommended|suggested|best|top) (?:one|option|plan|method)\b", plain):
        return 1
    return None


def _take_option(view: View, offered: Offered, number: int) -> Plan:
    """Plan what stood at a place of the last recommendation."""
    values = {k: v for k, v in training_values(view).items() if k in OF_TRAINING}
    advice = next((c for c in reversed(view.earlier) if c.name == "recommend_method"), None)
    plans = list(advice.artifact.get("plans", [])) if advice else []
    if number > max(1, len(plans)):
        many = "one option" if len(plans) < 2 else f"{len(plans)} options"
        return Plan(reply=f"The advice had {many}. Say which method you would like, such as LoRA.")
    taken: Args = {}
    if number > 1:
        taken["method"] = plans[number - 1].get("method")
        base = plans[number - 1].get("base_model")
        if base and base != plans[0].get("base_model"):
            taken["model"] = base
    offer = view.memo.get("offer") or {}
    return plan_start(view, offered, {**offer.get("args", {}), **taken, **values}, find_path(view))
