"""Writes the files of a case, and finds out afterwards whether anybody touched them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tools.errors import BadInput
from ui.suite.cases import Rows

Row = dict[str, Any] | str


def write_files(files: Mapping[str, str | Rows], place: Callable[[str], Path]) -> dict[Path, str]:
    """Write files and return path → digest.

    Args:
        files: Name as the case gives it → text, or rows.
        place: From that name to the path inside the sandbox.

    Raises:
        BadInput: Rows were given for an ending that is not known.
    """
    written: dict[Path, str] = {}
    for name, content in files.items():
        path = place(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Rows):
            path.write_bytes(rows_as_bytes(content.rows, path.suffix.lower(), name))
        else:
            path.write_bytes(content.encode())
        written[path] = digest_of(path)
    return written


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes; of nothing where it is gone."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "gone"


def rows_as_bytes(rows: list[Row], ending: str, name: str) -> bytes:
    """Return rows in the format of the ending: csv, tsv, jsonl, json, parquet, xlsx or txt."""
    if ending in {".csv", ".tsv"}:
        return _delimited(_as_objects(rows), "," if ending == ".csv" else "\t")
    if ending in {".jsonl", ".ndjson"}:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if ending == ".json":
        return json.dumps(rows, ensure_ascii=False, indent=1).encode()
    if ending == ".parquet":
        return _parquet(_as_objects(rows))
    if ending == ".xlsx":
        return _workbook(_as_objects(rows))
    if ending == ".txt":
        return "".join(_line(row) + "\n" for row in rows).encode()
    raise BadInput(
        f"Rows cannot be written to {name}.",
        hint="Use an ending of csv, tsv, jsonl, json, parquet, xlsx or txt.",
    )


def _as_objects(rows: list[Row]) -> list[dict[str, Any]]:
    return [row if isinstance(row, dict) else {"text": row} for row in rows]


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _delimited(rows: list[dict[str, Any]], delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _columns(rows), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue().encode()


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    # Both are heavy, and few cases need them.
    import pyarrow  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415

    table = pyarrow.table({name: [row.get(name) for row in rows] for name in _columns(rows)})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


def _workbook(rows: list[dict[str, Any]]) -> bytes:
    import openpyxl  # noqa: PLC0415 - heavy, and few cases need it

    workbook = openpyxl.Workbook()
    columns = _columns(rows)
    workbook.active.append(columns)
    for row in rows:
        workbook.active.append([_cell(row.get(name)) for name in columns])
    buffer = io.BytesIO()
    workbook.save(buffer)
    return buffer.getvalue()


def _line(row: Row) -> str:
    return row if isinstance(row, str) else "\t".join(str(_cell(value)) for value in row.values())
