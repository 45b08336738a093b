"""Readers of JSON: lines, lists of any length, and nested documents with rows inside."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

from tools.datasets.detect import Opened, open_bytes, shown
from tools.datasets.encodings import codec_of
from tools.datasets.limits import LIMITS, MIB, too_long_row
from tools.datasets.row import (
    NUMBER,
    SPLIT,
    SPLIT_NAMES,
    ReadLog,
    Row,
    Wanted,
    every,
    lines_of,
)
from tools.datasets.sampled import EvenSample, can_pass_over, sampled_lines
from tools.errors import BadInput

_DECODER = json.JSONDecoder()


def json_lines(opened: Opened, log: ReadLog, wanted: Wanted = every) -> Iterator[Row]:
    """Yield one row per line; empty lines and stray brackets are passed over."""
    if isinstance(wanted, EvenSample) and can_pass_over(opened):
        yield from _json_sample(opened, log, wanted)
        return
    number = 0
    for line in lines_of(opened):
        stripped = line.strip().lstrip("\ufeff").rstrip(",")
        if not stripped or stripped in ("[", "]"):
            continue
        if wanted(number):
            row = _json_row(stripped, number, log)
            if row is not None:
                yield row
        number += 1
        log.seen = number


def _json_sample(opened: Opened, log: ReadLog, wanted: EvenSample) -> Iterator[Row]:
    for number, line in sampled_lines(opened, wanted):
        if line is None:
            log.seen = number
        elif row := _json_row(line.strip().lstrip("\ufeff").rstrip(","), number, log):
            yield row


def _json_row(line: str, number: int, log: ReadLog) -> Row | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        log.note(number, "not valid JSON")
        return None
    return {**as_row(sound(value) if _LONE.search(line) else value), NUMBER: number}


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


def json_document(opened: Opened, log: ReadLog) -> Iterator[Row]:
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
