"""Graphics cards that people name, from `data/cards.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache

from tools.shipped import shipped


@dataclass(frozen=True)
class Card:
    """One model of card: memory in GB as sold, and dense 16-bit TFLOP/s."""

    name: str
    aliases: tuple[str, ...]
    sizes_gb: tuple[float, ...]
    capability: tuple[int, int]
    tflops: float


@cache
def cards() -> tuple[Card, ...]:
    """Return all cards."""
    table = tomllib.loads(shipped("cards.toml").read_text(encoding="utf-8"))["card"]
    return tuple(
        Card(
            name=entry["name"],
            aliases=tuple(entry["aliases"]),
            sizes_gb=tuple(entry["sizes_gb"]),
            capability=_capability(entry["capability"]),
            tflops=float(entry["tflops"]),
        )
        for entry in table
    )


@cache
def by_alias() -> dict[str, Card]:
    """Return alias → card."""
    return {alias: card for card in cards() for alias in card.aliases}


def card_of(name: str) -> Card | None:
    """Find the card a driver's or a person's name speaks of: the longest alias in it wins."""
    plain = f" {name.lower().replace('-', ' ')} "
    found = [alias for alias in by_alias() if f" {alias} " in plain]
    return by_alias()[max(found, key=len)] if found else None


def _capability(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)
