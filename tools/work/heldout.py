"""The rows a model is judged on, read in windows, without those it was trained on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tools.datasets.choose import choose
from tools.datasets.manifest import Manifest, SplitName
from tools.datasets.prepare import map_file
from tools.datasets.source import open_source
from tools.errors import BadInput
from tools.work.encode import messages_of

Row = dict[str, Any]
_WINDOW = 512
_MOST_SLICES = 8
_LEAST_IN_SLICE = 5


@dataclass(frozen=True)
class HeldOut:
    """Rows to judge on; each pass over `windows()` gives the same rows in the same order.

    Attributes:
        n: Rows that are judged.
        excluded: Rows left out because their prompt was trained on.
        unusable: Rows without an answer to compare with.
    """

    n: int
    excluded: int
    unusable: int
    _all: Callable[[], Iterator[Row]] = field(repr=False)
    _chosen: frozenset[int] = field(repr=False)

    def rows(self) -> Iterator[Row]:
        """Give the rows one by one."""
        for i, row in enumerate(self._all()):
            if i in self._chosen:
                yield row

    def sample(self, most: int) -> list[int]:
        """Return the places of at most so many rows, spread evenly over all."""
        count = min(most, self.n)
        return [i * self.n // count for i in range(count)]

    def pick(self, places: list[int]) -> list[Row]:
        """Return the rows at these places."""
        wanted = set(places)
        return [row for i, row in enumerate(self.rows()) if i in wanted]

    def windows(self) -> Iterator[list[Row]]:
        """Give the rows in lists, so that memory does not grow with their number."""
        window: list[Row] = []
        for row in self.rows():
            window.append(row)
            if len(window) == _WINDOW:
                yield window
                window = []
        if window:
            yield window


def held_out(
    folder: Path,
    manifest: Manifest,
    *,
    split: SplitName,
    path: Path | None,
    columns: tuple[str, ...],
    limit: int | None,
    seed: int,
    keep_trained: bool = False,
) -> HeldOut:
    """Choose the rows: of a split, or of another file in the form of the dataset.

    Args:
        keep_trained: Also take rows that were trained on; for checks that judge no quality.

    Raises:
        BadInput: No row has an answer, so nothing can be judged.
    """

    def every_row() -> Iterator[Row]:
        if path is not None:
            return iter(map_file(path, manifest, columns=columns))
        return parquet_rows(manifest.split_file(folder, split))

    training = [] if keep_trained else parquet_rows(manifest.split_file(folder, "train"))
    trained = {digest_of(row) for row in training}
    clean: list[int] = []
    excluded = unusable = 0
    for i, row in enumerate(every_row()):
        if "text" not in row and not messages_of(row)[1]:
            unusable += 1
        elif digest_of(row) in trained:
            excluded += 1
        else:
            clean.append(i)
    if not clean and not excluded:
        raise BadInput(
            "None of these rows has an answer to compare with.",
            hint="Name a file with the same columns as the training data, answers included.",
        )
    if limit is not None and limit < len(clean):
        rng = np.random.default_rng(seed)
        clean = sorted(rng.choice(clean, size=limit, replace=False).tolist())
    return HeldOut(len(clean), excluded, unusable, every_row, frozenset(clean))


def other_columns(path: Path, manifest: Manifest) -> tuple[str, ...]:
    """Return columns of a file that take no part in the task, those that may name slices first."""
    used = {name for name, role in manifest.columns.items() if role != "ignored"}
    return tuple(name for name in choose(open_source(path)).columns if name not in used)


def slice_column_of(rows: HeldOut, candidates: tuple[str, ...]) -> str | None:
    """Return the first column with two to eight values of at least five rows each, or None."""
    seen: dict[str, Counter[str]] = {name: Counter() for name in candidates}
    for row in rows.rows():
        for name in candidates:
            if len(seen[name]) <= _MOST_SLICES:
                seen[name][str(row.get(name))] += 1
    for name, counts in seen.items():
        if 2 <= len(counts) <= _MOST_SLICES and min(counts.values()) >= _LEAST_IN_SLICE:
            return name
    return None


def parquet_rows(file: Path) -> Iterator[Row]:
    """Give the rows of a split, a batch at a time."""
    for batch in pq.ParquetFile(file).iter_batches(batch_size=_WINDOW):
        yield from batch.to_pylist()


def digest_of(row: Row) -> bytes:
    """Return a digest of what the model is asked, blind to case and spaces.

    The answer does not count: a question that was trained on is no test, whatever the answer.
    """
    prompt, _ = messages_of(row)
    asked = "\x1e".join(m["content"] for m in prompt) if prompt else str(row.get("text", ""))
    return hashlib.blake2b(" ".join(asked.lower().split()).encode(), digest_size=12).digest()
