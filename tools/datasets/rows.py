"""Readers: from one file to numbered rows, streaming, whatever is broken counted on the way."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tools.datasets.detect import Opened, codec_of, open_bytes, shown
from tools.datasets.dialect import Dialect, column_names
from tools.datasets.limits import LIMITS, MIB, too_long_row
from tools.datasets.problems import EXAMPLES, Problem, problem
from tools.errors import BadInput

Row = dict[str, Any]
_DECODER = json.JSONDecoder()


@dataclass
class ReadLog:
    """What a reader met on its way."""

    broken: list[int] = field(default_factory=list)
    broken_count: int = 0
    reason: str = ""

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


def read_rows(opened: Opened, dialect: Dialect, log: ReadLog) -> Iterator[Row]:
    """Yield the rows of a text file as dictionaries, in order."""
    if dialect.kind == "csv":
        return _csv_rows(opened, dialect, log)
    if dialect.kind == "jsonl":
        return _json_lines(opened, log)
    if dialect.kind == "json":
        return _json_document(opened, log)
    if dialect.kind == "conll":
        return _conllu_rows(opened) if dialect.note == "conllu" else _conll_rows(opened)
    if dialect.note == "labelled":
        return _labelled_rows(opened)
    return _text_rows(opened)


def _lines(opened: Opened) -> Iterator[str]:
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


def _text_rows(opened: Opened) -> Iterator[Row]:
    for number, line in enumerate(_lines(opened)):
        yield {"text": line.lstrip("\ufeff") if number == 0 else line}


def _csv_rows(opened: Opened, dialect: Dialect, log: ReadLog) -> Iterator[Row]:
    codec, handler = codec_of(opened.encoding)
    names = dialect.names
    style: Literal[0, 3] = csv.QUOTE_MINIMAL if dialect.quoting else csv.QUOTE_NONE
    with open_bytes(opened.path, opened.packing) as stream:
        text = io.TextIOWrapper(stream, encoding=codec, errors=handler, newline="")
        reader = csv.reader(
            _unmarked(text, shown(opened.path)), delimiter=dialect.delimiter, quoting=style
        )
        number, seen_header = 0, not dialect.header
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                log.note(number, f"delimited columns: {error}")
                number += 1
                continue
            if not any(cell.strip() for cell in cells):
                continue
            if not seen_header:
                seen_header = True
                continue
            surplus = cells[len(names) :]
            if any(cell.strip() for cell in surplus):
                log.note(number, "more cells than columns, often an unquoted delimiter")
            else:
                row: Row = dict.fromkeys(names)
                row.update(zip(names, cells, strict=False))
                row[NUMBER] = number
                yield row
            number += 1


NUMBER = "\x00row"
"""Key under which a reader may leave a row's own number, where rows before it were left out."""


def _unmarked(text: io.TextIOWrapper, name: str) -> Iterator[str]:
    first = True
    while line := text.readline(LIMITS.row_bytes):
        if len(line) >= LIMITS.row_bytes:
            raise too_long_row(name, LIMITS.row_bytes)
        yield line.lstrip("\ufeff") if first else line
        first = False


def _json_lines(opened: Opened, log: ReadLog) -> Iterator[Row]:
    number = 0
    for line in _lines(opened):
        stripped = line.strip().lstrip("\ufeff").rstrip(",")
        if not stripped or stripped in ("[", "]"):
            continue
        try:
            value = json.loads(stripped)
        except (ValueError, RecursionError):
            log.note(number, "not valid JSON")
            number += 1
            continue
        row = as_row(sound(value) if _LONE.search(stripped) else value)
        row[NUMBER] = number
        yield row
        number += 1


_LONE = re.compile(r"\\u[dD][89abAB]")


def sound(value: Any) -> Any:
    """Return a JSON value with lone halves of character pairs replaced; nothing can encode them."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if _HALF.search(value) else value
    if isinstance(value, dict):
        return {sound(key): sound(item) for key, item in value.items()}
    if isinstance(value, list):
        return [sound(item) for item in value]
    return value


_HALF = re.compile("[\ud800-\udfff]")


def as_row(value: Any) -> Row:
    """Return a JSON value as a row; what is no object stands under `value`."""
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    return {"value": value}


def _json_document(opened: Opened, log: ReadLog) -> Iterator[Row]:
    """Rows of a `.json` file: a list, objects one after another, or one nested object."""
    if opened.head.lstrip().startswith("["):
        yield from _json_list(opened, log)
        return
    text = _whole_text(opened)
    values = _json_values(text, log)
    if len(values) == 1 and isinstance(values[0], dict):
        yield from unfold(values[0])
        return
    for value in values:
        yield as_row(value)


def _whole_text(opened: Opened) -> str:
    codec, handler = codec_of(opened.encoding)
    with open_bytes(opened.path, opened.packing) as stream:
        raw = stream.read(LIMITS.document_bytes + 1)
    if len(raw) > LIMITS.document_bytes:
        raise BadInput(
            f"{shown(opened.path)} is one nested JSON document of more than "
            f"{LIMITS.document_bytes // MIB} MiB.",
            hint="Save it as JSON Lines, one row per line; that is read at any size.",
        )
    return raw.decode(codec, handler).lstrip("\ufeff")


def _json_values(text: str, log: ReadLog) -> list[Any]:
    values: list[Any] = []
    lone = bool(_LONE.search(text))
    at = 0
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if at >= len(text):
            return values
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            log.note(len(values), "the JSON breaks off or is not valid from here on")
            return values
        values.append(sound(value) if lone else value)


def unfold(document: dict[str, Any]) -> Iterator[Row]:
    """Yield the rows inside one nested object.

    Knows SQuAD (`data` → `paragraphs` → `qas`), one list of objects under any key, lists per
    split, columns as equally long lists, and pandas' `{column: {index: value}}`.
    """
    data = document.get("data")
    if isinstance(data, list) and any(isinstance(a, dict) and "paragraphs" in a for a in data):
        yield from _squad(data)
        return
    only = next(iter(document.values())) if len(document) == 1 else None
    if isinstance(only, dict) and any(isinstance(value, list) for value in only.values()):
        yield from unfold(only)
        return
    lists = {key: value for key, value in document.items() if isinstance(value, list)}
    tables = {
        key: value
        for key, value in lists.items()
        if value and sum(isinstance(item, dict) for item in value) > 0.9 * len(value)
    }
    if tables and not {"messages", "conversations", "conversation"} & tables.keys():
        splits = {k: v for k, v in tables.items() if k.lower() in SPLIT_NAMES}
        chosen = splits or dict([max(tables.items(), key=lambda item: len(item[1]))])
        for key, items in chosen.items():
            for item in _expanded(items):
                yield {**as_row(item), **({SPLIT: SPLIT_NAMES[key.lower()]} if splits else {})}
        return
    if len(lists) >= 2 and len({len(value) for value in lists.values()}) == 1 and not tables:
        for cells in zip(*lists.values(), strict=True):
            yield dict(zip(lists, cells, strict=True))
        return
    columns = {k: v for k, v in document.items() if isinstance(v, dict)}
    if len(columns) >= 2 and len(columns) == len(document):
        index = list(next(iter(columns.values())))
        if index and all(list(column) == index for column in columns.values()):
            for key in index:
                yield {name: column[key] for name, column in columns.items()}
            return
    yield as_row(document)


def _expanded(items: list[Any]) -> Iterator[Any]:
    """Yield items; intents with several patterns (`tag`, `patterns`) become a row per pattern."""
    for item in items:
        patterns = item.get("patterns") if isinstance(item, dict) else None
        if isinstance(patterns, list) and "tag" in item:
            yield from ({"text": pattern, "intent": item["tag"]} for pattern in patterns)
        else:
            yield item


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
    "testing": "test",
    "heldout": "test",
}


def _squad(articles: list[Any]) -> Iterator[Row]:
    for article in articles:
        if not isinstance(article, dict):
            continue
        for paragraph in article.get("paragraphs") or []:
            if not isinstance(paragraph, dict):
                continue
            for qa in paragraph.get("qas") or []:
                if isinstance(qa, dict):
                    yield {"context": paragraph.get("context"), **qa}


def _json_list(opened: Opened, log: ReadLog) -> Iterator[Row]:
    """Yield the elements of one JSON list without holding more than a few of them."""
    codec, handler = codec_of(opened.encoding)
    with open_bytes(opened.path, opened.packing) as stream:
        text = io.TextIOWrapper(stream, encoding=codec, errors=handler, newline=None)
        buffer = text.read(MIB).lstrip("\ufeff \t\r\n")
        number, at, done = 0, 1, False
        while True:
            at = _skip(buffer, at)
            if buffer.startswith("]", at):
                return
            value, end = _next_value(buffer, at, done)
            if end > at:
                lone = _LONE.search(buffer, at, end)
                yield {**as_row(sound(value) if lone else value), NUMBER: number}
                number, at = number + 1, end
                continue
            if done:
                log.note(number, "the JSON breaks off or is not valid from here on")
                return
            if len(buffer) - at > LIMITS.row_bytes:
                raise too_long_row(shown(opened.path), LIMITS.row_bytes)
            more = text.read(max(MIB, len(buffer) - at))
            done = not more
            buffer, at = buffer[at:] + more, 0


def _skip(buffer: str, at: int) -> int:
    while at < len(buffer) and buffer[at] in " \t\r\n,":
        at += 1
    return at


def _next_value(buffer: str, at: int, done: bool) -> tuple[Any, int]:
    """Return the first complete value and where it ends; `at` itself where text is missing."""
    if at >= len(buffer):
        return None, at
    try:
        value, end = _DECODER.raw_decode(buffer, at)
    except (ValueError, RecursionError):
        return None, at
    if end == len(buffer) and not done:
        return None, at  # a number may go on in the next piece
    return value, end


def _conll_rows(opened: Opened) -> Iterator[Row]:
    """Yield one sentence per row; blank lines part sentences."""
    tokens: list[str] = []
    tags: list[str] = []
    for line in _lines(opened):
        fields = line.split()
        if not fields or line.startswith("-DOCSTART-"):
            if tokens:
                yield {"tokens": tokens, "tags": tags}
            tokens, tags = [], []
        elif len(fields) >= 2 and not (line.startswith("# ") and not tokens):
            tokens.append(fields[0])
            tags.append(fields[-1])
        elif len(tokens) > 100_000:
            raise too_long_row(shown(opened.path), LIMITS.row_bytes)
    if tokens:
        yield {"tokens": tokens, "tags": tags}


def _conllu_rows(opened: Opened) -> Iterator[Row]:
    """Yield one sentence per row with its parts of speech."""
    tokens: list[str] = []
    tags: list[str] = []
    for line in _lines(opened):
        fields = line.split("\t")
        if len(fields) == 10 and fields[0].isdigit():
            tokens.append(fields[1])
            tags.append(fields[3])
        elif not line.strip() and tokens:
            yield {"tokens": tokens, "tags": tags}
            tokens, tags = [], []
    if tokens:
        yield {"tokens": tokens, "tags": tags}


def _labelled_rows(opened: Opened) -> Iterator[Row]:
    """Yield fastText's lines; of several labels the first counts."""
    for line in _lines(opened):
        if not line.strip():
            continue
        words = line.split()
        labels = [word for word in words if word.startswith("__label__")]
        text = " ".join(word for word in words if not word.startswith("__label__"))
        yield {"label": labels[0].removeprefix("__label__") if labels else None, "text": text}


def arrow_rows(path: Path, magic: str) -> Iterator[Row]:
    """Yield the rows of a Parquet or Arrow file, a batch in memory at a time.

    Raises:
        BadInput: The file is damaged or encrypted.
    """
    import pyarrow as pa  # noqa: PLC0415 - a quarter of a second, only for these files

    try:
        for batch in _batches(path, magic):
            yield from batch.to_pylist()
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
