"""Rows of a prepared dataset as token ids, one by one, exactly as training sees them.

The rules are those of `tools.work.rows`: the prompt is rendered with the generation prompt,
prompt and answer together without it; the answer starts where the two stop being the same and
ends with its stop token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

Message = dict[str, str]


@dataclass(frozen=True)
class Encoded:
    """One row: what the model is given, and what it should say (with its stop token)."""

    prompt: list[int]
    answer: list[int]
    cut: bool = False


def messages_of(row: dict[str, Any]) -> tuple[list[Message], list[Message]]:
    """Return the prompt's messages and the expected ones; a chat is judged on its last answer.

    Plain text has no prompt: both lists are empty.
    """
    if "prompt" in row:
        # Of a preferred and a rejected answer the preferred one is expected.
        expected = row.get("completion") or row.get("chosen") or []
        return _plain(row["prompt"]), _plain(expected)
    if "messages" in row:
        messages = _plain(row["messages"])
        last = max((i for i, m in enumerate(messages) if m["role"] == "assistant"), default=None)
        return (messages, []) if last is None else (messages[:last], [messages[last]])
    return [], []


def question_of(row: dict[str, Any]) -> str:
    """Return what a person would call the input of a row: its last user message, or its text."""
    prompt, _ = messages_of(row)
    return prompt[-1]["content"] if prompt else str(row.get("text", ""))


def answer_of(row: dict[str, Any]) -> str:
    """Return the expected answer of a row; empty for plain text."""
    return "".join(message["content"] for message in messages_of(row)[1])


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Return the ids of a conversation that waits for the model's answer."""
    return _template(tokenizer, messages, waits=True)


def encode_row(
    tokenizer: PreTrainedTokenizerBase,
    row: dict[str, Any],
    *,
    stops: Sequence[int],
    max_tokens: int,
) -> Encoded | None:
    """Return a row as ids, or None where there is nothing to predict.

    A row longer than `max_tokens` loses the start of its prompt, never its answer, unless the
    answer alone is too long. Plain text is judged on its first `max_tokens`.
    """
    prompt_messages, answer_messages = messages_of(row)
    if "text" in row:
        ids = list(tokenizer(row["text"])["input_ids"])
        if tokenizer.eos_token_id is not None and ids[-1:] != [tokenizer.eos_token_id]:
            ids.append(tokenizer.eos_token_id)
        prompt, answer = ids[:1], ids[1:]
    elif not answer_messages:
        return None
    else:
        prompt = encode_prompt(tokenizer, prompt_messages)
        whole = _template(tokenizer, [*prompt_messages, *answer_messages], waits=False)
        shared = _shared_length(prompt, whole)
        prompt, answer = whole[:shared], _ended(tokenizer, whole, shared, stops)
    if not prompt or not answer:
        return None
    return fit(prompt, answer, max_tokens)


def fit(prompt: list[int], answer: list[int], max_tokens: int) -> Encoded:
    """Cut to what the model can hold: first the start of the prompt, then the answer's end."""
    answer_kept = answer[: max_tokens - 1]
    room = max_tokens - len(answer_kept)
    cut = len(prompt) > room or len(answer_kept) < len(answer)
    return Encoded(prompt[-room:], answer_kept, cut)


def encode_answers(
    tokenizer: PreTrainedTokenizerBase,
    prompt: Sequence[Message],
    answers: Sequence[str],
    *,
    stops: Sequence[int],
) -> list[list[int]]:
    """Return the ids of each possible answer to one prompt, stop token included."""
    start = encode_prompt(tokenizer, prompt)
    found = []
    for answer in answers:
        said = {"role": "assistant", "content": answer}
        whole = _template(tokenizer, [*prompt, said], waits=False)
        found.append(_ended(tokenizer, whole, _shared_length(start, whole), stops))
    return found


def _ended(
    tokenizer: PreTrainedTokenizerBase, whole: list[int], start: int, stops: Sequence[int]
) -> list[int]:
    # As in `tools.work.rows`: what a template writes after the stop token is never trained on.
    for i in range(len(whole) - 1, start - 1, -1):
        if whole[i] in stops:
            return whole[start : i + 1]
    end = tokenizer.eos_token_id
    return whole[start:] if end is None else [*whole[start:], int(end)]


def _template(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, waits: bool
) -> list[int]:
    text = tokenizer.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=waits
    )
    # The template already wrote the special tokens.
    return [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]


def _shared_length(a: Sequence[int], b: Sequence[int]) -> int:
    for i, (left, right) in enumerate(zip(a, b, strict=False)):
        if left != right:
            return i
    return min(len(a), len(b))


def _plain(messages: Sequence[dict[str, Any]]) -> list[Message]:
    # Arrow fills fields that one row lacks with None; templates would print that.
    return [{"role": str(m["role"]), "content": str(m["content"] or "")} for m in messages]
