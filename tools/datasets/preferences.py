"""Answers that were compared or judged: pairs of a better and a worse one, and single verdicts.

Whatever the shape, the prompt ends up as messages and each answer as the assistant's last turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tools.datasets.conversations import turn_of
from tools.datasets.example import EMPTY_ANSWER, EMPTY_INPUT, Example, Message
from tools.datasets.mapping import Mapping
from tools.datasets.profile import decoded, is_blank, text_of
from tools.datasets.row import Row

NO_VERDICT = "no verdict"
SAME_ANSWERS = "the two answers are the same"
_SPEAKER = re.compile(r"(?:^|\n)\s*(Human|User|H|Assistant|AI|A|System)\s*:[ \t]*", re.I)
_SPEAKERS = {"human": "user", "user": "user", "h": "user", "system": "system"}
_TRUE = frozenset({"true", "1", "1.0", "yes", "good", "desirable", "up", "thumbs_up", "positive"})
_FALSE = frozenset(
    {"false", "0", "0.0", "-1", "no", "bad", "undesirable", "down", "thumbs_down", "negative"}
)


def verdict_of(value: Any) -> bool | None:
    """Return whether an answer was judged good; None where nothing says so."""
    if isinstance(value, bool):
        return value
    word = text_of(value).strip().lower().replace(" ", "_")
    return True if word in _TRUE else False if word in _FALSE else None


def turns_of(value: Any) -> list[Message]:
    """Return a value as turns: a list of messages, one message, or a transcript in one text.

    A plain answer is one turn of the assistant.
    """
    value = decoded(value)
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list | tuple):
        if value and not isinstance(value[0], dict):
            return turns_of(value[0])  # several candidates: the first stands for all
        turns = [turn_of(turn) for turn in value]
        return [turn for turn in turns if turn is not None and turn["content"]]
    text = "" if is_blank(value) else text_of(value).strip()
    return _transcript(text) or ([{"role": "assistant", "content": text}] if text else [])


def _transcript(text: str) -> list[Message]:
    """Read `Human: … Assistant: …`, as dialogues stand in one cell; empty where it is none."""
    marks = list(_SPEAKER.finditer(text))
    if len(marks) < 2 or marks[0].start() > 0:
        return []
    roles = [_SPEAKERS.get(mark[1].lower(), "assistant") for mark in marks]
    if roles[0] == "assistant" or "assistant" not in roles:
        return []
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    texts = [text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]
    return [
        {"role": role, "content": said} for role, said in zip(roles, texts, strict=True) if said
    ]


@dataclass(frozen=True)
class PromptColumns:
    """Where the prompt of a judged answer stands; perhaps nowhere but in the answers."""

    history: str | None
    instruction: str | None
    inputs: tuple[str, ...]
    system: str | None

    @classmethod
    def of(cls, mapping: Mapping) -> PromptColumns:
        """Return the columns by their roles."""
        return cls(
            history=mapping.one("history") or mapping.one("messages"),
            instruction=mapping.one("instruction"),
            inputs=mapping.having("input"),
            system=mapping.one("system"),
        )

    def messages(self, row: Row) -> list[Message]:
        """Return the prompt of a row as messages."""
        found: list[Message] = []
        if self.system and not is_blank(row.get(self.system)):
            found.append({"role": "system", "content": text_of(row[self.system]).strip()})
        if self.history:
            return [*found, *turns_of(row.get(self.history))]
        names = [name for name in (self.instruction, *self.inputs) if name]
        cells = [row.get(name) for name in names]
        if len(names) == 1 and not isinstance(cells[0], str):
            return [*found, *turns_of(cells[0])]
        texts = [text_of(cell).strip() for cell in cells if not is_blank(cell)]
        spoken = _transcript(texts[0].removesuffix("Assistant:")) if len(texts) == 1 else []
        asked = "\n\n".join(texts)
        return [*found, *(spoken or ([{"role": "user", "content": asked}] if asked else []))]


def compared(mapping: Mapping) -> Any:
    """Return the builder of pairs: a prompt, a chosen and a rejected answer."""
    columns = PromptColumns.of(mapping)
    good, bad = mapping.one("chosen") or "", mapping.one("rejected") or ""

    def make(row: Row) -> Example | str:
        prompt = columns.messages(row)
        chosen, rejected = turns_of(row.get(good)), turns_of(row.get(bad))
        if not chosen or not rejected:
            return EMPTY_ANSWER
        opening, chosen, rejected = _parted(chosen, rejected)
        prompt = _joined(prompt, opening)
        if not prompt:
            return EMPTY_INPUT
        if not chosen or not rejected:
            return SAME_ANSWERS
        return _example(prompt, chosen, rejected=rejected)

    return make


def judged(mapping: Mapping) -> Any:
    """Return the builder of single answers with a verdict."""
    columns = PromptColumns.of(mapping)
    answer, verdict = mapping.one("output"), mapping.one("verdict") or ""

    def make(row: Row) -> Example | str:
        good = verdict_of(row.get(verdict))
        prompt = columns.messages(row)
        spoken = turns_of(row.get(answer)) if answer else prompt
        if answer:
            opening, completion = _last(spoken)
            prompt = _joined(prompt, opening)
        else:
            prompt, completion = _last(spoken)
        if not completion:
            return EMPTY_ANSWER
        if not prompt:
            return EMPTY_INPUT
        return NO_VERDICT if good is None else _example(prompt, completion, verdict=good)

    return make


def _example(
    prompt: list[Message],
    completion: list[Message],
    *,
    rejected: list[Message] | None = None,
    verdict: bool | None = None,
) -> Example:
    said = [m["content"] for m in prompt if m["role"] != "system"]
    return Example(
        asked="\n".join(m["content"] for m in prompt),
        answer="\n".join(m["content"] for m in completion),
        prompt=prompt,
        completion=completion,
        rejected=rejected,
        verdict=verdict,
        gist="\n".join(said),
    )


def _last(turns: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """Return what stands before the assistant's last turn, and that turn."""
    at = max((i for i, turn in enumerate(turns) if turn["role"] == "assistant"), default=-1)
    return list(turns[: max(at, 0)]), list(turns[at : at + 1]) if at >= 0 else []


def _parted(
    chosen: list[Message], rejected: list[Message]
) -> tuple[list[Message], list[Message], list[Message]]:
    """Return the turns that both begin with, and the last answer of each.

    Turns after the first that differs cannot be compared answer to answer; only that one is.
    """
    same = 0
    while same < min(len(chosen), len(rejected)) and chosen[same] == rejected[same]:
        same += 1
    opening = chosen[:same]
    good, bad = chosen[same:], rejected[same:]
    while opening and opening[-1]["role"] == "assistant" and not (good and bad):
        good, bad = [opening[-1], *good], [opening[-1], *bad]
        opening = opening[:-1]
    if good[:1] == bad[:1]:
        return opening, [], []
    better, worse = (
        [turn for turn in turns[:1] if turn["role"] == "assistant"] for turns in (good, bad)
    )
    return opening, better, worse


def _joined(prompt: list[Message], opening: list[Message]) -> list[Message]:
    """Return the prompt that holds both; a prompt that the answers repeat is told once."""
    spoken = [m for m in prompt if m["role"] != "system"]
    if not opening:
        return prompt if spoken else []
    heard = [m for m in opening if m["role"] != "system"]
    if not spoken or spoken == heard[-len(spoken) :] or _says(heard, spoken):
        system = [m for m in (*prompt, *opening) if m["role"] == "system"][:1]
        return [*system, *heard] if heard else prompt
    return [*prompt, *heard]


def _says(heard: list[Message], spoken: list[Message]) -> bool:
    """True where the only turn of the prompt stands among the turns before the answers."""
    return len(spoken) == 1 and any(spoken[0]["content"] == m["content"] for m in heard)
