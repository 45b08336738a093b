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
_WHOLE_ONES = r"(?:the )?(?:lm_head|embed_tokens|(?:\w+ )?embeddings?|(?:language model(?:ing)? |output |lm )head)"
_MODULES = re.compile(
    r"\b(?:[qkvo]_proj|(?:gate|up|down)_proj|query_key_value|c_attn|c_proj|c_fc|fc[12]|[qkv]|"
    r"dense|embed_tokens|lm_head|ln_f)\b"
)
_MODULE_WORDS = re.compile(
    r"\b(?:modules?|targets?|projections?|layers?|matrices|only|just|adapters? (?:on|to|for))\b|_proj|c_attn"
)
_SAVED = re.compile(
    rf"\b(?:modules? to save|also (?:fully )?(?:train|save)|unfreez\w*|fully train|train(?:ed)? whole|whole beside)\b.*"
    rf"|\b(?:train|save|keep|learn|tune|unfreeze)\b[^.;]{{0,24}}\b{_WHOLE_ONES}\b[^.;]{{0,40}}\b(?:fully|whole|entirely|completely|too|as well|also|in full)\b"
    rf"|\b{_WHOLE_ONES}\b[^.;]{{0,16}}\b(?:fully|whole|entirely|completely|in full)\b"
)
_ATTENTION_ONLY = re.compile(
    r"\b(?:attention (?:layers?|modules?|matrices|weights)? ?only|only (?:on |in |to |for |at )?(?:the )?attention)\b"
)
_PROCESSES = re.compile(
    r"\b(?:on|with|over|across|use|using|both|all|spread (?:it |this )?over) (?:my |the |all )?(\d{1,3}) "
    r"(?:gpus?|cards?|devices?|processes|graphics cards?)\b|\b(\d{1,3}) (?:gpus?|cards?|processes)\b"
)
_REWARDS = (
    (
        "label_match",
        r"label_match|match\w* (?:the )?labels?|labels? match\w*|(?:right|correct) labels?",
    ),
    (
        "answer_match",
        r"answer_match|match\w* (?:the )?answers?|answers? match\w*|(?:right|correct) (?:answers?|results?|numbers?)|being right",
    ),
    ("json", r"json"),
    ("one_line", r"one_line|(?:one|1|a single) lines?(?: answers?)?|single lines?"),
)
"""Those of tools.rewards, as people name them."""
_BOTH = re.compile(r"\bboth (?:my |the |of the |cpu )?(?:gpus?|cards?|devices?|cores?|cpus?)\b")
_SHARED = re.compile(
    r"\b(?:as|in|with|on|over|across|use|using|into|between|start|run|make it) (?:\w+ )?(?:[2-9]|[1-9]\d{1,2}) (?:cpu |parallel |separate |worker )?(?:processes|workers|procs|ranks|devices)\b"
    r"|\b(?:[2-9]|[1-9]\d{1,2}) (?:cpu |parallel |separate |worker )?processes\b"
    r"|\bboth (?:my |the |of the |cpu )?(?:cores?|cpus?)\b|\b(?:1|one|a) process (?:per|for each|a) core\b"
)
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
    if rewards := _rewards(plain):
        values["rewards"] = rewards
        values.setdefault("objective", "grpo")
    return values | _devices(plain, values) | _modules(plain)


def find_choice(argument: str, plain: str) -> str | None:
    """Return the value of one setting, the one said last."""
    found = [
        (match.end(), len(match[0]), value)
        for value, pattern in _table()[argument].items()
        for match in pattern.finditer(plain)
        if not _taken_back(plain[: match.start()])
    ]
    return max(found)[-1] if found else None


def choices_crossed_out(plain: str) -> list[tuple[str, str]]:
    """Return `(argument, value)` of the settings that are named to be left out."""
    return [
        (argument, value)
        for argument, rows in _table().items()
        if argument != _SEVERAL
        for value, pattern in rows.items()
        if any(_taken_back(plain[: match.start()]) for match in pattern.finditer(plain))
    ]


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
    return choices_named("method", plain)


def choices_named(argument: str, plain: str) -> list[str]:
    """Return all values of a setting that are named, crossed out or not."""
    return [name for name, pattern in _table()[argument].items() if pattern.search(plain)]


def _taken_back(before: str) -> bool:
    return bool(phrase("TAKEN_BACK").search(before))


def _crossed_out(before: str) -> bool:
    return bool(phrase("NOT_THIS").search(before))


def _devices(plain: str, values: Values) -> Values:
    shared = _SHARED.search(plain)
    if shared and "engine" not in values:
        values["engine"] = "ddp"
    if values.get("engine", "single") == "single":
        return {}
    found: Values = {}
    if shared and (number := re.search(r"\d+", shared[0])):
        found["processes"] = int(number[0])
    elif match := _PROCESSES.search(plain):
        found["processes"] = int(match[1] or match[2])
    elif shared or _BOTH.search(plain):
        found["processes"] = 2
    if match := _NODES.search(plain):
        found["nodes"] = int(match[1])
    return found


def _modules(plain: str) -> Values:
    saved = _SAVED.search(plain)
    kept = _named_modules(saved[0]) if saved else []
    rest = plain.replace(saved[0], " ") if saved and kept else plain
    named = _named_modules(rest) if _MODULE_WORDS.search(rest) else []
    if not named and _ATTENTION_ONLY.search(plain):
        named = ["q_proj", "k_proj", "v_proj", "o_proj"]
    found: Values = {"modules_to_save": kept} if kept else {}
    return found | ({"target_modules": named} if named else {})


def _rewards(plain: str) -> list[str]:
    """Return the shipped reward functions that are asked for."""
    if not re.search(r"\b(?:rewards?|grpo|reinforcement)\b", plain):
        return []
    found = [name for name, words in _REWARDS if re.search(rf"\b(?:{words})\b", plain)]
    longest = re.search(
        r"\b(?:at most|under|up to|max(?:imum)?|within|than|of|length:?) (\d+) words\b", plain
    )
    return [*found, *([f"length:{longest[1]}"] if longest else [])]


def _named_modules(plain: str) -> list[str]:
    words = re.sub(r"\b(?:\w+ )?embeddings?\b", "embed_tokens", plain)
    words = re.sub(r"\b(?:language model(?:ing)? |output |lm )head\b", "lm_head", words)
    named = dict.fromkeys(
        m[0] for m in _MODULES.finditer(words) if not _taken_back(words[: m.start()])
    )
    return [f"{name}_proj" if len(name) == 1 else name for name in named]


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
            before = ("method", "with", "use", "using", "try", "via", "want", "go for", "rather")
            led = "|".join(rf"(?<={word} ){name}" for word in before)
            words = [rf"{name} (?:method|adapters?|peft|instead)|{led}|(?<=, ){name}(?=,|$)"]
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
