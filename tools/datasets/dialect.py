"""How a text file holds its rows: JSON, delimited columns, token/tag lines, or plain text."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tools.datasets.detect import Kind, Opened
from tools.datasets.limits import LIMITS
from tools.datasets.words import word_set

csv.field_size_limit(LIMITS.row_bytes)

_SAMPLE_LINES = 2000
_TAG = re.compile(r"^(?:O|[BIESLUM]-[\w.+/&'-]{1,60})$")
_NUMBER = re.compile(r"^[+-]?\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?%?$")
_DATE = re.compile(r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?$")
_NAME = re.compile(r"^[^\W\d][\w .:/()#?&-]{0,39}$")
KNOWN_NAMES = word_set(
    """answer answers article body category categories chosen class class_name comment completion
    content context conversation conversations description document emotion en english feedback
    highlights id idx index input instruction instructions intent intents label labels language
    message messages mood name output phrase polarity premise prompt question questions query
    rating rejected reply response review score sentence sentence1 sentence2 sentiment source
    split stars subject summary tag target text title token tokens tone topic translation tweet
    type url user utterance hypothesis date dialogue email"""
)
_SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|", ".ssv": ";"}


@dataclass(frozen=True)
class Dialect:
    """How to read a text file.

    Attributes:
        delimiter: For delimited columns.
        quoting: True where quotes wrap cells (RFC 4180), false where they are plain characters.
        header: True where the first row names the columns.
        names: Column names, from the header or made up (`column_1`, …).
        blanks: For token/tag lines: index of the token and of the tag among the fields.
    """

    kind: Kind
    delimiter: str = ","
    quoting: bool = True
    header: bool = True
    names: tuple[str, ...] = ()
    note: str = ""


def dialect_of(opened: Opened, suffix: str) -> Dialect:
    """Decide how a decoded text holds rows, by its content first and its name second."""
    head = opened.head
    found = _json_kind(head, opened.whole, suffix)
    if found:
        return Dialect(found)
    lines = head.split("\n")
    if not opened.whole:
        lines = lines[:-1] or lines
    if _is_conll(lines):
        return Dialect("conll")
    if _is_conllu(lines):
        return Dialect("conll", note="conllu")
    if _is_labelled(lines):
        return Dialect("text", names=("label", "text"), note="labelled")
    table = _table(head if opened.whole else "\n".join(lines), suffix)
    return table or Dialect("text", names=("text",))


def _json_kind(head: str, whole: bool, suffix: str) -> Kind | None:
    start = head.lstrip()
    if start[:1] not in ("[", "{"):
        return None
    first = start.split("\n", 1)[0].strip()
    rest = start[len(first) :].lstrip()
    value = _parsed(first)
    if isinstance(value, dict):
        if not rest:
            return "json" if suffix == ".json" else "jsonl"
        return "jsonl"
    if isinstance(value, list) and rest.startswith("["):
        return "jsonl"
    if value is not None or _looks_json(start):
        return "json" if not (suffix in (".jsonl", ".ndjson") and start[0] == "{") else "jsonl"
    return None


def _parsed(line: str) -> object | None:
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value


def _looks_json(start: str) -> bool:
    return bool(
        re.match(r'^\{\s*("|\})', start) or re.match(r'^\[\s*([\[{"\]\d-]|true|null)', start)
    )


def _is_conll(lines: Sequence[str]) -> bool:
    """True for lines `token … tag` in blank-line separated sentences."""
    filled = [
        line.split()
        for line in lines[:_SAMPLE_LINES]
        if line.strip() and not line.startswith(("# ", "-DOCSTART-"))
    ]
    if len(filled) < 4 or max(map(len, filled)) > 12:
        return False
    tagged = sum(1 for f in filled if len(f) >= 2 and _TAG.match(f[-1]))
    spans = any(f[-1] != "O" for f in filled if len(f) >= 2 and _TAG.match(f[-1]))
    return tagged >= 0.97 * len(filled) and spans


def _is_conllu(lines: Sequence[str]) -> bool:
    """True for Universal Dependencies: ten columns, numbered words, part of speech fourth."""
    filled = [x.split("\t") for x in lines[:_SAMPLE_LINES] if x.strip() and not x.startswith("#")]
    fitting = sum(len(f) == 10 and f[0][:1].isdigit() and f[3].isalpha() for f in filled)
    return len(filled) >= 4 and fitting >= 0.9 * len(filled)


def _is_labelled(lines: Sequence[str]) -> bool:
    """True for fastText's lines `__label__X words`."""
    filled = [line for line in lines[:_SAMPLE_LINES] if line.strip()]
    return bool(filled) and all(line.startswith("__label__") for line in filled)


def _table(text: str, suffix: str) -> Dialect | None:
    declared = _SUFFIXES.get(suffix)
    if declared:
        wrapped = _parse(text, declared, True)
        least = 0.8 * len(wrapped)
        quoted = text.count('\n"') > least and text.replace("\r", "").count('"\n') > least
        between = re.search(r'"[;\t|]"', text)
        if quoted and not between and all(len(row) == 1 for row in wrapped):
            return _one_column(text)
    best: tuple[float, str, bool, list[list[str]]] | None = None
    for delimiter in ("\t", ",", ";", "|", ":::") if not declared else ("\t", ",", ";", "|"):
        if len(delimiter) != 1 or delimiter not in text[:100_000]:
            continue
        for quoting in (True, False):
            rows = _parse(text, delimiter, quoting)
            score = _consistency(rows)
            if score and declared == delimiter and _starts_alike(rows):
                score += 0.05
            if score and not quoting and not _quotes_are_plain(text, delimiter, rows):
                score -= 0.04
            if score and (best is None or score > best[0]):
                best = (score, delimiter, quoting, rows)
    if (
        best
        and best[0] >= (0.6 if declared else 0.9)
        and (declared or _is_plausible(best[1], best[3], suffix))
    ):
        return _with_header(best[1], best[2], best[3])
    if declared:
        return _one_column(text)
    return None


def _parse(text: str, delimiter: str, quoting: bool, limit: int = _SAMPLE_LINES) -> list[list[str]]:
    style: Literal[0, 3] = csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=style)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
            if len(rows) >= limit:
                break
    except csv.Error:
        return rows
    return rows


def _consistency(rows: list[list[str]]) -> float:
    """Share of rows with the commonest number of cells, 0 where that is below two."""
    if not rows:
        return 0.0
    widths = Counter(len(row) for row in rows)
    width, count = widths.most_common(1)[0]
    if width < 2:
        return 0.0
    swallowed = sum(1 for row in rows if any(cell.count("\n") > 200 for cell in row))
    return count / len(rows) - swallowed / len(rows)


def _starts_alike(rows: list[list[str]]) -> bool:
    """True where the first row is as wide as most: commas inside sentences do not reach it."""
    return len(rows[0]) == Counter(len(row) for row in rows).most_common(1)[0][0]


def _quotes_are_plain(text: str, delimiter: str, rows: list[list[str]]) -> bool:
    """True where cells that begin with a quote mostly do not end with one."""
    opened = closed = 0
    for row in rows:
        for cell in row:
            if cell.startswith('"'):
                opened += 1
                closed += len(cell) > 1 and cell.endswith('"')
    return opened > 0 and closed < 0.7 * opened and f'"{delimiter}"' not in text


def _is_plausible(delimiter: str, rows: list[list[str]], suffix: str) -> bool:
    """Without a telling name, only accept columns that no prose would make."""
    if len(rows) < 2:
        return False
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    if delimiter == "\t":
        return True
    named = any(cell.strip().lower() in KNOWN_NAMES for cell in rows[0])
    return (named and len(rows[0]) == width) or (width == 2 and _ends_in_labels(rows))


def _ends_in_labels(rows: list[list[str]]) -> bool:
    """True where every row is a text and one of a few short words: `it rained all day;sadness`."""
    if len(rows) < 10 or any(len(row) != 2 for row in rows):
        return False
    words = Counter(row[1].strip() for row in rows)
    short = all(len(word) <= 30 and _NAME.match(word) for word in words)
    return short and 2 <= len(words) <= min(50, len(rows) // 4)


def _with_header(delimiter: str, quoting: bool, rows: list[list[str]]) -> Dialect:
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    header = _has_header(rows, width)
    cells = rows[0] if header else []
    names = column_names([*cells, *[""] * (max(width, len(cells)) - len(cells))])
    return Dialect("csv", delimiter, quoting, header, names)


def _one_column(text: str) -> Dialect:
    rows = _parse(text, ",", True)
    header = bool(rows) and (
        rows[0][0].strip().lower() in KNOWN_NAMES
        or (len(rows) > 1 and bool(_NAME.match(rows[0][0].strip())) and _longer_below(rows))
    )
    names = column_names([rows[0][0]]) if header else ("column_1",)
    return Dialect("csv", ",", True, header, names)


def _longer_below(rows: list[list[str]]) -> bool:
    below = [len(row[0]) for row in rows[1:] if row]
    return bool(below) and " " not in rows[0][0].strip() and sum(below) / len(below) > 20


def _has_header(rows: list[list[str]], width: int) -> bool:
    """Decide whether the first row names the columns."""
    first = [cell.strip() for cell in rows[0]]
    filled = [cell for cell in first if cell]
    if not filled or len(set(filled)) < len(filled) or len(first) < 2:
        return False
    if any(_NUMBER.match(cell) or _DATE.match(cell) for cell in filled):
        return False
    if any(len(cell) > 60 for cell in filled):
        return False
    if any(cell.lower() in KNOWN_NAMES for cell in filled):
        return True
    body = [row for row in rows[1:] if len(row) == width]
    if not body:
        return False
    evidence = 0
    for index, name in enumerate(first[:width]):
        if not name:
            continue
        values = [row[index].strip() for row in body]
        if name in values and len(set(values)) < max(3, len(values) // 2):
            return False
        numeric = sum(bool(_NUMBER.match(v)) for v in values) > 0.8 * len(values)
        long = sum(map(len, values)) / len(values) > max(20, 2 * len(name))
        evidence += (numeric or long) and bool(_NAME.match(name))
    return evidence > 0 and all(_NAME.match(cell) for cell in filled)


def column_names(cells: Sequence[object]) -> tuple[str, ...]:
    """Return usable, distinct column names; nameless columns are called `column_N`."""
    names: dict[str, None] = {}
    for number, cell in enumerate(cells, start=1):
        name = " ".join(str(cell if cell is not None else "").split())[:120] or f"column_{number}"
        base, copy = name, 2
        while name in names:
            name, copy = f"{base}_{copy}", copy + 1
        names[name] = None
    return tuple(names)
