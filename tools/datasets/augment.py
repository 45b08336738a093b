"""More rows from those there are, by small honest changes, each labelled as synthetic.

Nothing here pretends to paraphrase: letters slip, words are left out or change places, case and
marks vary. Only the question changes, never the answer; only rows that are trained on are copied,
and no copy that reads like a held-out row is kept. The same seed gives the same rows.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

from tools.datasets.example import Example, Message
from tools.datasets.groups import same_key
from tools.datasets.words import word_set

Augmentation = Literal["typos", "word_dropout", "word_swap", "case", "punctuation"]
AUGMENTATIONS: tuple[Augmentation, ...] = get_args(Augmentation)

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_PLAIN_WORD = re.compile(r"[^\W\d_]{4,}")
_KEPT = word_set(
    """not no nor never none nothing without n't cannot can't don't isn't wasn't won't doesn't
    didn't nicht kein keine nie ohne ne pas jamais sans nunca sin non mai senza niet geen nooit bez
    не нет"""
)
"""Words that are not dropped: without them a text may say the opposite."""


def typos(text: str, chance: random.Random) -> str:
    """Return text with about one slip of the keyboard in twenty letters, at least one."""
    words = [match.span() for match in _PLAIN_WORD.finditer(text)]
    if not words:
        return text
    letters = sum(end - start for start, end in words)
    chosen = chance.sample(words, min(len(words), max(1, letters // 20)))
    for start, end in sorted(chosen, reverse=True):
        text = text[:start] + _slip(text[start:end], chance) + text[end:]
    return text


def _slip(word: str, chance: random.Random) -> str:
    at = chance.randrange(1, len(word) - 1)
    kind = chance.randrange(4)
    if kind == 0:  # two letters change places
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:  # one is left out
        return word[:at] + word[at + 1 :]
    if kind == 2:  # one is struck twice
        return word[:at] + word[at] + word[at:]
    return word[:at] + _neighbour(word[at], chance) + word[at + 1 :]


def _neighbour(letter: str, chance: random.Random) -> str:
    row = next((keys for keys in _KEYS if letter.lower() in keys), None)
    if row is None:
        return letter * 2
    place = row.index(letter.lower())
    return chance.choice([row[i] for i in (place - 1, place + 1) if 0 <= i < len(row)])


def word_dropout(text: str, chance: random.Random) -> str:
    """Return text without about one word in ten, at least one; negations and numbers stay."""
    words = text.split(" ")
    free = [i for i, word in enumerate(words) if word.isalpha() and word.lower() not in _KEPT]
    if len(words) < 5 or len(free) < 3:
        return text
    gone = set(chance.sample(free, max(1, len(words) // 10)))
    return " ".join(word for i, word in enumerate(words) if i not in gone)


def word_swap(text: str, chance: random.Random) -> str:
    """Return text in which about one pair of neighbouring words in ten changed places."""
    words = text.split(" ")
    pairs = [i for i in range(len(words) - 1) if words[i].isalpha() and words[i + 1].isalpha()]
    if not pairs:
        return text
    for at in chance.sample(pairs, max(1, min(len(pairs), len(words) // 10))):
        words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def case(text: str, chance: random.Random) -> str:
    """Return text all in small letters, all in capitals, or without its capital at the start."""
    forms = {text.lower(), text.upper(), text[:1].swapcase() + text[1:]} - {text}
    return chance.choice(sorted(forms)) if forms else text


def punctuation(text: str, chance: random.Random) -> str:
    """Return text without its commas, or with another (or no) mark at its end."""
    bare = text.rstrip(".!?… ")
    forms = {text.replace(",", ""), bare, f"{bare}.", f"{bare}!", f"{bare}..."} - {text, ""}
    return chance.choice(sorted(forms)) if forms else text


METHODS: dict[str, Callable[[str, random.Random], str]] = {
    "typos": typos,
    "word_dropout": word_dropout,
    "word_swap": word_swap,
    "case": case,
    "punctuation": punctuation,
}


class Augmenter:
    """Makes synthetic rows of rows that are trained on.

    Args:
        held_out: Keys (`same_key` and passage) of the rows that are judged by.

    Attributes:
        made: Method → rows it added.
    """

    def __init__(self, methods: Sequence[str], seed: int, held_out: set[bytes]) -> None:
        self._methods, self._seed, self._held_out = methods, seed, held_out
        self.made: Counter[str] = Counter()

    def copies(self, number: int, example: Example) -> list[dict[str, Any]]:
        """Return the synthetic records of one row: one per method that changes it.

        Args:
            number: The row's number in the source, which with the seed decides what changes.
        """
        found: list[dict[str, Any]] = []
        seen = {example.gist}
        for method in self._methods:
            chance = random.Random(f"{self._seed}:{method}:{number}")
            text = METHODS[method](example.gist, chance).strip()
            if not text or text in seen or same_key(text) + example.passage in self._held_out:
                continue
            prompt = _with_text(example.prompt or [], example.gist, text)
            if prompt is None:
                continue
            seen.add(text)
            self.made[method] += 1
            found.append({**example.record(), "prompt": prompt, "synthetic": True})
        return found


def _with_text(prompt: list[Message], old: str, new: str) -> list[Message] | None:
    """Return the prompt with the question of its last message replaced, if it stands there."""
    if not prompt or not prompt[-1]["content"].endswith(old):
        return None
    before = prompt[-1]["content"][: len(prompt[-1]["content"]) - len(old)]
    return [*prompt[:-1], {**prompt[-1], "content": before + new}]
