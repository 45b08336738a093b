"""From a capability's argument model to command-line parameters: nothing is described twice."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tools.catalog import Capability


def parameters_of(capability: Capability) -> list[click.Parameter]:
    """Return the click parameters of a capability: positional arguments first, then options."""
    fields = capability.arguments.model_fields
    positional: list[click.Parameter] = [
        _argument(name, fields[name]) for name in capability.positional
    ]
    return positional + [
        _option(name, field) for name, field in fields.items() if name not in capability.positional
    ]


def given_arguments(values: dict[str, Any]) -> dict[str, Any]:
    """Drop what the person did not say, so that the capability's own defaults apply."""
    return {
        k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v not in (None, ())
    }


def _argument(name: str, field: FieldInfo) -> click.Argument:
    _, many = _scalar(field.annotation)
    needed = field.is_required()
    shown = name.upper() + ("…" if many else "")
    return click.Argument(
        [name],
        required=needed,
        nargs=-1 if many else 1,
        metavar=shown if needed or many else f"[{shown}]",
    )


def _option(name: str, field: FieldInfo) -> click.Option:
    kind, many = _scalar(field.annotation)
    flag = "--" + name.replace("_", "-")
    repeats = "May be given several times." if many else ""
    words = " ".join(part for part in (field.description, repeats, _default_note(field)) if part)
    if kind is bool:
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=None, help=words)
    choices = get_args(kind) if get_origin(kind) is Literal else None
    parameter: Any = click.Choice([str(c) for c in choices]) if choices else kind
    return click.Option(
        [flag],
        type=parameter,
        default=None,
        required=field.is_required(),
        multiple=many,
        help=words,
        metavar=None if choices else _METAVARS.get(kind, "TEXT"),
    )


_METAVARS: dict[Any, str] = {str: "TEXT", int: "N", float: "X"}


def _default_note(field: FieldInfo) -> str:
    if field.default in (None, PydanticUndefined, ()) or field.is_required():
        return ""
    shown = {True: "yes", False: "no"}.get(field.default) if field.annotation is bool else None
    return f"[default: {shown or field.default}]"


def _scalar(annotation: Any) -> tuple[Any, bool]:
    """Return the plain type of an annotation and whether it may be given several times."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _scalar(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        lists = [part for part in inner if get_origin(part) in (list, tuple)]
        if len(inner) == 1 or lists:
            return _scalar(lists[0] if lists else inner[0])
        return str, False
    if origin in (list, tuple):
        return _scalar(get_args(annotation)[0])[0], True
    if origin is Literal or annotation in (bool, int, float):
        return annotation, False
    return str, False
