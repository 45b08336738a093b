"""Parallel files: line N of one belongs to line N of the other."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.datasets.detect import Opened, look, shown
from tools.datasets.dialect import Dialect
from tools.datasets.row import ReadLog, Row
from tools.datasets.rows import read_rows
from tools.datasets.signs import language_of_name
from tools.errors import BadInput

_LABEL_WORDS = re.compile(
    r"(?:^|[._-])(labels?|lab|tags?|class(?:es)?|categor\w+|y|intents?)(?=[._-]|$)"
)
_TEXT_WORDS = re.compile(
    r"(?:^|[._-])(texts?|sents?|sentences?|reviews?|x|in|inputs?|utterances?)(?=[._-]|$)"
)
_TEXT_SUFFIXES = frozenset({".txt", ".text", ".label", ".labels", ".in", ".out", ".lab", ""})


def find_pairs(files: Sequence[Path]) -> list[tuple[Path, Path, str, str]]:
    """Return `(first, second, first column, second column)` for files that belong together.

    Knows text beside label files (`train.txt` and `train.labels`, `text.txt` and `labels.txt`)
    and one text in two languages (`train.en` and `train.de`).
    """
    found: list[tuple[Path, Path, str, str]] = []
    by_stem: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for file in files:
        by_stem[file.parent, _bare(file)].append(file)
    for group in by_stem.values():
        if len(group) != 2:
            continue
        one, two = sorted(group)
        languages = [language_of_name(file.suffix[1:]) for file in (one, two)]
        if languages[0] and languages[1] and languages[0] != languages[1]:
            found.append((one, two, languages[0], languages[1]))
        elif _is_label(two) != _is_label(one) and all(_plain(f) for f in group):
            text, label = (one, two) if _is_label(two) else (two, one)
            found.append((text, label, "text", "label"))
    return found


def _plain(file: Path) -> bool:
    return file.suffix.lower() in _TEXT_SUFFIXES


def _is_label(file: Path) -> bool:
    return bool(_LABEL_WORDS.search(file.name.lower()))


def _bare(file: Path) -> str:
    """Return a name without what tells text, labels and languages apart."""
    name = file.name.lower()
    if language_of_name(file.suffix[1:]):
        return file.stem.lower()
    name = name.removesuffix(".txt")
    return _TEXT_WORDS.sub("", _LABEL_WORDS.sub("", name)).strip("._-")


class PairedFiles:
    """Two text files read side by side.

    Raises:
        BadInput: On reading, where they do not have the same number of lines.
    """

    def __init__(self, first: Path, second: Path, names: tuple[str, str]) -> None:
        self.first, self.second, self.names = look(first), look(second), names

    def rows(self, log: ReadLog) -> Iterator[Row]:
        """Yield a row per pair of lines."""
        one, two = (_lines(opened, log) for opened in (self.first, self.second))
        while True:
            left, right = next(one, None), next(two, None)
            if left is None and right is None:
                return
            if left is None or right is None:
                raise BadInput(
                    f"{shown(self.first.path)} and {shown(self.second.path)} do not have the same "
                    "number of lines.",
                    hint="Line N of one must belong to line N of the other; check both files.",
                )
            yield {self.names[0]: left, self.names[1]: right}


def _lines(opened: Opened, log: ReadLog) -> Iterator[str]:
    for row in read_rows(opened, Dialect("text"), log):
        yield str(row["text"])
