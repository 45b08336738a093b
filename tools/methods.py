"""The tuning methods as a table, so that plans, pages and the trainer speak of the same ones."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tools.errors import BadInput
from tools.shipped import shipped


class Method(BaseModel):
    """One way to tune a model. The head of `data/methods.toml` says what each field means.

    Attributes:
        name: What plans and people call it, such as `lora`.
        peft: Its type in the installed PEFT library; empty where no adapter is used.
        config: Options of that type; `$rank`, `$alpha`, `$dropout` stand for the plan's values.
        merges: Whether the result folds into the weights, as ONNX and GGUF need.
        quantization: How the frozen base is stored unless the plan says otherwise.
        quantises: Whether it can be trained beside a quantised base.
        starts: Initialisations it knows besides `default`.
        rate: Its usual learning rate as a multiple of LoRA's.
        resumes: Whether a checkpoint holds all of its state.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    peft: str
    merges: bool
    kind: Literal["weights", "prompt"] = "weights"
    targets: str = "plan"
    packs: bool = True
    quantization: str = "none"
    quantises: bool = False
    starts: tuple[str, ...] = ()
    rate: float = 1.0
    resumes: bool = True
    config: dict[str, Any] = Field(default_factory=dict)

    def takes(self, setting: str) -> bool:
        """Tell whether `rank`, `alpha` or `dropout` means something to this method."""
        return any(str(value).startswith(f"${setting}") for value in self.config.values())


@cache
def methods() -> Mapping[str, Method]:
    """Return every method by its name, in the order of the table."""
    table = tomllib.loads(shipped("methods.toml").read_text(encoding="utf-8"))
    return MappingProxyType({name: Method(name=name, **row) for name, row in table.items()})


@cache
def left_out() -> Mapping[str, str]:
    """Return the types of PEFT that are not trained here, with the reason of each."""
    table = tomllib.loads(shipped("methods_left_out.toml").read_text(encoding="utf-8"))
    return MappingProxyType(table)


def method(name: str) -> Method:
    """Return one method.

    Raises:
        BadInput: No such method is trained here.
    """
    found = methods().get(name)
    if found is None:
        near = get_close_matches(name.lower(), list(methods()), n=1)
        meant = f"Did you mean {near[0]}?" if near else "Usual are full, lora, dora and qlora."
        raise BadInput(
            f"Luthier cannot train with the method {name!r}.",
            hint=f"{meant} `luthier train --help` lists all {len(methods())}.",
        )
    return found


def quantisation_of(name: str, wished: str = "none") -> str:
    """Return how the frozen base of a plan is stored: as wished, else as the method's row says."""
    return wished if wished != "none" else method(name).quantization
