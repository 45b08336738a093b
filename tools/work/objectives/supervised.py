"""Learning from examples: answers after prompts, conversations, plain text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tools.work.forward import Batch, trained_logits
from tools.work.objectives.base import Objective, Scores
from tools.work.rows import MASKED, Encoded, check_labels, encode_split


class Supervised(Objective):
    """Each trained token is predicted from what stands before it."""

    def encode(self, file: Path, *, max_length: int, model: Any) -> Encoded:
        """Tokenise prompts and answers, conversations or text, as the plan says."""
        return encode_split(
            file, self.spec.objective, self.tokenizer, max_length=max_length, model=model
        )

    def check(self, rows: Encoded, model: Any) -> dict[str, Any]:
        """Refuse rows whose answers are masked, empty or never end."""
        return check_labels(rows, self.spec.objective, self.tokenizer, model)

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        """Join the rows; the loss is averaged over trained tokens."""
        batch = self.batcher.join([r["input_ids"] for r in rows], [r["labels"] for r in rows])
        batch["items"] = (batch["labels"] != MASKED).sum()
        return batch

    def loss(self, model: Any, batch: Batch) -> Scores:
        """Return the named loss of every trained token, summed."""
        logits, targets, _ = trained_logits(model, batch, sparse=self.sparse)
        losses = self.element_loss(model, logits, targets)
        return Scores(losses.sum(), int(targets.numel()))


def summed_loss(model: Any, batch: Batch) -> tuple[torch.Tensor, int]:
    """Return the summed cross-entropy of the trained tokens of a batch, and their number."""
    logits, targets, _ = trained_logits(model, batch)
    return torch.nn.functional.cross_entropy(logits, targets, reduction="sum"), len(targets)
