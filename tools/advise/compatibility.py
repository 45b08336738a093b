"""The table of what goes together and what does not."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any

from tools.shipped import shipped


@dataclass(frozen=True)
class Clash:
    """A known-bad (`refuse`) or risky (`warn`) combination."""

    id: str
    when: dict[str, str]
    level: str
    reason: str
    instead: str
    source: str
    versions: str


@cache
def table() -> dict[str, Any]:
    """Return `data/compatibility.toml`."""
    return tomllib.loads(shipped("compatibility.toml").read_text(encoding="utf-8"))


@cache
def pairs() -> tuple[Clash, ...]:
    """Return all pairs."""
    return tuple(Clash(**pair) for pair in table()["pair"])


def clashes(**facts: str) -> list[Clash]:
    """Return the pairs that hold for these facts, such as `method="qlora", engine="zero3"`."""
    return [
        clash
        for clash in pairs()
        if all(facts.get(name) == value for name, value in clash.when.items())
    ]


def reaches_target(architecture: str, target: str) -> str | None:
    """Say why an architecture cannot be brought to a deploy target, or None where it can."""
    kind = target.partition("-")[0]
    if kind not in {"onnx", "gguf"}:
        return None
    rules = table()[kind]
    if architecture in rules["architectures"]:
        return None
    tool = "the ONNX builder" if kind == "onnx" else "the GGUF converter"
    return f"{tool} ({rules['versions']}) does not know {architecture}"
