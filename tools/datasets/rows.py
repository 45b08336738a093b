"""Readers of text files: delimited columns, token and tag lines, plain lines; JSON elsewhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Literal

from tools.datasets.detect import Opened, open_bytes, shown
from tools.datasets.dialect import Dialect
from tools.datasets.encodings import codec_of
from tools.datasets.json_rows import json_document, json_lines
from tools.datasets.limits import LIMITS, too_long_row
from tools.datasets.row import NUMBER, ReadLog, Row, Wanted, every, lines_of


def read_rows(
    opened: Opened, dialect: Dialect, log: ReadLog, wanted: Wanted = every
) -> Iterator[Row]:
    """Yield the rows of a text file as dictionaries, in order.

    Args:
        wanted: Honoured by delimited columns and JSON lines, the forms that large files have.
    """
    if dialect.kind == "csv":
        return _csv_rows(opened, dialect, log, wanted)
    if dialect.kind == "jsonl":
        return json_lines(opened, log, wanted)
    if dialect.kind == "json":
        return json_document(opened, log)
    if dialect.kind == "conll":
        return _conllu_rows(opened) if dialect.note == "conllu" else _conll_rows(opened)
    if dialect.note == "labelled":
        return _labelled_rows(opened)
    return _text_rows(opened)


def _text_rows(opened: Opened) -> Iterator[Row]:
    for number, line in enumerate(lines_of(opened)):
        yield {"text": line.lstrip("\ufeff") if number == 0 else line}


def _csv_rows(
    opened: Opened, dialect: Dialect, log: ReadLog, wanted: Wanted = every
) -> Iterator[Row]:
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
            if not wanted(number):
                number += 1
                log.seen = number
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


def _unmarked(text: io.TextIOWrapper, name: str) -> Iterator[str]:
    first = True
    while line := text.readline(LIMITS.row_bytes):
        if len(line) >= LIMITS.row_bytes:
            raise too_long_row(name, LIMITS.row_bytes)
        yield line.lstrip("\ufeff") if first else line
        first = False


def _conll_rows(opened: Opened) -> Iterator[Row]:
    """Yield one sentence per row; blank lines part sentences."""
    tokens: list[str] = []
    tags: list[str] = []
    for line in lines_of(opened):
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
    for line in lines_of(opened):
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
    for line in lines_of(opened):
        if not line.strip():
            continue
        words = line.split()
        labels = [word for word in words if word.startswith("__label__")]
        text = " ".join(word for word in words if not word.startswith("__label__"))
        yield {"label": labels[0].removeprefix("__label__") if labels else None, "text": text}
