"""What every objective gives the one recipe: rows, a gate, batches and a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tools.history.spec import TrainingSpec
from tools.work.batching import Batcher
from tools.work.forward import Batch
from tools.work.losses import cross_entropy, loss_of
from tools.work.rows import Encoded, first_prompt


@dataclass
class Scores:
    """The loss of a batch, summed over its items, and sums of what else was measured.

    Attributes:
        total: Scalar with a gradient.
        items: What the loss is averaged over: trained tokens, rows or pairs.
        sums: Further measures, summed over the items.
    """

    total: torch.Tensor
    items: int
    sums: dict[str, float] = field(default_factory=dict)


class Objective(ABC):
    """One way to learn from rows. Subclasses say how; the recipe is the same for all.

    Attributes:
        packs: Whether its rows may stand end to end in one sequence.
        always_learns: Whether any batch has a gradient; equal rewards leave none.
        sparse: Whether the last layer answers for trained tokens only; see `may_be_sparse`.
    """

    packs = True
    always_learns = True
    sparse = False

    def __init__(self, spec: TrainingSpec, tokenizer: Any, batcher: Batcher) -> None:
        self.spec = spec
        self.tokenizer = tokenizer
        self.batcher = batcher
        self._loss = loss_of(spec)

    @abstractmethod
    def encode(self, file: Path, *, max_length: int, model: Any) -> Encoded:
        """Tokenise a prepared split."""

    @abstractmethod
    def check(self, rows: Encoded, model: Any) -> dict[str, Any]:
        """Look at what would be trained; the gate `labels`.

        Raises:
            Refused: The rows teach nothing, or the wrong thing.
        """

    def reference(self, model: Any, rows: Encoded) -> None:  # noqa: B027 - most need none
        """Note what the untouched model makes of the rows, where the loss asks for that."""

    @abstractmethod
    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        """Return a batch; `items` in it is what its loss is averaged over."""

    @abstractmethod
    def loss(self, model: Any, batch: Batch) -> Scores:
        """Return the loss of a batch. Validation uses it too, with the model in that mode."""

    def prompt(self, file: Path) -> str | None:
        """Return the first row as a model would be asked it, or None where none is generated."""
        return first_prompt(file, self.spec.objective, self.tokenizer)

    def element_loss(self, model: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of each target; validation is plain cross-entropy, so runs compare."""
        return (self._loss if model.training else cross_entropy)(logits, targets)


def row_sums(values: torch.Tensor, rows: torch.Tensor, count: int) -> torch.Tensor:
    """Return the sum of values (n) over each of `count` rows, given the row of each value."""
    return values.new_zeros(count).index_add(0, rows, values)
