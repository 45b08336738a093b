"""Cures that preparing can apply, each asked for by the name of the problem it cures."""

from __future__ import annotations

import html
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from tools.datasets import patterns
from tools.datasets.gather import Gathered
from tools.datasets.groups import plain
from tools.datasets.mapping import Mapping
from tools.datasets.outliers import outlier_indices
from tools.datasets.row import Row

DROPPED_WHERE_SEEN = frozenset(
    {"secrets", "instruction_text", "identical_pairs", "inconsistent_format"}
)
"""Fixes that drop the rows in which the checks of single rows saw the problem."""
_UNUSED = frozenset({"ignored", "id", "verdict", "tools"})
_BLOCK = re.compile(r"</?(?:p|br|div|li|tr|h[1-6])(?:\s[^<>]{0,300})?/?>", re.I)
_TAG = re.compile(rf"</?(?:{patterns.TAGS})(?:\s[^<>]{{0,300}})?/?>", re.I)
_MOJIBAKE_RUN = re.compile(r"[\u0080-\u00ff\u0152-\u0192\u02c6\u02dc\u2010-\u2122]{2,}")


class TextFixes:
    """Applies the chosen cures to the text of a row's used columns.

    Attributes:
        touched: Fix → rows whose text it changed.
    """

    def __init__(self, fixes: Iterable[str], mapping: Mapping) -> None:
        self._cures = {name: _CURES[name] for name in fixes if name in _CURES}
        self._columns = [n for n, role in mapping.columns.items() if role not in _UNUSED]
        self.touched: Counter[str] = Counter()

    def apply(self, row: Row) -> Row:
        """Return the row with its text cured; the row itself is not changed."""
        cured = dict(row)
        for name, cure in self._cures.items():
            changed = False
            for column in self._columns:
                value = cured.get(column)
                better = _deep(value, cure)
                if better != value:
                    cured[column] = better
                    changed = True
            self.touched[name] += changed
        return cured


def _deep(value: Any, cure: Callable[[str], str], depth: int = 0) -> Any:
    if isinstance(value, str):
        return cure(value)
    if isinstance(value, dict) and depth < 6:
        return {key: _deep(item, cure, depth + 1) for key, item in value.items()}
    if isinstance(value, list) and depth < 6:
        return [_deep(item, cure, depth + 1) for item in value]
    return value


def mask_personal(text: str) -> str:
    """Return text with e-mail addresses and numbers of people written as placeholders."""
    text = patterns.EMAIL.sub("(email)", text)
    text = patterns.CARD.sub(lambda m: "(number)" if patterns.luhn(m[0]) else m[0], text)
    text = patterns.IBAN.sub(lambda m: "(number)" if patterns.is_iban(m[0]) else m[0], text)
    return patterns.PHONE.sub("(phone)", patterns.SSN.sub("(number)", text))


def plain_from_html(text: str) -> str:
    """Return text without HTML tags and with its entities as characters; code is left alone."""
    if patterns.CODE.search(text) or not patterns.HTML.search(text):
        return text
    broken = _BLOCK.sub("\n", text)
    bare = html.unescape(_TAG.sub("", broken))
    return re.sub(r"\n{3,}", "\n\n", bare).strip()


def repair_encoding(text: str) -> str:
    """Return text in which UTF-8 that was read as cp1252 is read again, where that works."""
    if text.isascii() or not patterns.MOJIBAKE.search(text):
        return text
    return _MOJIBAKE_RUN.sub(_redecoded, text).replace("\ufffd", "")


def _redecoded(found: re.Match[str]) -> str:
    raw = bytearray()
    for character in found[0]:
        try:
            raw += character.encode("cp1252")
        except UnicodeEncodeError:
            if ord(character) > 255:
                return found[0]
            raw.append(ord(character))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return found[0]


def escape(text: str) -> str:
    """Return text without control tokens; most texts are returned as they are, at once."""
    return patterns.escape_control(text) if "<" in text or "[" in text else text


_CURES: dict[str, Callable[[str], str]] = {
    "broken_encoding": repair_encoding,
    "html_debris": plain_from_html,
    "personal_data": mask_personal,
    "control_tokens": escape,
}


def dropped(fix: str, found: Gathered, mapping: Mapping, flagged: dict[str, list[int]]) -> set[int]:
    """Return the indices of usable rows that a fix drops.

    Args:
        flagged: Code → source row numbers, from the checks of single rows.
    """
    if fix in DROPPED_WHERE_SEEN:
        numbers = set(flagged.get(fix, ()))
        return {i for i, number in enumerate(found.numbers) if number in numbers}
    if fix == "near_duplicates":
        return {later for _, later in found.near.pairs()}
    if fix == "outlier_lengths":
        return set(outlier_indices(found, mapping)[0])
    if fix == "contradictory_labels" and mapping.format == "classification":
        labels: dict[bytes, set[str | None]] = defaultdict(set)
        for key, label in zip(found.same, found.labels, strict=True):
            labels[key].add(label)
        return {i for i, key in enumerate(found.same) if len(labels[key]) > 1}
    return set()


def spelling(labels: dict[str, int]) -> dict[str, str]:
    """Return label → its commonest spelling, for labels that differ only in case and marks."""
    variants: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        reduced = plain(label)
        if reduced.replace("0", "").strip():
            digits = "".join(c for c in label if c.isdigit())
            variants[f"{reduced}|{digits}"].append(label)
    chosen: dict[str, str] = {}
    for names in variants.values():
        best = max(names, key=lambda name: (labels[name], name))
        chosen.update({name: best for name in names if name != best})
    return chosen
