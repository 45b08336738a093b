"""A source of rows: one file, a zip, a folder with splits, or a prepared version."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tools.datasets.detect import Opened
from tools.datasets.dialect import Dialect
from tools.datasets.pairs import PairedFiles
from tools.datasets.problems import Problem, problem
from tools.datasets.row import NUMBER, SPLIT, ReadLog, Row, Wanted, every
from tools.datasets.rows import read_rows
from tools.datasets.sampled import EvenSample
from tools.datasets.table_rows import arrow_label_names, arrow_rows, excel_rows

_TITLES = {
    "csv": "CSV",
    "jsonl": "JSON Lines",
    "json": "JSON",
    "parquet": "Parquet",
    "arrow": "Arrow",
    "excel": "Excel",
    "conll": "token and tag lines",
    "text": "plain text",
    "pairs": "parallel text files",
}


@dataclass
class Part:
    """One readable file of a source."""

    path: Path
    split: str | None
    opened: Opened
    dialect: Dialect | None
    pair: PairedFiles | None = None

    @property
    def kind(self) -> str:
        """Kind of the file: `csv`, `jsonl`, `parquet`, …"""
        if self.pair:
            return "pairs"
        if self.dialect:
            return self.dialect.kind
        return (self.opened.magic or "").replace("arrow_stream", "arrow")

    def rows(self, log: ReadLog, wanted: Wanted = every) -> Iterator[Row]:
        """Yield raw rows."""
        if self.pair:
            yield from self.pair.rows(log)
        elif self.dialect:
            yield from read_rows(self.opened, self.dialect, log, wanted)
        elif self.opened.magic == "excel":
            yield from excel_rows(self.path)
        else:
            yield from arrow_rows(self.path, self.opened.magic or "", wanted, log)


@dataclass
class Source:
    """Where rows come from. Reading it twice gives the same rows in the same order.

    Attributes:
        parts: Its files; more than one for folders and archives.
        scratch: Keeps unpacked members alive as long as the source is used.
        passed: Split → rows that the last reading passed, wanted or not.
        beside: Names of numbered labels, from a file of their own.
    """

    path: Path
    parts: list[Part]
    scratch: tempfile.TemporaryDirectory[str] | None = None
    log: ReadLog = field(default_factory=ReadLog)
    passed: Counter[str] = field(default_factory=Counter)
    beside: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Kind of its (first) file."""
        return self.parts[0].kind

    @property
    def title(self) -> str:
        """How a person calls the kind of file."""
        part = self.parts[0]
        title = _TITLES.get(part.kind, part.kind)
        if part.kind == "csv" and part.dialect and part.dialect.delimiter == "\t":
            title = "TSV"
        return f"{title} in {len(self.parts)} files" if len(self.parts) > 1 else title

    def rows(self, wanted: Wanted = every) -> Iterator[tuple[int, str | None, Row]]:
        """Yield `(number, split, row)`; what cannot be read is counted in `log`.

        Args:
            wanted: Tells by its number which row is read.
        """
        self.log, self.passed = ReadLog(), Counter()
        base = 0
        for part in self.parts:
            log = ReadLog()
            number = base - 1
            for row in part.rows(log, _shifted(wanted, base)):
                own = row.pop(NUMBER, None)
                number = base + own if own is not None else number + 1
                yield number, row.pop(SPLIT, None) or part.split, row
            for broken in log.broken:
                self.log.note(base + broken, log.reason)
            self.log.broken_count += log.broken_count - len(log.broken)
            after = max(number + 1, base + log.seen)
            self.passed[part.split or "train"] += after - base
            base = after

    def label_names(self) -> dict[str, tuple[str, ...]]:
        """Return the names behind numbered labels by column, where a Parquet file tells them."""
        part = self.parts[0]
        return arrow_label_names(part.path, part.opened.magic or "")

    def problems(self) -> list[Problem]:
        """Return what the files themselves have wrong; complete once the rows were read."""
        return [*_encoding_problems(self.parts), *self.log.problems()]

    def sha256(self) -> str:
        """Return the digest of the bytes: of the file, or of names and files in a folder."""
        if self.path.is_file():
            return _file_digest(self.path)
        whole = hashlib.sha256()
        for part in sorted(self.parts, key=lambda p: p.path):
            whole.update(f"{part.path.name}\0{_file_digest(part.path)}\n".encode())
            if part.pair:
                whole.update(f"{_file_digest(part.pair.second.path)}\n".encode())
        return whole.hexdigest()


def _shifted(wanted: Wanted, base: int) -> Wanted:
    if wanted is every:
        return wanted
    if isinstance(wanted, EvenSample):
        return replace(wanted, base=base)
    return lambda number: wanted(base + number)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _encoding_problems(parts: list[Part]) -> list[Problem]:
    foreign = [part for part in parts if part.opened.foreign_encoding]
    mixed = sum(part.opened.broken_bytes for part in parts)
    found: list[Problem] = []
    if foreign:
        codec = foreign[0].opened.encoding.removeprefix("luthier-")
        found.append(
            problem(
                "broken_encoding",
                "info",
                f"The file is not UTF-8; it was read as {codec}.",
                "Check accents in the preview; saving the file as UTF-8 removes the doubt.",
                count=len(foreign),
            )
        )
    if mixed:
        found.append(
            problem(
                "broken_encoding",
                "warning",
                f"{mixed:,} bytes are not valid UTF-8 and were read as cp1252.",
                "Save the file as UTF-8 where it was made.",
                count=mixed,
            )
        )
    return found
