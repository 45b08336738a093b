"""Readers of binary tables: Parquet, Arrow and Excel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.datasets.detect import shown
from tools.datasets.dialect import column_names
from tools.datasets.limits import LIMITS
from tools.datasets.row import NUMBER, ReadLog, Row, Wanted, every
from tools.errors import BadInput


def arrow_rows(
    path: Path, magic: str, wanted: Wanted = every, log: ReadLog | None = None
) -> Iterator[Row]:
    """Yield the rows of a Parquet or Arrow file, a batch in memory at a time.

    Args:
        wanted: Tells which rows are turned into Python values; given with `log`.

    Raises:
        BadInput: The file is damaged or encrypted.
    """
    import pyarrow as pa  # noqa: PLC0415 - a quarter of a second, only for these files

    try:
        start = 0
        for batch in _batches(path, magic):
            chosen = [i for i in range(batch.num_rows) if wanted(start + i)]
            if len(chosen) == batch.num_rows:
                yield from batch.to_pylist()
            elif chosen:
                for at, row in zip(chosen, batch.take(pa.array(chosen)).to_pylist(), strict=True):
                    yield {**row, NUMBER: start + at}
            start += batch.num_rows
            if log:
                log.seen = start
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput(
            f"{shown(path)} is damaged: its {magic.split('_')[0].title()} data cannot be read.",
            hint="Write or download the file again.",
        ) from error


def arrow_label_names(path: Path, magic: str) -> dict[str, tuple[str, ...]]:
    """Return the names behind numbered labels, as `datasets` writes them into Parquet files."""
    if magic != "parquet":
        return {}
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        told = (pq.read_schema(path).metadata or {}).get(b"huggingface", b"{}")
        features = json.loads(told).get("info", {}).get("features", {})
    except (pa.ArrowException, OSError, ValueError, AttributeError):
        return {}
    names: dict[str, tuple[str, ...]] = {}
    for column, feature in features.items() if isinstance(features, dict) else ():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else {}
        if isinstance(inner, dict) and isinstance(inner.get("names"), list):
            names[str(column)] = tuple(map(str, inner["names"]))
    return names


def _batches(path: Path, magic: str) -> Iterator[Any]:
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.ipc as ipc  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    if magic == "parquet":
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=512)
        return
    with pa.memory_map(str(path)) as memory:
        if magic == "arrow":
            reader = ipc.open_file(memory)
            for index in range(reader.num_record_batches):
                yield from _sliced(reader.get_batch(index))
        else:
            for batch in ipc.open_stream(memory):
                yield from _sliced(batch)


def _sliced(batch: Any) -> Iterator[Any]:
    for start in range(0, batch.num_rows, 512):
        yield batch.slice(start, 512)


def excel_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of the fullest sheet of a workbook; the first row names the columns.

    Raises:
        BadInput: The workbook is damaged, or has no rows.
    """
    import openpyxl  # noqa: PLC0415 - a third of a second, only for Excel

    try:
        yield from _sheet_rows(openpyxl, path)
    except BadInput:
        raise
    except Exception as error:  # openpyxl raises a dozen kinds on damaged files
        raise BadInput(
            f"{shown(path)} is damaged: it cannot be read as an Excel workbook.",
            hint="Open and save it again, or export it as CSV.",
        ) from error


def _sheet_rows(openpyxl: Any, path: Path) -> Iterator[Row]:
    book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
    try:
        sheets = [s for s in book.worksheets if (s.max_row or 2) > 1]
        if not sheets:
            raise BadInput(f"{shown(path)} has no rows.", hint="Choose a file that holds rows.")
        sheet = max(sheets, key=lambda s: (s.max_row or 0) * (s.max_column or 0))
        names: tuple[str, ...] = ()
        cells_left = LIMITS.table_cells
        for cells in sheet.iter_rows(values_only=True):
            cells_left -= len(cells)
            if cells_left < 0:
                raise BadInput(
                    f"{shown(path)} has more than {LIMITS.table_cells:,} cells.",
                    hint="Export the sheet as CSV.",
                )
            filled = [c for c in cells if c is not None and str(c).strip()]
            if not filled:
                continue
            if not names:
                if len(filled) < 2 and len(cells) > 1:
                    continue  # a title above the table
                names = column_names(cells)
                continue
            yield {
                name: cell if isinstance(cell, str | None) else str(cell)
                for name, cell in zip(names, cells, strict=False)
            }
    finally:
        book.close()
