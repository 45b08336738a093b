"""Fields of events whose values are what their kind says; others are passed over."""

from __future__ import annotations

import typing
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tools.history.events import AnyEvent


@cache
def _adapters(kind: str) -> dict[str, tuple[TypeAdapter[Any], bool]]:
    """Field → what reads its values, and whether they are several."""
    for event in typing.get_args(AnyEvent):
        if typing.get_args(event.model_fields["kind"].annotation) == (kind,):
            return {
                name: (TypeAdapter(field.annotation), typing.get_origin(field.annotation) is tuple)
                for name, field in event.model_fields.items()
                if name != "kind"
            }
    return {}


def fitting(kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an event without those of another type than the kind has.

    Numbers written as text are read; one value stands for a list of it. Fields that the kind does
    not know stay as they are.
    """
    known = _adapters(kind)
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None:
            continue
        if name not in known:
            found[name] = value
            continue
        adapter, several = known[name]
        try:
            found[name] = adapter.validate_python(
                [value] if several and isinstance(value, int | str) else value
            )
        except ValidationError:
            continue
    return found
