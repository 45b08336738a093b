"""How long the rows of a prepared dataset are, in tokens of the chosen model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.advise.models import ModelInfo

_SAMPLE = 2_000
_COLUMNS = ("prompt", "completion", "chosen", "rejected", "messages", "text", "tokens")
PIECE_TOKENS = 2048
"""Length of the pieces that plain texts are parted into, where they are longer."""
_PER_MESSAGE = 6
"""Tokens that a chat template adds round one message, rounded up."""
_TEMPLATE_SHARE = 0.02
"""The end of the answer, which is trained as well, is not among its characters."""


@dataclass(frozen=True)
class Lengths:
    """Tokens a row: measured with the model's tokenizer where it is here, else from characters.

    Attributes:
        rows: Of each row looked at, its tokens and the share of them that is trained.
    """

    mean: float
    p95: int
    p99: int
    longest: int
    measured: bool
    rows: tuple[tuple[int, float], ...] = ()

    def answer_share(self, limit: int) -> float:
        """Return the share of a row of at most `limit` tokens that is trained, at the 95th
        percentile of the rows. A cut takes the start of the prompt, so the share grows with it.
        """
        if not self.rows:
            return 1.0
        shares = sorted(share * max(1.0, tokens / limit) for tokens, share in self.rows)
        return min(1.0, _TEMPLATE_SHARE + shares[round(0.95 * (len(shares) - 1))])

    def fill(self, batch: int, limit: int, rows: int) -> float:
        """Return how full the longest `batch` of so many rows is, packed: 1 where all are longest.

        Args:
            limit: Tokens that rows are cut at.
            rows: Rows there are; those looked at stand for all of them.
        """
        sizes = sorted((min(tokens, limit) for tokens, _ in self.rows), reverse=True)
        if not sizes:
            return 1.0
        longest = sizes[: max(1, round(batch * len(sizes) / max(rows, len(sizes))))]
        return sum(longest) / (len(longest) * max(1, longest[0]))

    def cut_share(self, limit: int) -> float:
        """Return roughly which share of the rows is longer than `limit`."""
        if limit >= self.longest:
            return 0.0
        if limit >= self.p99:
            return 0.01
        return 0.05 if limit >= self.p95 else 0.5


def measure_lengths(split: Path, model: ModelInfo) -> Lengths:
    """Measure up to 2,000 rows spread over a prepared split."""
    rows = list(_texts(split))
    counter = _counter(model)
    if counter:
        counts = [_PER_MESSAGE * len(row.texts) + counter(row.texts) for row in rows]
    else:
        each = characters_per_token(model.shape.vocab)
        counts = [_PER_MESSAGE * len(row.texts) + int(row.characters / each) + 1 for row in rows]
    shares = [row.answer / max(1, row.characters) for row in rows]
    return from_counts(counts or [1], measured=counter is not None, shares=shares)


def from_counts(counts: list[int], *, measured: bool, shares: Sequence[float] = ()) -> Lengths:
    """Summarise the tokens of each row, and which share of each is trained."""
    rows = tuple(zip(counts, shares, strict=True)) if shares else ()
    counts = sorted(counts)
    last = len(counts) - 1
    return Lengths(
        mean=sum(counts) / len(counts),
        p95=counts[round(0.95 * last)],
        p99=counts[round(0.99 * last)],
        longest=counts[last],
        measured=measured,
        rows=rows,
    )


def characters_per_token(vocabulary: int) -> float:
    """Return a cautious number of characters that one token stands for, in English."""
    for size, characters in ((300, 1.0), (1_000, 1.6), (8_000, 2.3), (60_000, 3.3)):
        if vocabulary <= size:
            return characters
    return 3.6


def choose_max_length(lengths: Lengths, context: int, *, splits: bool = False) -> int:
    """Return a length that cuts no row, or only rare outliers; a multiple of 32.

    Args:
        splits: Long rows are parted into pieces, as plain texts are: a usual length will do.
    """
    outliers = lengths.longest > max(512, 2 * lengths.p99)
    wanted = lengths.p99 if outliers else lengths.longest
    wanted = min(wanted, PIECE_TOKENS - 32) if splits else wanted
    return max(8, min(-(-int(wanted * 1.02 + 4) // 32) * 32, context))


@dataclass
class _Row:
    """The texts of one row, and how many characters of them are trained."""

    texts: list[str]
    answer: int

    @property
    def characters(self) -> int:
        return sum(map(len, self.texts))

    def longer(self, other: list[str]) -> None:
        """Take the other answer's texts instead where they are longer."""
        size = sum(map(len, other))
        if size > self.answer:
            self.texts = self.texts[: -len(other) or None] + other
            self.answer = size


def _texts(split: Path) -> Iterable[_Row]:
    import pyarrow.parquet as parquet  # noqa: PLC0415  slow import

    table = parquet.read_table(split)
    names = [name for name in _COLUMNS if name in table.column_names]
    stride = max(1, table.num_rows // _SAMPLE)
    columns = {name: table.column(name) for name in names}
    for index in range(0, table.num_rows, stride):
        row = _Row([], 0)
        for name, column in columns.items():
            value = column[index].as_py()
            texts = _contents(value)
            if name == "rejected":  # its own row of the batch, as long as the longer answer
                row.longer(texts)
                continue
            row.texts += texts
            row.answer += _trained(name, value, texts)
        yield row


def _trained(column: str, value: Any, texts: list[str]) -> int:
    """Characters of a column that the loss looks at."""
    if column == "prompt":
        return 0
    if column == "messages":
        return sum(len(str(m.get("content") or "")) for m in value if m["role"] == "assistant")
    return sum(map(len, texts))


def _contents(value: Any) -> list[str]:
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [" ".join(value)]
    if isinstance(value, list):
        return [str(message.get("content") or "") for message in value]
    return [str(value or "")]


def _counter(model: ModelInfo) -> Any:
    """Return a function that counts tokens of several texts, or None without a tokenizer file."""
    file = model.path / "tokenizer.json" if model.path else None
    if file is None or not file.is_file():
        return None
    from tokenizers import Tokenizer  # noqa: PLC0415  not needed for other models

    tokenizer = Tokenizer.from_file(str(file))

    def count(texts: list[str]) -> int:
        encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
        return sum(len(item.ids) for item in encoded)

    return count
