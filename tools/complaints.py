"""What a schema complains of, in words for the person who gave the argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_KINDS = {"int": "a whole number", "float": "a number", "bool": "yes or no", "string": "text"}


def in_words(found: ErrorDetails) -> str:
    """Return one complaint of pydantic as a clause that names the argument and what it takes."""
    name = str(found["loc"][0]) if found["loc"] else "the arguments"
    kind, context = found["type"], found.get("ctx", {})
    if kind == "missing":
        return f"{name} is missing"
    if kind == "extra_forbidden":
        return f"there is no argument {name}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{name} has to be {words} {context[key]}, not {found['input']}"
    if kind in ("too_long", "too_short"):
        side, bound = ("most", "max_length") if kind == "too_long" else ("least", "min_length")
        return f"{name} takes at {side} {context[bound]}, not {context['actual_length']}"
    if kind == "literal_error":
        return f"{name} has to be {context['expected']}"
    expected = _KINDS.get(kind.partition("_")[0])
    if expected and kind.endswith(("_parsing", "_type", "_from_float")):
        return f"{name} has to be {expected}"
    return f"{name}: {found['msg'][0].lower()}{found['msg'][1:]}"
