"""Bounds on every read: no file, however made, may exhaust time or memory."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tools.errors import BadInput

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """How much a scan may take.

    Attributes:
        unpacked_bytes: Text that may come out of one compressed file.
        unpack_ratio: Unpacked bytes per packed byte beyond which a file is taken for a bomb;
            real text reaches about 20, long runs of one sentence about 200.
        row_bytes: Characters in one row (one line, one JSON value, one cell).
        document_bytes: Size of a JSON file that must be read whole (nested, not row by row).
        table_cells: Cells of an Excel sheet.
        members: Files in a zip or a folder.
        columns: Columns of a table.
    """

    unpacked_bytes: int = 16 * 1024 * MIB
    unpack_ratio: int = 300
    row_bytes: int = 16 * MIB
    document_bytes: int = 512 * MIB
    table_cells: int = 20_000_000
    members: int = 2_000
    columns: int = 2_000


LIMITS = Limits()


@dataclass
class Deadline:
    """A point in time after which a scan stops reading and says so."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def passed(self) -> bool:
        """True when the time is used up."""
        return time.monotonic() - self.started > self.seconds


def too_long_row(where: str, limit: int) -> BadInput:
    """Return the error for a row that is larger than any training row could be."""
    return BadInput(
        f"{where} holds a single row of more than {limit // MIB} MiB.",
        hint="Check that the file has line breaks between its rows, or split the row.",
    )
