"""Word lists, written out for reading."""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text written out for reading."""
    return frozenset(text.split())
