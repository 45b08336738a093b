"""From a prepared split to token ids and labels, and the gate that looks at those labels.

Masked positions have the label -100, which no loss counts. Not covered: tool calls in messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tools.errors import Refused
from tools.history.spec import Objective
from tools.work.template import marks_generation, stop_token_ids

MASKED = -100


@dataclass
class Encoded:
    """Rows ready for training: per row the token ids, and labels of the same length.

    Attributes:
        more: What else an objective keeps of each row, by name; a list as long as the rows.
        dropped: Rows that hold nothing to learn.
        cut: Rows that were longer than the limit and lost their beginning.
        longest: Tokens of the longest row before any was cut.
    """

    input_ids: list[list[int]] = field(default_factory=list)
    labels: list[list[int]] = field(default_factory=list)
    more: dict[str, list[Any]] = field(default_factory=dict)
    dropped: int = 0
    cut: int = 0
    longest: int = 0

    def count(self, length: int, max_length: int) -> None:
        """Take note of the length that a row has before it is cut."""
        self.longest = max(self.longest, length)
        self.cut += length > max_length

    def add(self, ids: Sequence[int], labels: Sequence[int], max_length: int) -> None:
        """Keep a row; of one that is too long its end, where the answer stands."""
        self.count(len(ids), max_length)
        if len(ids) > max_length:
            ids, labels = ids[-max_length:], labels[-max_length:]
        # The first position predicts nothing: a label there is no label.
        if any(label != MASKED for label in labels[1:]):
            self.input_ids.append(list(ids))
            self.labels.append(list(labels))
        else:
            self.dropped += 1

    def __len__(self) -> int:
        return len(self.input_ids)

    def row(self, i: int) -> dict[str, Any]:
        """Return one row: its ids, its labels and what else is kept of it."""
        kept = {name: values[i] for name, values in self.more.items()}
        return {"input_ids": self.input_ids[i], "labels": self.labels[i], **kept}

    def pick(self, places: Sequence[int]) -> Encoded:
        """Return the rows at these places."""
        return Encoded(
            [self.input_ids[i] for i in places],
            [self.labels[i] for i in places],
            {name: [values[i] for i in places] for name, values in self.more.items()},
        )

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row, those of its second answer included."""
        second = self.more.get("rejected_ids") or [[]] * len(self)
        return [len(a) + len(b) for a, b in zip(self.input_ids, second, strict=True)]

    @property
    def trained_tokens(self) -> int:
        """Number of tokens that count in the loss."""
        return sum(label != MASKED for row in self.labels for label in row[1:])

    @property
    def tokens(self) -> int:
        """Number of tokens, padding apart."""
        return sum(map(len, self.input_ids))


def read_split(file: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Read the named columns of a prepared split; all of them where none is named."""
    rows: list[dict[str, Any]] = pq.read_table(file, columns=list(columns) or None).to_pylist()
    return rows


def encode_split(
    file: Path, objective: Objective, tokenizer: Any, *, max_length: int, model: Any = None
) -> Encoded:
    """Tokenise a prepared split as its objective asks.

    Answers are trained together with the token that ends them; what a template puts after that
    token is left out.
    """
    stops = stop_token_ids(tokenizer, model)
    encoded = Encoded()
    if objective == "text":
        _encode_text(read_split(file, ["text"]), tokenizer, encoded, max_length)
    elif objective == "chat" and marks_generation(tokenizer):
        rows = [row["messages"] for row in read_split(file, ["messages"])]
        _encode_marked(rows, tokenizer, encoded, max_length, stops)
    else:
        for ids, labels in encode_pairs(_pairs(file, objective, encoded), tokenizer, stops):
            encoded.add(ids, labels, max_length)
    return encoded


def first_prompt(file: Path, objective: Objective, tokenizer: Any) -> str:
    """Return the first row of a split as a model would be asked it."""
    if objective == "text":
        text = str(read_split(file, ["text"])[0]["text"])
        return " ".join(text.split()[:20]) or text[:80]
    if objective == "chat":
        messages = read_split(file, ["messages"])[0]["messages"]
        answers = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
        prompt = messages[: answers[-1]] if answers and answers[-1] else messages[:1]
    else:
        prompt = read_split(file, ["prompt"])[0]["prompt"]
    rendered = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    return str(rendered)


def check_labels(
    encoded: Encoded, objective: Objective, tokenizer: Any, model: Any = None
) -> dict[str, Any]:
    """Look at what would be trained; the gate `labels`.

    Returns:
        What was measured: rows, share of tokens trained, rows cut and dropped, and the share of
        rows whose answer ends with a stop token.

    Raises:
        Refused: Nothing would be trained, or everything would though only answers should, or
            the model would never learn to stop.
    """
    if not encoded.input_ids:
        raise Refused(
            "No row has anything to learn from: every token is masked.",
            hint="Check that answers are not empty, and raise the maximum length if rows are long.",
            refused_by="labels",
        )
    share = encoded.trained_tokens / max(1, encoded.tokens - len(encoded.input_ids))
    if objective != "text" and share >= 1.0 and encoded.cut * 2 > len(encoded):
        raise Refused(
            "The rows are cut so short that nothing is left of their questions.",
            hint=f"Raise the maximum length; the longest row has {encoded.longest} tokens.",
            refused_by="labels",
        )
    if objective != "text" and share >= 1.0:
        raise Refused(
            "Nothing is masked: the model would be trained on the questions as well.",
            hint="Check the columns; the question must be the input and the answer the output.",
            refused_by="labels",
        )
    stops = set(stop_token_ids(tokenizer, model))
    ending = sum(any(t in stops for t in row[-2:]) for row in encoded.labels)
    ending_share = ending / len(encoded.labels)
    if objective != "text" and not ending:
        raise Refused(
            "No answer ends with a token that stops the model; it would never learn to stop.",
            hint="Raise the maximum length, or choose a model whose tokenizer has an end token.",
            refused_by="labels",
        )
    return {
        "rows": len(encoded.input_ids),
        "trained_token_share": round(share, 4),
        "rows_cut": encoded.cut,
        "rows_dropped": encoded.dropped,
        "rows_that_stop": round(ending_share, 4),
        "longest_tokens": max(map(len, encoded.input_ids)),
    }


def _pairs(
    file: Path, objective: Objective, encoded: Encoded
) -> list[tuple[list[dict[str, str]], list[dict[str, str]]]]:
    """Return prompts and completions; of a chat the last answer and what came before it."""
    if objective == "prompt_completion":
        rows = read_split(file, ["prompt", "completion"])
        return [(row["prompt"], row["completion"]) for row in rows]
    pairs = []
    for row in read_split(file, ["messages"]):
        messages = row["messages"]
        answers = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
        if answers and answers[-1] > 0:
            pairs.append((messages[: answers[-1]], [messages[answers[-1]]]))
        else:
            encoded.dropped += 1
    return pairs


def encode_pairs(
    pairs: Sequence[tuple[list[dict[str, str]], list[dict[str, str]]]],
    tokenizer: Any,
    stops: list[int],
) -> Iterator[tuple[list[int], list[int]]]:
    """Give ids and labels of each prompt with its answer; only the answer and its stop count."""
    prompts = [
        tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        for prompt, _ in pairs
    ]
    wholes = [
        tokenizer.apply_chat_template(prompt + completion, tokenize=False)
        for prompt, completion in pairs
    ]
    for before, ids in zip(_ids(tokenizer, prompts), _ids(tokenizer, wholes), strict=True):
        start = 0
        while start < min(len(before), len(ids)) and before[start] == ids[start]:
            start += 1
        ids = _ended(ids, start, stops, tokenizer.eos_token_id)
        yield ids, [MASKED] * start + ids[start:]


def _encode_marked(
    conversations: list[list[dict[str, str]]],
    tokenizer: Any,
    encoded: Encoded,
    max_length: int,
    stops: list[int],
) -> None:
    for messages in conversations:
        result = tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        ids, mask = result["input_ids"], list(result["assistant_masks"])
        for i in range(1, len(ids)):
            # Some templates mark the answer but not the token that ends it.
            if mask[i - 1] and not mask[i] and ids[i] in stops and ids[i - 1] not in stops:
                mask[i] = 1
        labels = [i if m else MASKED for i, m in zip(ids, mask, strict=True)]
        last = max((i for i, m in enumerate(mask) if m), default=len(ids) - 1)
        encoded.add(ids[: last + 1], labels[: last + 1], max_length)


def _encode_text(
    rows: list[dict[str, Any]], tokenizer: Any, encoded: Encoded, max_length: int
) -> None:
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    for ids in tokenizer([row["text"] for row in rows])["input_ids"]:
        ids = ids if ids[-1:] == end else ids + end
        for start in range(0, len(ids), max_length):
            piece = ids[start : start + max_length]
            encoded.add(piece, piece, max_length)


def _ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    # The template already wrote the special tokens.
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return ids


def _ended(ids: list[int], start: int, stops: list[int], end: int | None) -> list[int]:
    """Cut after the answer's stop token; add one where the template writes none."""
    for i in range(len(ids) - 1, start - 1, -1):
        if ids[i] in stops:
            return ids[: i + 1]
    return ids if end is None else [*ids, end]
