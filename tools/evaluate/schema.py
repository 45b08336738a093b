"""The JSON schema that a set of examples shares: what an answer must look like to be usable."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

_MOST_KEYS = 64
_FENCE = "```"


def parsed(text: str) -> Any:
    """Return an answer as JSON, or None where it is none; a code fence around it is allowed.

    Only objects and lists count: a bare word or number is no structured answer.
    """
    bare = text.strip()
    if bare.startswith(_FENCE):
        bare = bare.removeprefix(_FENCE).removeprefix("json").removesuffix(_FENCE).strip()
    try:
        value = json.loads(bare)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def shared_schema(answers: Iterable[str]) -> dict[str, Any] | None:
    """Return the schema that all answers fulfil, or None where one of them is not JSON."""
    values = [parsed(answer) for answer in answers]
    if not values or any(value is None for value in values):
        return None
    return _schema(values)


def _schema(values: Sequence[Any]) -> dict[str, Any]:
    names = sorted({_name(value) for value in values})
    # A whole number is a number: one list of both is not two types.
    if "number" in names and "integer" in names:
        names.remove("integer")
    found: dict[str, Any] = {"type": names[0] if len(names) == 1 else names}
    objects = [value for value in values if isinstance(value, dict)]
    if objects:
        keys = list(dict.fromkeys(key for value in objects for key in value))
        # With ever new keys the keys are data, as in a table of counts.
        if len(keys) <= _MOST_KEYS:
            found["properties"] = {
                key: _schema([value[key] for value in objects if key in value]) for key in keys
            }
            found["required"] = [key for key in keys if all(key in value for value in objects)]
            found["additionalProperties"] = False
    items = [item for value in values if isinstance(value, list) for item in value]
    if items:
        found["items"] = _schema(items)
    return found


def _name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    kinds = ((dict, "object"), (list, "array"), (str, "string"), (int, "integer"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "number")
