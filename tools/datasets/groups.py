"""Rows that say the same, so that they never stand on both sides of a split."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_NOISE = re.compile(r"[\W_]+")
_DIGITS = re.compile(r"\d+")


class UnionFind:
    """Disjoint sets of row indices."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, item: int) -> int:
        """Return the representative of an item's set."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, one: int, two: int) -> None:
        """Make two items' sets one; the smaller index represents."""
        a, b = self.find(one), self.find(two)
        if a != b:
            self._parent[max(a, b)] = min(a, b)

    def groups(self) -> list[int]:
        """Return every item's representative."""
        return [self.find(item) for item in range(len(self._parent))]


def bare(text: str) -> str:
    """Return text without case and punctuation, its words parted by single spaces."""
    return _NOISE.sub(" ", text.casefold()).strip()


def plain(text: str) -> str:
    """Return text without case, punctuation and the values of its numbers."""
    return without_numbers(bare(text))


def without_numbers(reduced: str) -> str:
    """Return text in which every number is 0."""
    return _DIGITS.sub("0", reduced)


def same_key(text: str) -> bytes:
    """Return a digest that is equal for texts that differ only in case, marks and spaces."""
    return digest_of(bare(text) or text)


def digest_of(text: str) -> bytes:
    """Return a short digest of a text."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).digest()


def equal_pairs(keys: Iterable[bytes]) -> list[tuple[int, int]]:
    """Return `(first, later)` for every item whose key an earlier item has."""
    first: dict[bytes, int] = {}
    pairs = ((first.setdefault(key, item), item) for item, key in enumerate(keys))
    return [(one, two) for one, two in pairs if one != two]


def join_equal(sets: UnionFind, keys: Iterable[bytes]) -> None:
    """Join the items with equal keys."""
    first: dict[bytes, int] = {}
    for item, key in enumerate(keys):
        sets.join(first.setdefault(key, item), item)
