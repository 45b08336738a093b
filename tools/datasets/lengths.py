"""Token lengths of rows under a model's tokenizer and template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from tools.datasets.example import Example
from tools.datasets.gather import Gathered
from tools.datasets.problems import Problem, problem
from tools.datasets.templates import ModelText
from tools.errors import BadInput

CANDIDATE_LENGTHS = (128, 256, 512, 1024, 2048, 4096)
_COUNTED, _COUNTED_CHARACTERS = 1000, 500_000
"""Rows and characters that are tokenized; the rest is scaled from them."""
_CHARACTERS_PER_TOKEN = 4.0
"""For English under large vocabularies; only where no tokenizer is at hand, and said so."""


_BINS = 20


class LengthBin(BaseModel):
    """Rows of `low` to below `high` tokens; the last bin holds all longer ones too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int
    high: int
    rows: int


class TokenLengths(BaseModel):
    """Tokens per row, as the model reads it: template, question and answer.

    Attributes:
        basis: Which tokenizer counted; without one an estimate from characters.
        sampled: Rows that were counted.
        cut: Length → share of rows that would be cut at it.
        per_epoch: Estimated tokens in one pass over all rows.
        histogram: All usable rows by length; beyond the counted ones by their characters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    p50: int
    p95: int
    p99: int
    max: int
    basis: str
    sampled: int
    cut: dict[str, float]
    per_epoch: int
    histogram: tuple[LengthBin, ...] = Field(default=(), exclude=True)


def token_lengths(model: ModelText | None, found: Gathered) -> TokenLengths | None:
    """Return percentiles of tokens per row from an even sample of the kept rows."""
    if not found.kept:
        return None
    characters = sum(e.characters for _, e in found.kept)
    step = max(1, len(found.kept) // _COUNTED, -(-characters // _COUNTED_CHARACTERS))
    sample = [example for _, example in found.kept[::step]]
    counts = sorted(_count(model, sample))
    seen = sum(e.characters for e in sample)
    overhead = _overhead(model, sample, counts)
    per_character = max(sum(counts) - overhead * len(counts), 1) / max(seen, 1)
    longest = max(counts[-1], round(max(found.lengths) * per_character + overhead))
    return TokenLengths(
        p50=_at(counts, 0.5),
        p95=_at(counts, 0.95),
        p99=_at(counts, 0.99),
        max=longest,
        basis=f"tokenizer of {model.name}" if model else "characters / 4, an estimate",
        sampled=len(counts),
        cut={
            str(length): round(sum(c > length for c in counts) / len(counts), 4)
            for length in CANDIDATE_LENGTHS
        },
        per_epoch=round(sum(found.lengths) * per_character + overhead * len(found.lengths)),
        histogram=_histogram(
            counts
            if len(counts) == len(found.lengths)
            else sorted(round(n * per_character + overhead) for n in found.lengths)
        ),
    )


def _histogram(ordered: Sequence[int]) -> tuple[LengthBin, ...]:
    """Return rows by length, in steps of 1, 2 or 5 times a power of ten up to the 99th percentile.

    What is longer shares the last bin, so that one outlier does not flatten all the rest.
    """
    width = _step(max(_at(ordered, 0.99), 1) / (_BINS - 1))
    last = _at(ordered, 0.99) // width
    rows = Counter(min(count // width, last) for count in ordered)
    first = min(rows)
    return tuple(
        LengthBin(
            low=number * width,
            high=max((number + 1) * width, ordered[-1] + 1 if number == last else 0),
            rows=rows[number],
        )
        for number in range(first, last + 1)
    )


def _step(least: float) -> int:
    scale = 1
    while True:
        for factor in (1, 2, 5):
            if factor * scale >= least:
                return factor * scale
        scale *= 10


def _count(model: ModelText | None, sample: Sequence[Example]) -> list[int]:
    if model is None:
        return [max(1, round(e.characters / _CHARACTERS_PER_TOKEN)) for e in sample]
    texts = [_rendered(model, example) for example in sample]
    encoded = model.tokenizer.encode_batch(texts, add_special_tokens=False)
    return [len(item.ids) for item in encoded]


def _rendered(model: ModelText, example: Example) -> str:
    if example.tokens is not None:
        return example.asked
    messages = example.messages or [*(example.prompt or []), *(example.completion or [])]
    if not messages:
        return example.text or example.answer
    try:
        return model.render(messages)
    except BadInput:
        return f"{example.asked}\n{example.answer}"  # the lens tells that the template refuses it


def _overhead(model: ModelText | None, sample: Sequence[Example], counts: Sequence[int]) -> float:
    """Return the tokens per row that the template adds."""
    if model is None or not sample or sample[0].text is not None:
        return 0.0
    bare = model.tokenizer.encode_batch(
        [f"{e.asked}{e.answer}" for e in sample[:100]], add_special_tokens=False
    )
    whole = sum(_count(model, sample[:100]))
    return max(0.0, (whole - sum(len(item.ids) for item in bare)) / min(len(counts), 100))


def _at(ordered: Sequence[int], share: float) -> int:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def truncation(
    model: ModelText | None, lengths: TokenLengths | None, found: Gathered
) -> list[Problem]:
    """Return the problem of rows that are longer than the model can read."""
    if model is None or model.context is None or lengths is None or lengths.max <= model.context:
        return []
    per_character = lengths.per_epoch / max(sum(found.lengths), 1)
    rows = [
        number
        for number, length in zip(found.numbers, found.lengths, strict=True)
        if length * per_character > model.context
    ]
    if not rows:
        return []
    return [
        problem(
            "truncation",
            "warning",
            f"{len(rows):,} rows are longer than the {model.context:,} tokens that {model.name} "
            "reads; their beginning would be cut.",
            "Shorten them, drop them with the fix `outlier_lengths`, or choose a model that reads "
            "more.",
            rows,
        )
    ]
