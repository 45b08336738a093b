"""Expand hand-written phrase banks: ``[a|b]`` picks one alternative, ``{slot}`` fills a slot."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

Bank = dict[str, list[str]]

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{([a-z_]+)\}")
_WORD = re.compile(r"[a-z0-9]+")


def read_bank(path: Path) -> Bank:
    """Read a bank file: ``== name`` starts a section, ``#`` a comment, each line is a phrase.

    Trailing and leading blanks of a line are kept because openers and closers need them.
    """
    bank: Bank = {}
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            section = line[3:].strip()
            bank.setdefault(section, [])
        elif line.strip() and not line.startswith("#"):
            bank[section].append(line)
    return bank


def expand(template: str, slots: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """Fill one template, innermost alternatives first; slot values may hold alternatives."""
    text = template
    while True:
        if match := _CHOICE.search(text):
            value = rng.choice(match.group(1).split("|"))
        elif match := _SLOT.search(text):
            value = rng.choice(slots[match.group(1)])
        else:
            return text
        text = text[: match.start()] + value + text[match.end() :]


def words(text: str) -> list[str]:
    """Lower-case words and numbers of a text, for comparing wordings."""
    return _WORD.findall(text.lower().replace("'", ""))


def word_runs(text: str, length: int = 8) -> set[tuple[str, ...]]:
    """All runs of ``length`` consecutive words of a text."""
    found = words(text)
    return {tuple(found[i : i + length]) for i in range(len(found) - length + 1)}
