"""Reads a goal and a machine into wishes that can be planned with, and says what was changed."""

from __future__ import annotations

import re
from dataclasses import replace

from tools import methods
from tools.advise.evidence import ENGINE_SOURCE
from tools.advise.hardware import with_useful_cards
from tools.advise.ranked import Recommendation, Rejected
from tools.advise.situation import Situation

_METHODS = {
    "full": r"full[- ](?:parameter|weight|model)?[- ]?(?:fine|tun)|full[- ]?ft\b|every weight|"
    r"all (?:the |of the )?(?:weights|parameters)|full parameter",
    "dora": r"dora", "qlora": r"q-?lora|4[- ]bit (?:lora|tun\w+|fine)|4[- ]bit",
    "rslora": r"rs-?lora|rank[- ]stabili\w+", "ia3": r"\(?ia\)?[³3]", "adalora": r"adalora",
    "prompt_tuning": r"(?:soft )?prompt[- ]tuning|soft prompts?", "vera": r"vera",
    "prefix_tuning": r"prefix[- ]tuning", "p_tuning": r"p[- ]tuning", "lora": r"lora",
}  # fmt: skip
_ENGINES = {
    "zero1": r"zero[- ]?(?:stage[- ]?)?1", "zero2": r"zero[- ]?(?:stage[- ]?)?2",
    "zero3": r"zero[- ]?(?:stage[- ]?)?3", "fsdp": r"fsdp\d?", "ddp": r"ddp",
}  # fmt: skip
_NOT = r"(?:\b(?:no|not|never|without|avoid|instead of|rather than|don't (?:want|use))(?: \w+)? )"


def understood(situation: Situation, result: Recommendation) -> Situation:
    """Return the situation with what the goal names, on cards that can work together."""
    wishes = dict(situation.preferences)
    named = _named(situation.goal, _METHODS)
    if "method" not in wishes and len(named) == 1:
        wishes["method"] = named[0]
    engines = _named(situation.goal, _ENGINES)
    if "engine" not in wishes and len(engines) == 1:
        wishes["engine"] = engines[0]
    machine, note = with_useful_cards(situation.machine)
    result.notes += [note] if note else []
    asked = wishes.get("engine")
    if asked not in (None, "single") and len(machine.gpus) < 2:
        del wishes["engine"]
        place = "one card" if machine.gpus else "no card"
        reason = f"{asked} shares the work over several cards, and there is {place} here"
        result.rejected.append(Rejected(str(asked), reason, ENGINE_SOURCE))
        result.notes.append(f"{asked} was asked for, but {place} is here: planned without it.")
    return replace(situation, preferences=wishes, machine=machine)


def method_called(name: object) -> object:
    """Return a method's own name for one as people write it, such as `QLoRA` or `full tuning`."""
    if not isinstance(name, str) or name in methods.methods():
        return name
    words = name.strip().lower()
    plain = re.sub(r"[\s-]+", "_", words)
    said = [m for m, sign in _METHODS.items() if re.match(rf"(?:{sign})[\w -]*$", words)]
    return plain if plain in methods.methods() or not said else said[0]


def unwished(goal: str) -> frozenset[str]:
    """Return the methods that a goal asks to do without."""
    words = goal.lower()
    return frozenset(m for m, sign in _METHODS.items() if re.search(rf"{_NOT}(?:{sign})\b", words))


def _named(goal: str, table: dict[str, str]) -> list[str]:
    words = goal.lower()
    found = []
    for name, sign in table.items():
        pattern = rf"(?<![a-z])(?:{sign})"
        if re.search(pattern, words):
            if not re.search(rf"{_NOT}(?:{sign})", words):
                found.append(name)
            words = re.sub(pattern, " ", words)
    return found
