"""What is published about the methods and the engines; every figure with its source.

What a method is stands in `data/methods.toml`; what is known of it in `data/evidence.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from tools import methods
from tools.shipped import shipped

PEFT_COMPARISON = (
    "PEFT method comparison: Llama-3.2-3B on MetaMathQA, one L40S, one seed "
    "(gaps under two points are noise)"
)


@dataclass(frozen=True)
class MethodFacts:
    """One training method and what is known of it.

    Attributes:
        reached: What the comparison saw, in words such as `.311 to .455`; empty where it did not.
        accuracy: Of the method comparison, 0 to 1; LoRA's is 0.478. None where none is known.
        time: Of a step, relative to LoRA's.
        trains: What is trained, in words.
        matrix: The matrix's column that speaks of it.
        quantised: It trains over a quantised base unless told otherwise.
        takes_rank: It has a rank.
        rate: Its usual learning rate as a multiple of LoRA's.
        proposed: Whether it may be proposed without being asked for: every tool loads it.
    """

    name: str
    title: str
    accuracy: float | None
    reached: str
    time: float
    trains: str
    matrix: str
    source: str
    merges: bool
    quantised: bool
    adapter: bool
    takes_rank: bool
    rate: float
    rate_source: str
    proposed: bool


@cache
def method_facts() -> Mapping[str, MethodFacts]:
    """Return every method that Luthier trains, with what is known of it, in the table's order."""
    rows = tomllib.loads(shipped("evidence.toml").read_text(encoding="utf-8"))
    known = [name for name in rows if name in methods.methods()]
    order = [*known, *(name for name in methods.methods() if name not in rows)]
    return MappingProxyType(
        {name: _facts(methods.method(name), rows.get(name, {})) for name in order}
    )


def facts_of_method(name: str) -> MethodFacts:
    """Return one method.

    Raises:
        BadInput: No such method is trained here.
    """
    methods.method(name)
    return method_facts()[name]


def _facts(method: methods.Method, row: dict[str, Any]) -> MethodFacts:
    source = str(row.get("source", "nothing published is known here"))
    if "accuracy" in row and not row.get("own_source"):
        source = f"{PEFT_COMPARISON}: {source}"
    return MethodFacts(
        name=method.name,
        title=method.title,
        accuracy=row.get("accuracy"),
        reached=str(row.get("reached", _digits(row.get("accuracy")))),
        time=float(row.get("time", 1.3)),
        trains=str(row.get("trains", f"what {method.title} adds")),
        matrix=str(row.get("matrix", "peft")),
        source=source,
        merges=method.merges,
        quantised=method.quantization != "none",
        adapter=bool(method.peft),
        takes_rank=method.takes("rank"),
        rate=method.rate,
        rate_source=str(row.get("rate_source", "data/methods.toml")),
        proposed=bool(row.get("everyday")),
    )


def _digits(accuracy: float | None) -> str:
    return "" if accuracy is None else f".{round(1000 * accuracy):03d}"


ENGINE_WORDS: dict[str, str] = {
    "single": "one device",
    "ddp": "a copy of the model on every card",
    "zero1": "ZeRO-1: the optimiser's state is shared out",
    "zero2": "ZeRO-2: optimiser state and gradients are shared out",
    "zero3": "ZeRO-3: weights, gradients and optimiser state are shared out",
    "fsdp": "FSDP: weights, gradients and optimiser state are shared out",
}
ENGINE_SOURCE = "ZeRO, arXiv 1910.02054; PyTorch FSDP, arXiv 2304.11277"
ENGINES: tuple[str, ...] = tuple(ENGINE_WORDS)
TARGETS: tuple[str, ...] = ("onnx-cpu", "onnx-cuda", "gguf", "hf", "hosted")
