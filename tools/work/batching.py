"""Batches: which rows stand together, and how they become tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler

from tools.work.forward import Batch
from tools.work.rows import MASKED, Encoded

_GROUP_BATCHES = 8


class Batcher:
    """Joins token rows: padded to the longest, or packed end to end.

    Args:
        pad_id: Any token id; padding has the label -100 and is never attended to.
        packed: End to end, longest row first; see `tools.work.packing`.
    """

    def __init__(self, pad_id: int, *, packed: bool = False) -> None:
        self._pad_id = pad_id
        self.packed = packed

    def join(self, ids: Sequence[list[int]], labels: Sequence[list[int]]) -> Batch:
        """Return ids, labels and the row number of each position, and what attention needs.

        Shapes: (rows, longest) padded, (1, tokens) packed. The first position of a row predicts
        nothing, so its label is masked.
        """
        return self._packed(ids, labels) if self.packed else self._padded(ids, labels)

    def _padded(self, ids: Sequence[list[int]], labels: Sequence[list[int]]) -> Batch:
        shape = (len(ids), max(map(len, ids)))
        batch = {
            "input_ids": torch.full(shape, self._pad_id),
            "labels": torch.full(shape, MASKED),
            "attention_mask": torch.zeros(shape, dtype=torch.long),
            "rows": torch.arange(shape[0])[:, None].expand(shape).contiguous(),
        }
        for i, (row, wanted) in enumerate(zip(ids, labels, strict=True)):
            batch["input_ids"][i, : len(row)] = torch.tensor(row)
            batch["labels"][i, : len(row)] = torch.tensor([MASKED, *wanted[1:]])
            batch["attention_mask"][i, : len(row)] = 1
        return batch

    def _packed(self, ids: Sequence[list[int]], labels: Sequence[list[int]]) -> Batch:
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        lengths = [len(ids[i]) for i in order]
        return {
            "input_ids": torch.tensor([[token for i in order for token in ids[i]]]),
            "labels": torch.tensor([[n for i in order for n in (MASKED, *labels[i][1:])]]),
            "position_ids": torch.tensor([[n for size in lengths for n in range(size)]]),
            "rows": torch.tensor([[i for i in order for _ in ids[i]]]),
            "row_lengths": torch.tensor(lengths),
        }


class Examples(Dataset[dict[str, Any]]):
    """Encoded rows as the trainer's loader takes them, in memory."""

    def __init__(self, encoded: Encoded) -> None:
        self.encoded = encoded

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.encoded.row(index)


class GroupedOrder(Sampler[int]):
    """A random order in which rows of similar length stand together.

    Rows are shuffled, cut into groups of a few batches, sorted within each group, and the batches
    of a group are shuffled again. Small groups keep batches nearly as random as without: larger
    ones waste less padding but reach a higher loss in the same number of steps.

    Args:
        groups: Batches in a group; 1 leaves the order as random as it can be.
    """

    def __init__(
        self, lengths: list[int], batch_rows: int, seed: int, groups: int = _GROUP_BATCHES
    ) -> None:
        self._lengths = lengths
        self._batch_rows = batch_rows
        self._groups = groups
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of another epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 100_003 + self._epoch)
        order = torch.randperm(len(self._lengths), generator=generator).tolist()
        if self._groups == 1:
            yield from order
            return
        size = self._batch_rows * self._groups
        for start in range(0, len(order), size):
            group = sorted(order[start : start + size], key=lambda row: self._lengths[row])
            batches = [
                group[i : i + self._batch_rows] for i in range(0, len(group), self._batch_rows)
            ]
            # A short batch stays last, so that all before it are full.
            whole = len(batches) - (len(batches[-1]) < self._batch_rows)
            shuffled = torch.randperm(whole, generator=generator).tolist()
            for i in [*shuffled, *range(whole, len(batches))]:
                yield from batches[i]
