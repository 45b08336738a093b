"""Graphics cards that people name, from `data/cards.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any

from tools.shipped import shipped


@dataclass(frozen=True)
class Card:
    """One model of card: memory in GB as sold, and dense 16-bit TFLOP/s."""

    name: str
    aliases: tuple[str, ...]
    sizes_gb: tuple[float, ...]
    capability: tuple[int, int]
    tflops: float


@dataclass(frozen=True)
class Place:
    """A service or a kind of rented machine that people name, and what it hands out."""

    name: str
    machine: str
    note: str


@cache
def places() -> tuple[Place, ...]:
    """Return all places."""
    return tuple(Place(**entry) for entry in _table()["place"])


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(shipped("cards.toml").read_text(encoding="utf-8"))


@cache
def cards() -> tuple[Card, ...]:
    """Return all cards."""
    return tuple(
        Card(
            name=entry["name"],
            aliases=tuple(entry["aliases"]),
            sizes_gb=tuple(entry["sizes_gb"]),
            capability=_capability(entry["capability"]),
            tflops=float(entry["tflops"]),
        )
        for entry in _table()["card"]
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
