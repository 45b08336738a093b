"""What is remembered of the judged rows: short texts and what they can be sliced by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from sys import intern

import numpy as np
import numpy.typing as npt

from tools.datasets.languages import language_of_text
from tools.evaluate.compare import compare_rows, mean_estimate
from tools.evaluate.figures import Estimate
from tools.evaluate.judgement import SliceResult
from tools.evaluate.metrics import wilson
from tools.work.heldout import HeldOut, asked_of

Floats = npt.NDArray[np.float64]
SHOWN_CHARACTERS = 240
LEAST_IN_SLICE = 5
_MOST_SLICES = 12
_LENGTHS = ("short", "medium", "long")
_FEWEST_WORDS = 4
_SCORE_WORDS = 20
_UNSURE = "\0unsure"


@dataclass(frozen=True)
class Scores:
    """Per row: the primary measure of both models, and the units it counts in.

    Attributes:
        places: Which rows these are scores of; all of them where None.
        share: The scores are right or wrong, so that intervals are those of a share.
    """

    metric: str
    base: Floats
    tuned: Floats
    units: Floats | None = None
    places: npt.NDArray[np.int64] | None = None
    share: bool = False


@dataclass
class Facts:
    """Per row, in order: its label, its language, the length of what is asked, its slice."""

    labels: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    slices: list[str] = field(default_factory=list)


def facts_of(rows: HeldOut, *, slice_column: str | None, labelled: bool) -> Facts:
    """Read the rows once and keep what the figures need; equal texts are kept once."""
    facts = Facts()
    for row in rows.rows():
        asked = asked_of(row)
        facts.lengths.append(len(asked))
        facts.languages.append(intern(_language(asked)))
        if labelled:
            facts.labels.append(intern(str(row["label"])))
        if slice_column:
            facts.slices.append(intern(str(row.get(slice_column))))
    return facts


def each_slice(
    facts: Facts,
    scores: Scores,
    *,
    column: str | None,
    seed: int,
    yardstick: Sequence[str] | None = None,
) -> Iterator[SliceResult]:
    """Give the primary measure by the named column, by label, by length and by language."""
    kinds = [
        (column, facts.slices, 1),
        ("label", facts.labels, 1),
        ("length", _length_names(facts.lengths), LEAST_IN_SLICE),
        ("language", facts.languages, LEAST_IN_SLICE),
    ]
    places = np.arange(len(facts.lengths)) if scores.places is None else scores.places
    for number, (name, values, least) in enumerate(kinds):
        if not name or not values or (number and name == column):
            continue
        found = Counter(values[place] for place in places if values[place] != _UNSURE)
        chosen = [value for value, count in found.most_common(_MOST_SLICES) if count >= least]
        if len(found) < 2 and name != column:
            continue
        for value in chosen:
            here = np.array([values[place] == value for place in places])
            yield _slice(name, value, here, facts, scores, seed, yardstick)


def _slice(
    column: str,
    value: str,
    here: npt.NDArray[np.bool_],
    facts: Facts,
    scores: Scores,
    seed: int,
    yardstick: Sequence[str] | None,
) -> SliceResult:
    units = None if scores.units is None else scores.units[here]
    base, tuned = scores.base[here], scores.tuned[here]
    simple = None
    if yardstick is not None and scores.places is None:
        hits = np.array([s == e for s, e in zip(yardstick, facts.labels, strict=True)])[here]
        simple = wilson(int(hits.sum()), hits.size)
    return SliceResult(
        column=column,
        value=value,
        n=int(here.sum()),
        base=estimate_of(scores, base, units, seed),
        tuned=estimate_of(scores, tuned, units, seed),
        tfidf=simple,
        difference=compare_rows(scores.metric, base, tuned, seed=seed, weights=units),
    )


def estimate_of(scores: Scores, values: Floats, units: Floats | None, seed: int) -> Estimate:
    """Return the mean of a measure; a loss is the negative of its log-likelihood."""
    if scores.share:
        return wilson(int(values.sum()), values.size)
    if scores.metric == "loss":
        return mean_estimate(-values, seed=seed, weights=units)
    return mean_estimate(values, seed=seed, weights=units)


def _length_names(lengths: Sequence[int]) -> list[str]:
    # Thirds of these very rows; equal lengths are never torn apart.
    first, second = np.quantile(lengths, [1 / 3, 2 / 3]) if lengths else (0, 0)
    return [_LENGTHS[int(length > first) + int(length > second)] for length in lengths]


def _language(text: str) -> str:
    words = text[:300].split()
    if len(words) < _FEWEST_WORDS:
        return _UNSURE
    # The guess rests on shares of common words and asks for twenty; a short row is said again.
    repeats = -(-_SCORE_WORDS // len(words)) + 1
    return language_of_text(" ".join(words * repeats)) or _UNSURE
