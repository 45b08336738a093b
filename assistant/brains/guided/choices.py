"""Finds settings that are words: method, engine, objective, loss, … from `choices.txt`."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from assistant.brains.guided.patterns import phrase
from tools.methods import methods

Values = dict[str, object]
_EVERYDAY_WORDS = frozenset({"miss", "road", "lily", "cartridge", "deft", "vera"})
_SEVERAL = "fixes"
_BOOLEANS = {"true": True, "false": False}
_MODULES = re.compile(
    r"\b(?:[qkvo]_proj|(?:gate|up|down)_proj|query_key_value|c_attn|c_proj|c_fc|fc[12]|[qkv]|"
    r"dense|embed_tokens|lm_head|ln_f)\b"
)
_MODULE_WORDS = re.compile(
    r"\b(?:modules?|targets?|projections?|layers?|matrices|only|just|adapters? (?:on|to|for))\b|_proj|c_attn"
)
_SAVED = re.compile(
    r"\b(?:modules? to save|also (?:train|save)|fully train|train(?:ed)? whole)\b(.*)"
)
_ATTENTION_ONLY = re.compile(
    r"\b(?:attention (?:layers?|modules?|matrices|weights)? ?only|only (?:the )?attention)\b"
)
_PROCESSES = re.compile(
    r"\b(?:on|with|over|across|use|using|both|all|spread (?:it |this )?over) (?:my |the |all )?(\d{1,3}) "
    r"(?:gpus?|cards?|devices?|processes|graphics cards?)\b|\b(\d{1,3}) (?:gpus?|cards?|processes)\b"
)
_BOTH = re.compile(r"\bboth (?:my |the |of the )?(?:gpus?|cards?|devices?)\b")
_NODES = re.compile(r"\b(\d{1,3}) (?:nodes|machines|servers|hosts)\b")


def find_choices(plain: str) -> Values:
    """Return argument → value for every setting that is named and not crossed out."""
    values: Values = {}
    for argument in _table():
        if argument == _SEVERAL:
            continue
        value = find_choice(argument, plain)
        if value is not None:
            values[argument] = _BOOLEANS.get(value, value)
    if "initialisation" in values and "method" not in values:
        values["method"] = "lora"
    return values | _devices(plain, values) | _modules(plain)


def find_choice(argument: str, plain: str) -> str | None:
    """Return the value of one setting, the one said last."""
    found = [
        (match.end(), len(match[0]), value)
        for value, pattern in _table()[argument].items()
        for match in pattern.finditer(plain)
        if not _crossed_out(plain[: match.start()])
    ]
    return max(found)[-1] if found else None


def find_fixes(plain: str) -> list[str]:
    """Return the cures that are named, such as `personal_data`; unlike settings they add up."""
    return [
        name
        for name, pattern in _table()[_SEVERAL].items()
        if any(not _crossed_out(plain[: match.start()]) for match in pattern.finditer(plain))
    ]


def pattern_of(argument: str) -> str:
    """Return what names any value of a setting, as one expression."""
    return "(?:" + "|".join(pattern.pattern for pattern in _table()[argument].values()) + ")"


def methods_named(plain: str) -> list[str]:
    """Return all methods that are named, crossed out or not."""
    return [name for name, pattern in _table()["method"].items() if pattern.search(plain)]


def _crossed_out(before: str) -> bool:
    return bool(phrase("NOT_THIS").search(before))


def _devices(plain: str, values: Values) -> Values:
    if "engine" not in values or values["engine"] == "single":
        return {}
    found: Values = {}
    if match := _PROCESSES.search(plain):
        found["processes"] = int(match[1] or match[2])
    elif _BOTH.search(plain):
        found["processes"] = 2
    if match := _NODES.search(plain):
        found["nodes"] = int(match[1])
    return found


def _modules(plain: str) -> Values:
    if not _MODULE_WORDS.search(plain):
        return {}
    named = list(dict.fromkeys(_MODULES.findall(plain)))
    if saved := _SAVED.search(plain):
        kept = [name for name in named if name in saved[1]]
        return {"modules_to_save": kept} if kept else {}
    if not named and _ATTENTION_ONLY.search(plain):
        named = ["q_proj", "k_proj", "v_proj", "o_proj"]
    full = [f"{name}_proj" if len(name) == 1 else name for name in named]
    return {"target_modules": full} if full else {}


@cache
def _table() -> Mapping[str, Mapping[str, re.Pattern[str]]]:
    text = Path(__file__).with_name("choices.txt").read_text(encoding="utf-8")
    table: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            current = table.setdefault(line.strip("[]"), {})
        elif line.strip() and not line.startswith("#"):
            value, _, pattern = line.partition(" ")
            current[value] = pattern
    for name, row in methods().items():
        words = [re.escape(name).replace("_", "[ _-]?"), re.escape(row.title.lower())]
        if name in _EVERYDAY_WORDS:
            words = [rf"{name} (?:method|adapters?|peft)|(?<=method ){name}|(?<=with ){name}"]
        if name == "full":
            continue
        known = table["method"].get(name)
        table["method"][name] = "|".join([*([known] if known else []), *words])
    return {
        argument: {
            value: re.compile(rf"(?<![\w-])(?:{pattern})(?!\w)") for value, pattern in rows.items()
        }
        for argument, rows in table.items()
    }
