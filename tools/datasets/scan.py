"""Facts about a large file in one streaming pass of DuckDB: exact, in bounded memory."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tools.datasets.detect import shown
from tools.datasets.limits import LIMITS, MIB
from tools.datasets.source import Part, Source
from tools.errors import BadInput

LARGE_BYTES = 96 * MIB
"""From this size a file is counted by DuckDB, and only a sample is looked at row by row."""
MEMORY = "512MB"
_EXACT = 65_536
_UNICODE = ("utf-8", "utf-8-sig")
_KINDS = ("csv", "jsonl", "parquet")


@dataclass(frozen=True)
class Facts:
    """What holds for all rows.

    Attributes:
        duplicates: Rows equal to an earlier one in all used columns.
        p50: Characters per row in the used columns, with `p95`, `p99` and `longest`; exact up to
            65,536, above that to 1,024.
        labels: Value of the label column → rows; empty without one.
    """

    rows: int
    columns: tuple[str, ...]
    duplicates: int
    p50: int
    p95: int
    p99: int
    longest: int
    characters: int
    labels: AnyMapping[str, int]


def is_large(source: Source) -> bool:
    """True where the source is one that DuckDB should count."""
    parts = source.parts
    return sum(part.path.stat().st_size for part in parts) >= LARGE_BYTES and all(
        part.kind in _KINDS
        and part.opened.packing is None
        and (part.kind == "parquet" or part.opened.encoding in _UNICODE)
        for part in parts
    )


def scan(
    source: Source, columns: Sequence[str], used: Sequence[str], label: str | None = None
) -> Facts:
    """Count rows, exact duplicates and length quantiles of all parts.

    Args:
        columns: All columns of the source; `used` those that make a row what it is.
        label: Column whose values are counted, if any.

    Raises:
        BadInput: DuckDB cannot read the file.
    """
    import duckdb  # noqa: PLC0415 - a quarter of a second, only for large files

    tables = " UNION ALL BY NAME ".join(_table(part, columns) for part in source.parts)
    texts = [f"CAST({_name(column)} AS VARCHAR)" for column in used or columns]
    length = " + ".join(f"coalesce(length({text}), 0)" for text in texts)
    with tempfile.TemporaryDirectory(prefix="luthier-scan-") as spill, connect(spill) as db:
        try:
            row = db.execute(
                "SELECT count(*), count(DISTINCT h), max(n), sum(n),"
                f" histogram(CASE WHEN n < {_EXACT} THEN n ELSE n - n % 1024 END), histogram(l)"
                f" FROM (SELECT hash({', '.join(texts)}) AS h, CAST({length} AS INTEGER) AS n,"
                f" {f'CAST({_name(label)} AS VARCHAR)' if label else 'NULL'} AS l"
                f" FROM ({tables}))"
            ).fetchone()
        except duckdb.Error as error:
            said = str(error).splitlines()[0][:160]
            raise BadInput(
                f"{shown(source.path)} cannot be scanned: {said}.",
                hint="Check that all its rows have the same form.",
            ) from error
    assert row is not None
    total, distinct, longest, characters, lengths, labels = row
    p50, p95, p99 = (_quantile(lengths or {}, total, share) for share in (0.5, 0.95, 0.99))
    return Facts(
        rows=total,
        columns=tuple(columns),
        duplicates=total - distinct,
        p50=p50,
        p95=p95,
        p99=p99,
        longest=longest or 0,
        characters=int(characters or 0),
        labels=_by_count(labels or {}),
    )


def _by_count(labels: AnyMapping[str, int]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for label, count in labels.items():
        if label.strip():
            counts[label.strip()] += count
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:1000])


def _quantile(lengths: AnyMapping[int, int], total: int, share: float) -> int:
    """Return the smallest length that at least this share of the rows does not exceed."""
    seen = 0
    for length in sorted(lengths):
        seen += lengths[length]
        if seen >= share * total:
            return length
    return 0


def connect(spill: str) -> Any:
    """Open an in-memory DuckDB that fetches nothing and keeps to its memory.

    Args:
        spill: Folder for what does not fit the memory, such as the digests of very many rows.
    """
    import duckdb  # noqa: PLC0415 - as above

    db = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": MEMORY,
            "temp_directory": spill,
            "threads": 2,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "false",
        },
    )
    db.execute("SET enable_progress_bar = false")  # it would write into what `--json` prints
    return db


def _table(part: Part, columns: Sequence[str]) -> str:
    path = _quoted(str(part.path))
    if part.kind == "parquet":
        return f"SELECT * FROM read_parquet({path})"
    typed = ", ".join(f"{_quoted(column)}: 'VARCHAR'" for column in columns)
    if part.kind == "jsonl":
        return (
            f"SELECT * FROM read_json({path}, format = 'newline_delimited', columns = {{{typed}}},"
            f" ignore_errors = true, maximum_object_size = {LIMITS.row_bytes})"
        )
    dialect = part.dialect
    assert dialect is not None
    quote = "'\"'" if dialect.quoting else "''"
    return (
        f"SELECT * FROM read_csv({path}, delim = {_quoted(dialect.delimiter)}, quote = {quote},"
        f" escape = {quote}, header = {str(dialect.header).lower()}, auto_detect = false,"
        f" columns = {{{typed}}}, ignore_errors = true, null_padding = false,"
        f" max_line_size = {LIMITS.row_bytes})"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(column: str | None) -> str:
    return '"' + (column or "").replace('"', '""') + '"'
