"""One pass over a source: what every row becomes, kept as a few bytes per row."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tools.datasets.checks import RowChecks
from tools.datasets.example import Example
from tools.datasets.examples import builder
from tools.datasets.groups import bare, digest_of, without_numbers
from tools.datasets.limits import Deadline
from tools.datasets.mapping import Mapping
from tools.datasets.nearby import NearDuplicates
from tools.datasets.row import Row, Wanted, every
from tools.datasets.source import Source

PASSAGE_CHARACTERS = 1000
"""Lines of a plain text file are joined to passages of about this length."""
TEXTS_KEPT = 2000


@dataclass
class Gathered:
    """All usable rows of a source, by index; none of their text but a sample.

    Attributes:
        rows: Rows in the source, usable or not.
        numbers: Source row number of each usable row.
        keys: Digest of the whole example.
        same: Digest of its input, blind to case and marks; `asked` also blind to numbers.
        skipped: Reason → row numbers of rows that are no example.
        near: Finds rows whose inputs resemble each other.
        kept: An even sample of the examples, for previews and token counts.
        tags: Tag → words that have it; for judged answers verdict → rows.
        complete: False where the time was used up before the end.
    """

    rows: int = 0
    numbers: list[int] = field(default_factory=list)
    splits: list[str | None] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    same: list[bytes] = field(default_factory=list)
    passages: list[bytes] = field(default_factory=list)
    asked: list[bytes] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    answer_lengths: list[int] = field(default_factory=list)
    skipped: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    kept: list[tuple[int, Example]] = field(default_factory=list)
    split_rows: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    near: NearDuplicates = field(default_factory=NearDuplicates)
    complete: bool = True
    _keep_every: int = 1

    def add(self, number: int, split: str | None, example: Example) -> None:
        """Take in one usable row."""
        asked = example.gist or example.asked or example.answer
        self.numbers.append(number)
        self.splits.append(split)
        self.keys.append(example.key)
        reduced = bare(asked)
        numberless = without_numbers(reduced)
        self.same.append(digest_of(reduced or asked) + example.passage)
        self.passages.append(example.passage)
        self.asked.append(digest_of(numberless or asked))
        self.near.see(numberless)
        self.labels.append(example.label)
        self.tags.update(example.tags or ())
        if example.verdict is not None:
            self.tags["true" if example.verdict else "false"] += 1
        self.lengths.append(example.characters)
        self.answer_lengths.append(len(example.answer))
        self._keep(number, example)

    def _keep(self, number: int, example: Example) -> None:
        """Keep every n-th example; whenever there are too many, half of them go and n doubles."""
        if (len(self.numbers) - 1) % self._keep_every:
            return
        self.kept.append((number, example))
        if len(self.kept) >= 2 * TEXTS_KEPT:
            self.kept = self.kept[::2]
            self._keep_every *= 2

    def label_counts(self) -> dict[str, int]:
        """Return labels with their rows, commonest first."""
        counts = Counter(label for label in self.labels if label is not None) or self.tags
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def examples(
    source: Source,
    mapping: Mapping,
    cure: Callable[[Row], Row] | None = None,
    wanted: Wanted = every,
) -> Iterator[tuple[int, str | None, Row, Example | str]]:
    """Yield `(row number, split, row, example or why there is none)`.

    Args:
        cure: Applied to each row before it becomes an example; the row is yielded as it was.
        wanted: Tells by its number which row is read.
    """
    build = builder(mapping)

    def make(row: Row) -> Example | str:
        return build(cure(row) if cure else row)

    if source.kind == "text" and mapping.objective == "text":
        for number, split, text in _passages(source):
            row = {"text": text}
            yield number, split, row, make(row)
        return
    for number, split, row in source.rows(wanted):
        yield number, split, row, make(row)


def _passages(source: Source) -> Iterator[tuple[int, str | None, str]]:
    """Join lines to passages that end at a blank line once they are long enough."""
    lines: list[str] = []
    size, start, at_split = 0, 0, None
    for number, split, row in source.rows():
        line = str(row["text"])
        blank = not line.strip()
        full = size >= (PASSAGE_CHARACTERS if blank else 2 * PASSAGE_CHARACTERS)
        if lines and (full or split != at_split):
            yield start, at_split, "\n".join(lines)
            lines, size = [], 0
        if not lines:
            start, at_split = number, split
        if lines or not blank:
            lines.append(line)
            size += len(line) + 1
    if lines:
        yield start, at_split, "\n".join(lines)


def gather(
    source: Source,
    mapping: Mapping,
    deadline: Deadline | None = None,
    checks: RowChecks | None = None,
    cure: Callable[[Row], Row] | None = None,
    wanted: Wanted = every,
) -> Gathered:
    """Read all rows once, or those that are wanted.

    Args:
        deadline: Stop there and say so (`complete`).
        checks: Looks at every row on the way.
        cure: Applied to each row before it becomes an example.
        wanted: Tells by its number which row is read.
    """
    found = Gathered(complete=wanted is every)
    by_line = source.kind == "text" and mapping.objective == "text"
    rows = examples(source, mapping, cure, wanted)
    for read, (number, split, row, example) in enumerate(rows):
        if checks:
            checks.see(number, row, example)
        found.rows = number + 1
        found.split_rows[split or "train"] += 1
        if isinstance(example, str):
            found.skipped[example].append(number)
        else:
            found.add(number, split, example)
        if deadline and read % 256 == 0 and deadline.passed:
            found.complete = False
            break
    if by_line:
        found.rows = sum(1 for _ in source.rows()) if found.complete else found.rows
        if set(found.split_rows) == {"train"}:
            found.split_rows["train"] = found.rows
    return found
