"""The tuning methods as a table, so that plans, pages and the trainer speak of the same ones."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tools.errors import BadInput
from tools.shipped import shipped


class Method(BaseModel):
    """One way to tune a model.

    Attributes:
        name: What plans and people call it, such as `lora`.
        peft: Its type in the installed PEFT library; empty where no adapter is used.
        config: Options of that type; `$rank`, `$alpha`, `$dropout` stand for the plan's values.
        merges: Whether the result folds into the weights, as ONNX and GGUF need.
        quantization: How the frozen base is stored unless the plan says otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    peft: str
    merges: bool
    quantization: str = "none"
    config: dict[str, Any] = Field(default_factory=dict)

    def takes(self, setting: str) -> bool:
        """Tell whether `rank`, `alpha` or `dropout` means something to this method."""
        return f"${setting}" in self.config.values()


@cache
def methods() -> Mapping[str, Method]:
    """Return every method by its name, in the order of the table."""
    table = tomllib.loads(shipped("methods.toml").read_text(encoding="utf-8"))
    return MappingProxyType({name: Method(name=name, **row) for name, row in table.items()})


def method(name: str) -> Method:
    """Return one method.

    Raises:
        BadInput: No such method is trained here.
    """
    found = methods().get(name)
    if found is None:
        raise BadInput(
            f"Luthier cannot train with the method {name!r}.",
            hint=f"It trains with: {', '.join(methods())}.",
        )
    return found
