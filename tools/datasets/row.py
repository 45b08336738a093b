"""A row as read, the lines it comes from, and what was broken on the way."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tools.datasets.detect import Opened, open_bytes, shown
from tools.datasets.encodings import codec_of
from tools.datasets.limits import LIMITS, too_long_row
from tools.datasets.problems import EXAMPLES, Problem, problem

Row = dict[str, Any]
Wanted = Callable[[int], bool]
"""Tells by its number whether a row is wanted; the others are passed over unread."""


def every(number: int) -> bool:
    """Want every row."""
    del number
    return True


NUMBER = "\x00row"
"""Key under which a reader may leave a row's own number, where rows before it were left out."""
SPLIT = "\x00split"
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testa": "validation",
    "testb": "test",
    "testing": "test",
    "heldout": "test",
}


@dataclass
class ReadLog:
    """What a reader met on its way.

    Attributes:
        seen: Rows that it passed, where it did not yield them all.
    """

    broken: list[int] = field(default_factory=list)
    broken_count: int = 0
    reason: str = ""
    seen: int = 0

    def note(self, row: int, reason: str) -> None:
        """Count a row that cannot be read."""
        self.broken_count += 1
        self.reason = self.reason or reason
        if len(self.broken) < EXAMPLES:
            self.broken.append(row)

    def problems(self) -> list[Problem]:
        """Return what was broken."""
        if not self.broken_count:
            return []
        plural = "row" if self.broken_count == 1 else "rows"
        return [
            problem(
                "broken_file",
                "error" if self.broken_count > 20 else "warning",
                f"{self.broken_count:,} {plural} cannot be read ({self.reason}); left out.",
                "Repair or remove those lines in the source file.",
                self.broken,
                self.broken_count,
            )
        ]


def lines_of(opened: Opened) -> Iterator[str]:
    """Yield decoded lines without their line break (LF, CRLF or CR)."""
    codec, handler = codec_of(opened.encoding)
    with open_bytes(opened.path, opened.packing) as stream:
        text = io.TextIOWrapper(stream, encoding=codec, errors=handler, newline=None)
        while True:
            line = text.readline(LIMITS.row_bytes)
            if not line:
                return
            if len(line) >= LIMITS.row_bytes and not line.endswith("\n"):
                raise too_long_row(shown(opened.path), LIMITS.row_bytes)
            yield line[:-1] if line.endswith("\n") else line
