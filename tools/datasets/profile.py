"""What the columns of a sample hold: the evidence that recognition works on."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tools.datasets.row import Row

_NUMBER = re.compile(r"^[+-]?\d+([.,]\d+)*%?$")
_URL = re.compile(r"^(https?://|www\.)\S+$")
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}|^\d{1,2}[./]\d{1,2}[./]\d{2,4}")
_PLAIN_LISTS = frozenset({"list of text", "list of number"})


@dataclass(frozen=True)
class Column:
    """One column, measured on the sample.

    Attributes:
        shape: What most filled values are; `uniform` the share of them that are so.
        filled: Share of rows with a value that is not blank.
        distinct: Number of different values; `repeated` the share of rows whose value occurs
            more than once.
        words: Mean number of words per value; `characters` the mean length.
        counts: Commonest values (as text) with their counts, at most 200.
        keys: For dicts and lists of dicts: the keys of most of them.
        sizes: For lists of texts or numbers, also written as text: how many items each has;
            `items` the number of different ones.
    """

    name: str
    shape: str
    uniform: float
    filled: float
    values: int
    distinct: int
    repeated: float
    words: float
    characters: float
    longest: int
    numeric: float
    opaque: float
    counts: dict[str, int]
    keys: frozenset[str]
    sizes: tuple[int, ...] = ()
    items: int = 0

    @property
    def lower(self) -> str:
        """The name, for comparing."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_")

    @property
    def is_text(self) -> bool:
        """True for values that read as language: mostly several words."""
        return self.shape == "text" and self.numeric < 0.5 and self.opaque < 0.5

    @property
    def looks_like_labels(self) -> bool:
        """True where few short values stand for many rows."""
        if self.shape not in ("text", "number", "bool") or self.values < 2 or self.distinct < 2:
            return False
        if self.longest > 80 or self.words > 6:
            return False
        if self.values < 12:
            return self.words <= 2 and self.distinct < self.values and not self._counts_up
        return (
            self.distinct <= max(3, self.values // 4)
            and self.distinct <= 400
            and self.repeated > 0.8
        )

    @property
    def _counts_up(self) -> bool:
        return self.numeric > 0.9 and self.distinct == self.values

    @property
    def looks_like_id(self) -> bool:
        """True for row numbers, keys and hashes."""
        if self.shape == "number" or self.numeric > 0.95:
            return self.distinct == self.values and self.values > 2
        return self.shape == "text" and self.opaque > 0.9 and self.distinct > 0.95 * self.values


def profile(rows: Sequence[Row]) -> dict[str, Column]:
    """Measure every column of a sample of rows, in order of first appearance."""
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    return {name: _column(name, [row.get(name) for row in rows]) for name in names}


def _column(name: str, values: Sequence[Any]) -> Column:
    filled = [decoded(value) for value in values if not is_blank(value)]
    shapes = Counter(_shape(value) for value in filled)
    shape = shapes.most_common(1)[0][0] if shapes else "empty"
    texts = [value if isinstance(value, str) else text_of(value) for value in filled]
    short = [text.strip()[:400] for text in texts]
    counts = Counter(short)
    lists = _plain_lists(filled, shape)
    total = len(filled) or 1
    repeated = sum(count for count in counts.values() if count > 1)
    return Column(
        name=name,
        shape=shape,
        uniform=shapes[shape] / (len(filled) or 1),
        filled=len(filled) / (len(values) or 1),
        values=len(filled),
        distinct=len(counts),
        repeated=repeated / total,
        words=sum(_words(text) for text in texts) / total,
        characters=sum(map(len, texts)) / total,
        longest=max(map(len, texts), default=0),
        numeric=sum(bool(_NUMBER.match(text)) for text in short) / total,
        opaque=sum(_is_opaque(text) for text in short) / total,
        counts=dict(counts.most_common(200)),
        keys=_keys(filled),
        sizes=tuple(map(len, lists)),
        items=len({str(item) for value in lists for item in value}),
    )


def _plain_lists(values: Sequence[Any], shape: str) -> list[list[Any]]:
    """Return the lists of words or numbers in a column, also those written as text."""
    if shape in _PLAIN_LISTS:
        return [value for value in values if isinstance(value, list)]
    if shape != "text" or not all(isinstance(v, str) and v[:1] == "[" for v in values[:20]):
        return []
    read = [plain_list(value) for value in values if isinstance(value, str)]
    lists = [value for value in read if value is not None]
    return lists if len(lists) > 0.9 * len(values) else []


def is_blank(value: Any) -> bool:
    """True for nothing: None, NaN, white space, an empty list or object."""
    if value is None or value == [] or value == {}:
        return True
    if isinstance(value, float):
        return value != value
    return isinstance(value, str) and not value.strip()


def decoded(value: Any) -> Any:
    """Return a list or object that was stored as JSON text as what it is."""
    if not isinstance(value, str) or value[:1] not in ("[", "{") or len(value) > 1_000_000:
        return value
    try:
        inner = json.loads(value)
    except (ValueError, RecursionError):
        inner = _python_list(value)
    if isinstance(inner, list) and inner and isinstance(inner[0], dict):
        return inner if MESSAGE_KEYS & inner[0].keys() else value
    return value


def plain_list(value: str) -> list[Any] | None:
    """Return a list that was written as text; None where it is none.

    Knows JSON (`["a", "b"]`), Python (`['a', 'b']`) and NumPy (`['a' 'b']`, `[0 1]`).
    """
    text = value.strip()
    if not (text.startswith("[") and text.endswith("]")) or len(text) > 200_000:
        return None
    if "," not in text:
        if re.fullmatch(r"\[[\d\s]+\]", text):
            return [int(number) for number in text[1:-1].split()]
        if re.fullmatch(r"\[(?:\s*(?:'[^']*'|\"[^\"]*\"))+\s*\]", text):
            return [word[1:-1] for word in re.findall(r"'[^']*'|\"[^\"]*\"", text)]
    for read in (json.loads, ast.literal_eval):
        try:
            inner = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return inner if isinstance(inner, list) else None
    return None


def _python_list(value: str) -> Any:
    """Read `[{'role': …}]`, as pandas writes lists into CSV: literals only, nothing is run."""
    if not value.startswith("[{'") or len(value) > 200_000:
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return value


MESSAGE_KEYS = frozenset({"role", "from", "content", "value"})


def text_of(value: Any) -> str:
    """Return a value as text for a prompt: whole floats as in the file, booleans in words."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError, TypeError):
        return str(value)


def _shape(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list | tuple):
        first = next((item for item in value if item is not None), None)
        return f"list of {_shape(first)}" if not isinstance(first, list) else "list of list"
    return "other"


def _words(text: str) -> int:
    words = len(text.split())
    dense = sum(1 for c in text[:2000] if "\u3040" <= c <= "\u9fff" or "\u0e00" <= c <= "\u0e7f")
    return max(words, dense // 2)


def _is_opaque(text: str) -> bool:
    if _URL.match(text) or _DATE.match(text):
        return True
    if not text.isascii():
        return False  # a sentence in a script without spaces may hold digits
    return " " not in text and any(c.isdigit() for c in text) and len(text) >= 4


def _keys(values: Sequence[Any]) -> frozenset[str]:
    """Return keys that half of the values fill: of the object, or any of a list's first eight."""
    objects = 0
    seen: Counter[str] = Counter()
    for value in values:
        items = value[:8] if isinstance(value, list) else [value]
        found = [item for item in items if isinstance(item, dict)]
        objects += bool(found)
        seen.update({str(k) for item in found for k, inner in item.items() if not is_blank(inner)})
    return frozenset(key for key, count in seen.items() if count >= objects / 2)
