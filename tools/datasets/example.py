"""One training example, whatever it was made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

Message = dict[str, str]

EMPTY_INPUT = "empty input"
EMPTY_ANSWER = "empty answer"
NO_MESSAGES = "no messages"
NO_ANSWER = "no answer by the assistant"
BAD_ROLE = "unknown role"


@dataclass(frozen=True)
class Example:
    """One training example.

    Attributes:
        asked: Text of everything the model reads; `answer` of everything it must write.
        gist: What sets the question apart from others: without system message and passage.
        passage: Digest of a passage that several questions share; empty where there is none.
        label: The answer, where the task has a fixed set of answers.
        rejected: The worse answer, where `completion` is the better of two.
        verdict: Whether `completion` was judged good.
        tokens: Words with one of `tags` each.
    """

    asked: str
    answer: str
    prompt: list[Message] | None = None
    completion: list[Message] | None = None
    messages: list[Message] | None = None
    text: str | None = None
    label: str | None = None
    gist: str = ""
    passage: bytes = b""
    rejected: list[Message] | None = None
    verdict: bool | None = None
    tokens: list[str] | None = None
    tags: list[str] | None = None

    def record(self) -> dict[str, Any]:
        """Return the columns of the canonical form."""
        if self.messages is not None:
            return {"messages": self.messages}
        if self.text is not None:
            return {"text": self.text}
        if self.tokens is not None:
            return {"tokens": self.tokens, "tags": self.tags}
        if self.rejected is not None:
            return {"prompt": self.prompt, "chosen": self.completion, "rejected": self.rejected}
        if self.verdict is not None:
            return {"prompt": self.prompt, "completion": self.completion, "label": self.verdict}
        record: dict[str, Any] = {"prompt": self.prompt, "completion": self.completion}
        return record if self.label is None else {**record, "label": self.label}

    @property
    def key(self) -> bytes:
        """Digest of the whole example: equal for exact duplicates."""
        beside = (self.rejected, self.verdict, self.tags)
        parts = [self.asked, self.answer, *(part for part in beside if part is not None)]
        content = json.dumps(parts, ensure_ascii=False)
        return hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=12).digest()

    @property
    def repeats(self) -> bool:
        """True where the answer is the question again."""
        return self.gist.strip().casefold() == self.answer.strip().casefold()

    @property
    def characters(self) -> int:
        """Length of what is read and written together."""
        return len(self.asked) + len(self.answer)


def answered(
    asked: str, answer: str, *, label: bool = False, system: str = "", passage: str = ""
) -> Example | str:
    """Return a one-turn example, or why there is none.

    Args:
        passage: Text that stands before the question and that other questions may share.
    """
    asked, answer, system, passage = asked.strip(), answer.strip(), system.strip(), passage.strip()
    if not asked:
        return EMPTY_INPUT
    if not answer:
        return EMPTY_ANSWER
    gist = asked
    shared = b""
    if passage:
        asked = f"{passage}\n\n{asked}"
        shared = hashlib.blake2b(passage.encode("utf-8", "replace"), digest_size=8).digest()
    opening = [{"role": "system", "content": system}] if system else []
    return Example(
        asked=f"{system}\n{asked}" if system else asked,
        answer=answer,
        prompt=[*opening, {"role": "user", "content": asked}],
        completion=[{"role": "assistant", "content": answer}],
        label=answer if label else None,
        gist=gist,
        passage=shared,
    )
