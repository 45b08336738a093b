"""Problems that show in single rows: private data, debris, control tokens, broken turns."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from tools.datasets import patterns
from tools.datasets.conversations import ROLES, turn_of
from tools.datasets.example import Example
from tools.datasets.mapping import Mapping
from tools.datasets.problems import Problem, Severity, problem
from tools.datasets.profile import Column, decoded, is_blank
from tools.datasets.row import Row

SCANNED_CHARACTERS = 20_000
"""Characters per cell that the patterns look at."""
_UNUSED = frozenset({"ignored", "id", "verdict"})

_WORDS: dict[str, tuple[Severity, str, str]] = {
    "personal_data": (
        "warning",
        "hold personal data (e-mail, phone, card or account numbers)",
        "A model may repeat what it learnt: remove or replace it, or prepare with the fix "
        "`personal_data`, which masks it.",
    ),
    "secrets": (
        "error",
        "hold what looks like a password or key",
        "Revoke those keys; prepare with the fix `secrets`, which drops the rows.",
    ),
    "control_tokens": (
        "error",
        "hold control tokens of a chat template inside their text",
        "They would become real tokens; preparing escapes them.",
    ),
    "instruction_text": (
        "warning",
        "hold text that reads as an instruction to an assistant",
        "Luthier never follows it; drop the rows with the fix `instruction_text` unless wanted.",
    ),
    "html_debris": (
        "warning",
        "hold HTML tags or entities",
        "Prepare with the fix `html_debris`, which turns them into plain text.",
    ),
    "broken_encoding": (
        "warning",
        "hold wrongly decoded characters",
        "Prepare with the fix `broken_encoding`, which repairs what can be repaired.",
    ),
    "identical_pairs": (
        "warning",
        "have an answer equal to the input (or two equal answers to choose from)",
        "There is nothing to learn from them: drop them with the fix `identical_pairs`.",
    ),
    "role_order": (
        "warning",
        "have turns in the wrong order (two in a row by one side, or an assistant that begins)",
        "Preparing joins turns of one side; check those that begin with the assistant.",
    ),
    "missing_roles": (
        "warning",
        "lack a side of the conversation, or a known role",
        "Preparing cuts what follows the last answer and leaves out rows without one.",
    ),
    "empty_answers": (
        "warning",
        "have an empty turn of the assistant",
        "Preparing leaves the empty turn out.",
    ),
    "inconsistent_format": (
        "warning",
        "have another form than the rest (missing columns or another type)",
        "Bring them to the form of the others in the source.",
    ),
}


class RowChecks:
    """Looks at each row as it goes by.

    Args:
        special: Special tokens of the chosen model, beside those of all the usual templates.

    Attributes:
        rows: Code → numbers of the rows it was found in.
    """

    def __init__(
        self, mapping: Mapping, columns: dict[str, Column], special: Sequence[str] = ()
    ) -> None:
        strange = [token for token in special if not patterns.CONTROL.fullmatch(token)]
        self._special = re.compile("|".join(map(re.escape, strange))) if strange else None
        self._mapping = mapping
        self._used = [name for name, role in mapping.columns.items() if role not in _UNUSED]
        self._shapes = {
            name: columns[name].shape
            for name in self._used
            if name in columns and columns[name].filled > 0.8 and columns[name].uniform > 0.8
        }
        self._turns = mapping.one("messages") or mapping.one("history")
        self.rows: dict[str, list[int]] = defaultdict(list)

    def see(self, number: int, row: Row, example: Example | str) -> None:
        """Check one row."""
        for code in self._found(row, example):
            self.rows[code].append(number)

    def _found(self, row: Row, example: Example | str) -> set[str]:
        codes: set[str] = set()
        for text in self._texts(row):
            text = text[:SCANNED_CHARACTERS]
            codes.update(content_codes(text))
            if self._special and self._special.search(text):
                codes.add("control_tokens")
        if not self._fits(row):
            codes.add("inconsistent_format")
        turns = decoded(row.get(self._turns)) if self._turns else None
        if isinstance(turns, list) and turns and isinstance(turns[0], dict):
            codes.update(turn_codes(turns, answered=self._mapping.format != "preference"))
        if isinstance(example, Example) and example.prompt and example.repeats:
            codes.add("identical_pairs")
        good, bad = self._mapping.one("chosen"), self._mapping.one("rejected")
        if good and bad and not is_blank(row.get(good)) and row.get(good) == row.get(bad):
            codes.add("identical_pairs")
        return codes

    def _texts(self, row: Row) -> Iterator[str]:
        for name in self._used:
            yield from strings(row.get(name))

    def _fits(self, row: Row) -> bool:
        for name, shape in self._shapes.items():
            if name not in row:
                return False
            value = row[name]
            if is_blank(value):
                continue
            if (shape == "text") != isinstance(value, str) and shape in ("text", "object"):
                return False
            if shape.startswith("list") and not isinstance(decoded(value), list | tuple):
                return False
        return True

    def problems(self) -> list[Problem]:
        """Return what was found."""
        listed = []
        for code, rows in self.rows.items():
            severity, words, fix = _WORDS[code]
            verb, rest = words.split(" ", 1)
            one = {"have": "has"}.get(verb, f"{verb}s")
            said = f"row {one}" if len(rows) == 1 else f"rows {verb}"
            listed.append(problem(code, severity, f"{len(rows):,} {said} {rest}.", fix, rows))
        return listed


def strings(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the texts inside a value, however nested."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and depth < 6:
        for item in value.values():
            yield from strings(item, depth + 1)
    elif isinstance(value, list | tuple) and depth < 6:
        for item in value:
            yield from strings(item, depth + 1)


def content_codes(text: str) -> set[str]:
    """Return the codes of what a text should not hold."""
    codes = {code for code, test in _TESTS.items() if test(text)}
    if "html_debris" in codes and patterns.CODE.search(text):
        codes.discard("html_debris")  # markup inside code is meant
    return codes


_TESTS: dict[str, Callable[[str], bool]] = {
    "personal_data": patterns.has_personal_data,
    "secrets": patterns.has_secret,
    "control_tokens": lambda t: bool(
        ("<" in t or "[" in t) and patterns.CONTROL.search(t)
    ),
    "instruction_text": patterns.has_instruction,
    "html_debris": lambda t: bool(("<" in t or "&" in t) and patterns.HTML.search(t)),
    "broken_encoding": lambda t: not t.isascii() and bool(patterns.MOJIBAKE.search(t)),
}  # fmt: skip


def turn_codes(turns: list[Any], *, answered: bool = True) -> set[str]:
    """Return what is wrong with the order and the roles of a conversation's turns."""
    codes: set[str] = set()
    messages = [turn_of(turn) for turn in turns]
    known = [message for message in messages if message is not None]
    roles = [message["role"] for message in known]
    if len(known) < len(messages):
        codes.add("missing_roles")
    if answered and roles and (roles[-1] != "assistant" or "user" not in roles):
        codes.add("missing_roles")
    spoken = [role for role in roles if role != "system"]
    if any(one == two for one, two in pairwise(spoken)) and not _tooled(turns):
        codes.add("role_order")
    if spoken and spoken[0] == "assistant" and len(known) == len(messages):
        codes.add("role_order")
    if "system" in roles[1:]:
        codes.add("role_order")
    if any(m["role"] == "assistant" and not m["content"] for m in known):
        codes.add("empty_answers")
    return codes


def _tooled(turns: list[Any]) -> bool:
    """True where tools were used: calls and answers may follow each other."""
    said = {str(t.get("role", t.get("from"))).lower() for t in turns if isinstance(t, dict)}
    return any(ROLES.get(role) in ("call", "result") for role in said)
