"""Learning classes with a head of their own: one per text, or one per word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from tools.errors import Refused
from tools.history.spec import TrainingSpec
from tools.work.forward import Batch
from tools.work.objectives.base import Objective, Scores
from tools.work.objectives.preference import as_messages
from tools.work.rows import MASKED, Encoded, read_split

HEADS = ("sequence_classification", "token_classification")


class Head(Objective):
    """What both heads share: a class for each target, read off the model's own output."""

    packs = False

    def __init__(self, spec: TrainingSpec, tokenizer: Any, batcher: Any) -> None:
        super().__init__(spec, tokenizer, batcher)
        self.numbers = {label: i for i, label in enumerate(spec.labels)}

    def check(self, rows: Encoded, model: Any) -> dict[str, Any]:
        """Refuse data in which fewer than two classes occur."""
        seen = {n for row in rows.labels for n in row if n != MASKED}
        if len(seen) < 2:
            raise Refused(
                f"The rows hold {len(seen)} of the {len(self.numbers)} classes: there is nothing "
                "to tell apart.",
                hint="Check which column holds the classes; at least two must occur.",
                refused_by="labels",
            )
        return {
            "rows": len(rows),
            "classes": len(self.numbers),
            "classes_seen": len(seen),
            "rows_cut": rows.cut,
            "rows_dropped": rows.dropped,
            "longest_tokens": max(map(len, rows.input_ids)),
        }

    def loss(self, model: Any, batch: Batch) -> Scores:
        """Return the loss of every target, summed, with how many are right."""
        logits = class_logits(model, batch)
        targets = batch["labels"]
        known = targets != MASKED
        picked, wanted = logits[known].float(), targets[known]
        losses = self.element_loss(model, picked, wanted)
        right = float((picked.argmax(-1) == wanted).sum())
        return Scores(losses.sum(), len(wanted), {"right": right})

    def prompt(self, file: Path) -> str | None:
        """Return nothing: a head answers with a class, not with text."""
        return None


class SequenceHead(Head):
    """One class per text, read at its last token."""

    def encode(self, file: Path, *, max_length: int, model: Any) -> Encoded:
        """Tokenise texts; a row whose class is unknown is dropped."""
        found = Encoded()
        for row in read_split(file, ["prompt", "label"]):
            if str(row["label"]) not in self.numbers:
                found.dropped += 1
                continue
            ids = text_ids(self.tokenizer, row)
            found.count(len(ids), max_length)
            found.input_ids.append(ids[-max_length:])
            found.labels.append([self.numbers[str(row["label"])]])
        return found

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        """Pad the texts; the loss is averaged over rows."""
        batch = self.batcher.join([r["input_ids"] for r in rows], [r["input_ids"] for r in rows])
        batch["labels"] = torch.tensor([r["labels"][0] for r in rows])
        batch["items"] = torch.tensor(len(rows))
        return batch


class TokenHead(Head):
    """One class per word, read at its last token: a causal model has then seen all of it."""

    def encode(self, file: Path, *, max_length: int, model: Any) -> Encoded:
        """Tokenise words; those whose class is unknown are not trained."""
        found = Encoded()
        for row in read_split(file, ["tokens", "tags"]):
            ids, ends = word_ids(self.tokenizer, row["tokens"])
            labels = [MASKED] * len(ids)
            for end, tag in zip(ends, row["tags"], strict=True):
                labels[end] = self.numbers.get(str(tag), MASKED)
            found.count(len(ids), max_length)
            if any(n != MASKED for n in labels[:max_length]):
                found.input_ids.append(ids[:max_length])
                found.labels.append(labels[:max_length])
            else:
                found.dropped += 1
        return found

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        """Pad the texts; the loss is averaged over words."""
        batch = self.batcher.join([r["input_ids"] for r in rows], [r["input_ids"] for r in rows])
        labels = torch.full(batch["input_ids"].shape, MASKED)
        for i, row in enumerate(rows):
            labels[i, : len(row["labels"])] = torch.tensor(row["labels"])
        batch["labels"] = labels
        batch["items"] = (labels != MASKED).sum()
        return batch


def class_logits(model: Any, batch: Batch) -> torch.Tensor:
    """Return the logits of the classes: (rows, classes), or (rows, tokens, classes)."""
    logits: torch.Tensor = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
    ).logits
    return logits


def predict(
    model: Any,
    tokenizer: Any,
    rows: Iterable[dict[str, Any]],
    spec: TrainingSpec,
    batch: int = 32,
) -> list[str] | list[list[str]]:
    """Return the likeliest class of each row, or of each of its words.

    Args:
        rows: Prepared rows: `prompt` for texts, `tokens` for words; other columns are ignored.
        batch: Rows at once.
    """
    from tools.work.batching import Batcher  # noqa: PLC0415 - that module imports this package

    labels = spec.labels
    of_words = spec.objective == "token_classification"
    room = min(spec.max_length, getattr(model.config, "max_position_embeddings", spec.max_length))
    found: list[Any] = []
    joiner = Batcher(int(tokenizer.pad_token_id or 0))
    waiting = iter(rows)
    with torch.no_grad():
        for chunk in iter(lambda: list(islice(waiting, batch)), []):
            encoded = list(_asked(tokenizer, chunk, of_words, room))
            ids = [row for row, _ in encoded]
            joined = {k: v.to(model.device) for k, v in joiner.join(ids, ids).items()}
            best = class_logits(model, joined).argmax(-1).tolist()
            if not of_words:
                found += [labels[n] for n in best]
                continue
            for (row, ends), numbers in zip(encoded, best, strict=True):
                # Words beyond the limit were never read: the last class read stands for them.
                found.append([labels[numbers[min(end, len(row) - 1)]] for end in ends])
    return found


def text_ids(tokenizer: Any, row: dict[str, Any]) -> list[int]:
    """Return a text to classify as ids, with the end token that its class is read at."""
    text = row.get("prompt") or row.get("text") or ""
    said = "\n".join(m["content"] for m in as_messages(text, "user"))
    ids = list(tokenizer(said)["input_ids"])
    end = tokenizer.eos_token_id
    return ids if end is None or ids[-1:] == [end] else [*ids, int(end)]


def word_ids(tokenizer: Any, words: list[str]) -> tuple[list[int], list[int]]:
    """Return words as ids, and the place of the last token of each."""
    ids: list[int] = []
    ends = []
    if tokenizer.bos_token_id is not None:
        ids.append(int(tokenizer.bos_token_id))
    pieces = tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"]
    for piece in pieces:
        ids += piece or [int(tokenizer.unk_token_id or tokenizer.pad_token_id or 0)]
        ends.append(len(ids) - 1)
    return ids, ends


def _asked(
    tokenizer: Any, rows: list[dict[str, Any]], of_words: bool, room: int
) -> Iterator[tuple[list[int], list[int]]]:
    for row in rows:
        if of_words:
            ids, ends = word_ids(tokenizer, row["tokens"])
            yield ids[:room], ends
        else:
            yield text_ids(tokenizer, row)[-room:], []
