"""One definition, four faces: the `@capability` decorator and the list of capabilities.

A capability is a typed function `verb_noun(arguments…, *, ctx: Context) -> Report`. From its
signature come the pydantic argument model, the command, the agent tool and the MCP tool.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from tools.complaints import in_words
from tools.context import Context
from tools.errors import BadInput, NotFound
from tools.reports import Report

Effect = Literal["read", "write", "network", "spend", "destroy"]
EFFECTS: tuple[Effect, ...] = ("read", "write", "network", "spend", "destroy")
Function = TypeVar("Function", bound=Callable[..., Report])

_ROOMS = ("datasets", "advise", "jobs", "evaluate", "export", "diagnose")
_CATALOG: dict[str, Capability] = {}


@dataclass(frozen=True)
class Capability:
    """One thing Luthier can do.

    Attributes:
        verb: The command line's word for it.
        effect: What this does on this machine.
        reaches: Names what lies beyond this machine that given arguments would contact, or None.
        positional: Arguments the command line takes without a flag, in order.
        waits: True where the call may start a job that the command line waits for.
    """

    name: str
    verb: str
    effect: Effect
    function: Callable[..., Report]
    arguments: type[BaseModel]
    positional: tuple[str, ...]
    reaches: Callable[[Any, Context], str | None] | None
    waits: bool

    @property
    def description(self) -> str:
        """The docstring: its first line is the summary."""
        return inspect.cleandoc(self.function.__doc__ or "")

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.description.splitlines()[0]

    def validate(self, arguments: dict[str, Any]) -> BaseModel:
        """Check arguments against the schema.

        Raises:
            BadInput: Naming every argument that is unknown, missing or out of range.
        """
        try:
            return self.arguments.model_validate(arguments)
        except ValidationError as error:
            found = error.errors()
            problems = "; ".join(dict.fromkeys(map(in_words, found)))
            hint = f"`luthier {self.verb} --help` says what each argument takes."
            if any(complaint["type"] == "extra_forbidden" for complaint in found):
                hint = f"It takes: {', '.join(self.arguments.model_fields)}."
            raise BadInput(
                f"{self.name} cannot take these arguments: {problems}.", hint=hint
            ) from error

    def effect_of(self, arguments: BaseModel, ctx: Context) -> Effect:
        """Return the highest effect these arguments imply."""
        outward: Effect = "network" if self.destination(arguments, ctx) else "read"
        return max(self.effect, outward, key=EFFECTS.index)

    def destination(self, arguments: BaseModel, ctx: Context) -> str | None:
        """Return what beyond this machine these arguments would contact, such as a Hub name."""
        return self.reaches(arguments, ctx) if self.reaches else None

    def call(self, ctx: Context, arguments: dict[str, Any]) -> Report:
        """Validate, then run. Consent is the policy's and the approvals' business."""
        checked = self.validate(arguments)
        values = {name: getattr(checked, name) for name in self.arguments.model_fields}
        return self.function(**values, ctx=ctx)


def capability(
    *,
    effect: Effect,
    verb: str,
    positional: tuple[str, ...] = (),
    reaches: Callable[[Any, Context], str | None] | None = None,
    waits: bool = False,
) -> Callable[[Function], Function]:
    """Register a function as a capability; its signature and docstring are the definition."""

    def register(function: Function) -> Function:
        name = function.__name__
        if name in _CATALOG and _CATALOG[name].function.__module__ != function.__module__:
            raise ValueError(f"two capabilities are called {name}")
        if not function.__doc__:
            raise ValueError(f"{name} has no docstring")
        arguments = _argument_model(function)
        _CATALOG[name] = Capability(
            name, verb, effect, function, arguments, positional, reaches, waits
        )
        return function

    return register


def load_catalog() -> dict[str, Capability]:
    """Import every room's `capabilities` module and return the capabilities by name."""
    for room in _ROOMS:
        import_module(f"tools.{room}.capabilities")
    return dict(_CATALOG)


def find_capability(name: str) -> Capability:
    """Return the capability of that name.

    Raises:
        NotFound: There is none.
    """
    catalog = load_catalog()
    if name not in catalog:
        raise NotFound(
            f"There is no capability called {name}.", hint=f"There are: {', '.join(catalog)}."
        )
    return catalog[name]


def _argument_model(function: Callable[..., Any]) -> type[BaseModel]:
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "ctx":
            continue
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[name] = (hints[name], default)
    title = "".join(part.title() for part in function.__name__.split("_")) + "Arguments"
    config = ConfigDict(extra="forbid", frozen=True)
    return create_model(title, __config__=config, **fields)
