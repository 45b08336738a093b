"""Shipped reward functions: what an answer is worth, from 0 to 1. They run no code of anybody's.

A plan names them, some with a setting after a colon: `length:40`, `regex:[0-9]+`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import regex

from tools.errors import BadInput
from tools.history.spec import TrainingSpec

Reward = Callable[[str, str, dict[str, Any]], float]
_REGEX_PATIENCE_S = 0.05
_LONGEST_CHARACTERS = 4000


def label_match(prompt: str, answer: str, row: dict[str, Any]) -> float:
    """Return 1 where the answer is the row's label, 0.5 where it only begins with it."""
    wanted = _expected(row).strip().lower()
    said = answer.strip().lower()
    if said == wanted:
        return 1.0
    return 0.5 if wanted and said.startswith(wanted) else 0.0


def answer_match(prompt: str, answer: str, row: dict[str, Any]) -> float:
    """Return the F1 of the answer's words against those of the row's answer."""
    said, wanted = answer.lower().split(), _expected(row).lower().split()
    shared = sum((Counter(said) & Counter(wanted)).values())
    return 2 * shared / (len(said) + len(wanted)) if shared else 0.0


def length(prompt: str, answer: str, row: dict[str, Any], *, words: int) -> float:
    """Return 1 at the wished number of words, less the further away it is."""
    return max(0.0, 1.0 - abs(len(answer.split()) - words) / max(1, words))


def matches(prompt: str, answer: str, row: dict[str, Any], *, pattern: Any) -> float:
    """Return 1 where the whole answer has the wished form."""
    try:
        found = pattern.fullmatch(answer.strip()[:_LONGEST_CHARACTERS], timeout=_REGEX_PATIENCE_S)
    except TimeoutError:
        return 0.0
    return float(found is not None)


def valid_json(prompt: str, answer: str, row: dict[str, Any]) -> float:
    """Return 1 where the answer is a JSON object or list."""
    try:
        return float(isinstance(json.loads(answer), dict | list))
    except (ValueError, RecursionError):
        return 0.0


def one_line(prompt: str, answer: str, row: dict[str, Any]) -> float:
    """Return 1 where the answer is a single line that says something."""
    return float(bool(answer.strip()) and "\n" not in answer.strip())


PLAIN: dict[str, Reward] = {
    "label_match": label_match,
    "answer_match": answer_match,
    "json": valid_json,
    "one_line": one_line,
}
NAMES = (*PLAIN, "length:WORDS", "regex:PATTERN")


def rewards_of(spec: TrainingSpec) -> list[Reward]:
    """Return the rewards of a plan; where it names none, being right is what counts."""
    return load_rewards(spec.rewards or (("label_match",) if spec.labels else ("answer_match",)))


def load_rewards(names: Sequence[str]) -> list[Reward]:
    """Return the named rewards.

    Raises:
        BadInput: None is named, one is unknown, or its setting cannot be read.
    """
    if not names:
        raise BadInput(
            "Learning from rewards needs at least one reward.", hint=f"Name some: {_known()}."
        )
    return [_load(name) for name in names]


def total(rewards: Sequence[Reward], prompt: str, answer: str, row: dict[str, Any]) -> float:
    """Return the mean of the rewards for one answer."""
    return sum(reward(prompt, answer, row) for reward in rewards) / len(rewards)


def _load(name: str) -> Reward:
    kind, _, setting = name.partition(":")
    if kind in PLAIN and not setting:
        return PLAIN[kind]
    if kind == "length" and setting.isdigit() and int(setting):
        return partial(length, words=int(setting))
    if kind == "regex" and setting:
        try:
            return partial(matches, pattern=regex.compile(setting))
        except regex.error as error:
            raise BadInput(
                f"The pattern of the reward {name!r} cannot be read: {error}.",
                hint="Write it as Python's regular expressions are written.",
            ) from error
    raise BadInput(f"There is no reward {name!r}.", hint=f"Those there are: {_known()}.")


def _known() -> str:
    return ", ".join(NAMES)


def _expected(row: dict[str, Any]) -> str:
    if row.get("label") is not None:
        return str(row["label"])
    completion = row.get("completion") or ""
    if isinstance(completion, str):
        return completion
    return "".join(str(m["content"]) for m in completion)
