"""The rows a model is judged on, read in windows, without those it was trained on."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tools.datasets.answers import answerable, no_answers
from tools.datasets.choose import choose
from tools.datasets.manifest import Manifest, SplitName
from tools.datasets.opening import open_source
from tools.datasets.prepare import map_file
from tools.work.encode import messages_of
from tools.work.overlap import Overlap

Row = dict[str, Any]
_WINDOW = 256
_MOST_SLICES = 8
_LEAST_IN_SLICE = 5


@dataclass(frozen=True)
class HeldOut:
    """Rows to judge on; each pass over `windows()` gives the same rows in the same order.

    Attributes:
        n: Rows that are judged.
        excluded: Rows left out because their prompt was trained on.
        unusable: Rows without an answer to compare with.
        rows: Gives the rows one by one, from the beginning.
        near: Places (0 to n) of rows that nearly repeat a row that was trained on.
        repeats: Places of rows that ask what a row before them asks.
        fingerprint: Hash of the rows that are judged: prompts and answers, in order.
    """

    n: int
    excluded: int
    unusable: int
    rows: Callable[[], Iterator[Row]] = field(repr=False)
    near: frozenset[int] = frozenset()
    repeats: frozenset[int] = frozenset()
    fingerprint: str = ""

    def sample(self, most: int) -> list[int]:
        """Return the places of at most so many rows, drawn at random and always the same.

        The first of them are a fair sample as well, should time run out.
        """
        drawn = np.random.default_rng(self.n).permutation(self.n)
        return [int(place) for place in drawn[: min(most, self.n)]]

    def pick(self, places: list[int]) -> list[Row]:
        """Return the rows at these places, in the order of the places."""
        wanted = set(places)
        found = {i: row for i, row in enumerate(self.rows()) if i in wanted}
        return [found[i] for i in places]

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
    also_trained: Sequence[Path] = (),
    prompts_alone: bool = False,
    scratch: Path | None = None,
) -> HeldOut:
    """Choose the rows: of a split, or of another file in the form of the dataset.

    Args:
        keep_trained: Also take rows that were trained on; for checks that judge no quality.
        also_trained: Training rows of other models that take part in the comparison.
        scratch: Where rows are written down that would else be mapped anew for every pass.
        prompts_alone: Rows need no expected answer, because rewards judge what is said.

    Raises:
        BadInput: No row has an answer, so nothing can be judged.
    """

    def every_row() -> Iterator[Row]:
        if path is not None:
            return iter(map_file(path, manifest, columns=columns))
        return parquet_rows(manifest.split_file(folder, split))

    training = [] if keep_trained else [manifest.split_file(folder, "train"), *also_trained]
    clean, excluded, unusable = _sift(every_row(), training, prompts_alone, scratch)
    if not clean and not excluded:
        raise no_answers()
    if limit is not None and limit < len(clean):
        rng = np.random.default_rng(seed)
        clean = sorted(rng.choice(clean, size=limit, replace=False).tolist())
    chosen = frozenset(clean)

    def judged() -> Iterator[Row]:
        if scratch is not None:
            return noted_rows(scratch, chosen)
        return (row for i, row in enumerate(every_row()) if i in chosen)

    rows = HeldOut(len(clean), excluded, unusable, judged)
    return rows if keep_trained else _looked_over(rows, training)


def _sift(
    rows: Iterator[Row], training: Sequence[Path], prompts_alone: bool, scratch: Path | None
) -> tuple[list[int], int, int]:
    """Return the numbers of the rows to judge on, how many were trained on, and how many are bare.

    Numbers count the rows of the source, or those written down where there is a scratch file.
    """
    trained = {digest_of(row) for file in training for row in parquet_rows(file)}
    clean: list[int] = []
    excluded = unusable = 0
    with _Noted(scratch) as noted:
        for i, row in enumerate(rows):
            if not answerable(row) and not (prompts_alone and row.get("prompt")):
                unusable += 1
            elif digest_of(row) in trained:
                excluded += 1
            else:
                clean.append(noted.place(i, row))
    return clean, excluded, unusable


class _Noted:
    """Writes rows down, so that a file is read and mapped once and not for every pass."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("w", encoding="utf-8") if path else None
        self._count = 0

    def __enter__(self) -> _Noted:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def place(self, number: int, row: Row) -> int:
        """Return the number that the row is found again by."""
        if self._file is None:
            return number
        self._file.write(json.dumps(row, default=str) + "\n")
        self._count += 1
        return self._count - 1


def noted_rows(path: Path, chosen: frozenset[int]) -> Iterator[Row]:
    """Give the chosen rows that were written down."""
    with path.open(encoding="utf-8") as file:
        for i, line in enumerate(file):
            if i in chosen:
                yield json.loads(line)


def _looked_over(rows: HeldOut, training: Sequence[Path]) -> HeldOut:
    """Find the rows that nearly repeat training rows, and name the rows by their content."""
    overlap = Overlap(asked_of(row) for file in training for row in parquet_rows(file))
    content = hashlib.blake2b(digest_size=16)
    near: set[int] = set()
    repeats: set[int] = set()
    seen: set[bytes] = set()
    for place, row in enumerate(rows.rows()):
        said = {key: value for key, value in row.items() if key != "row"}
        content.update(json.dumps(said, sort_keys=True, default=str).encode() + b"\n")
        if overlap.resembles(asked_of(row)):
            near.add(place)
        if (digest := digest_of(row)) in seen:
            repeats.add(place)
        seen.add(digest)
    return replace(
        rows, near=frozenset(near), repeats=frozenset(repeats), fingerprint=content.hexdigest()
    )


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
    asked = " ".join(asked_of(row).lower().split())
    return hashlib.blake2b(asked.encode(), digest_size=12).digest()


def asked_of(row: Row) -> str:
    """Return what the model is asked, as one text."""
    if "tokens" in row:
        return " ".join(map(str, row["tokens"]))
    prompt, _ = messages_of(row)
    return "\x1e".join(m["content"] for m in prompt) if prompt else str(row.get("text", ""))
