"""Finds what a search shall vary: `learning rate between 1e-5 and 1e-3`, `ranks 8, 16 and 32`."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re

from assistant.brains.guided.choices import choices_named
from assistant.brains.guided.patterns import phrase

_FIGURE = r"\d*\.?\d+(?:e-?\d+)?"
_VARIABLE = (
    ("learning_rate", r"learning rates?|lrs?"),
    ("rank", r"(?:lora )?ranks?"),
    ("alpha", r"alphas?"),
    ("dropout", r"dropouts?"),
    ("weight_decay", r"weight decays?"),
    ("warmup_ratio", r"warm ?ups?(?: ratios?)?"),
    ("batch_size", r"(?:micro ?)?batch(?:es)?(?: sizes?)?"),
    ("epochs", r"epochs?|passes"),
    ("beta", r"betas?"),
)
_WORDS = (
    ("method", r"methods?"),
    ("optimizer", r"optimi[sz]ers?"),
    ("lr_scheduler", r"schedules?|schedulers?"),
)
_LIST = rf"{_FIGURE}(?:(?: ?(?:,|/|;) ?(?:and |or )?| (?:and|or|versus) ){_FIGURE})+"
_BETWEEN = rf"({_FIGURE}) ?(?:to|and|-|\.\.+|through|up to) ?({_FIGURE})"
_SPREAD = r"(?: (?:anywhere|somewhere|from|between|in|within|over|of|at|with|values?|among|out of|the|range|=))*:? "
_SEARCHES = re.compile(
    r"\b(?:vary|varying|search\w*|sweep\w*|trials?|variants?|try|tries|trying|find|scan|explore|grid|optuna|tpe|combinations)\b"
)


def find_vary(plain: str) -> dict[str, str]:
    """Return argument → what to vary it over, as `1e-05..0.001` or `8,16,32`."""
    if not (_SEARCHES.search(plain) or phrase("SEARCH").search(plain)):
        return {}
    found: dict[str, str] = {}
    for name, words in _VARIABLE:
        listed = re.search(rf"\b(?:{words}){_SPREAD}({_LIST})(?![\w.])", plain)
        listed = listed or re.search(
            rf"(?<![\w.-])({_LIST}) (?:as |for )?(?:the )?(?:{words})\b", plain
        )
        ranged = re.search(rf"\b(?:{words}){_SPREAD}{_BETWEEN}(?![\w.])", plain)
        if ranged and (re.search(r"between|\bto\b|\.\.|range|-", ranged[0]) or not listed):
            low, high = sorted((float(ranged[1]), float(ranged[2])))
            if low < high:
                found[name] = f"{low:g}..{high:g}"
        elif listed:
            found[name] = ",".join(dict.fromkeys(re.findall(_FIGURE, listed[1])))
    for name, words in _WORDS:
        named = choices_named(name, plain)
        asked = re.search(
            rf"\b(?:vary|sweep|search over|over|between)\b[^.;]{{0,24}}\b(?:{words})\b", plain
        )
        if len(named) > 1 and asked:
            found[name] = ",".join(named)
    return found
