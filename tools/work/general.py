"""What tuning made a model forget: how likely it finds ordinary text that nobody trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tools.shipped import shipped
from tools.work.encode import Encoded
from tools.work.scorebook import Scorebook
from tools.work.scoring import score_answers

_LONGEST_TOKENS = 192


def passages() -> list[str]:
    """Return the shipped passages."""
    text = shipped("general", "passages.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip()]


def score_general(
    model: Callable[[], Any], tokenizer: Any, *, pad: int, batch: int, book: Scorebook
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the log-probability of every passage in nats, and its tokens.

    Plain text without a chat template: what is asked is whether the language is still there.
    """
    entry = book.get("general")
    if entry is None:
        rows = [_encoded(tokenizer, text) for text in passages()]
        found = score_answers(model(), rows, pad=pad, batch=batch, tick=lambda done: None)
        scores = {"sums": found.sums.tolist(), "tokens": found.tokens.tolist()}
        entry = book.add("general", scores)
    return np.array(entry["sums"]), np.array(entry["tokens"])


def _encoded(tokenizer: Any, text: str) -> Encoded:
    ids = list(tokenizer(text)["input_ids"])[:_LONGEST_TOKENS]
    return Encoded(ids[:1], ids[1:])
