"""Named entities from tags, and how well two models find them. As seqeval counts: exact spans."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tools.evaluate.figures import Difference, Estimate

Counts = npt.NDArray[np.float64]
"""Per row: entities found rightly, entities named, entities there are."""
Span = tuple[str, int, int]
_RESAMPLES = 2000
_OUTSIDE = frozenset({"O", "o", "0", ""})


def has_entities(tags: Sequence[str]) -> bool:
    """Return whether tags mark entities (with an outside), rather than name every word's class."""
    return any(tag in _OUTSIDE for tag in tags) or any(tag[:2] in ("B-", "I-") for tag in tags)


def spans_of(tags: Sequence[str]) -> set[Span]:
    """Return the entities of a row as (type, first word, last word).

    Reads BIO, IOB2 and BIOES/BILOU tags leniently, as the CoNLL script does: an `I-` after
    another type or after nothing begins an entity. Tags without a prefix run on while equal.
    """
    found: set[Span] = set()
    kind, start = "", 0
    for i, tag in enumerate([*tags, "O"]):
        mark, name = _split(tag)
        goes_on = bool(kind) and name == kind and mark in ("I", "E", "L", "M", "")
        if kind and not goes_on:
            found.add((kind, start, i - 1))
            kind = ""
        if name and not kind:
            kind, start = name, i
        if kind and mark in ("E", "L", "S", "U"):
            found.add((kind, start, i))
            kind = ""
    return found


def entity_counts(said: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> Counts:
    """Return the counts of every row."""
    rows = []
    for one, other in zip(said, wanted, strict=True):
        named, real = spans_of(one), spans_of(other)
        rows.append((len(named & real), len(named), len(real)))
    return np.array(rows, dtype=float).reshape(-1, 3)


def f1_of(counts: Counts) -> float:
    """Return the F1 over all entities of all rows; 1 where there are none and none were named."""
    right, named, real = counts.sum(axis=0)
    return float(2 * right / (named + real)) if named + real else 1.0


def f1_estimate(counts: Counts, *, seed: int) -> Estimate:
    """Return the F1 with its percentile bootstrap interval over rows."""
    value = f1_of(counts)
    low, high = np.quantile(_resampled(counts, lambda c: _f1s(c), seed), [0.025, 0.975])
    return Estimate(value=value, low=min(float(low), value), high=max(float(high), value))


def compare_f1(base: Counts, tuned: Counts, *, seed: int) -> Difference:
    """Return the difference in F1: bootstrap over rows, and a test that swaps the models at random.

    The test is approximate randomisation (Yeh 2000, "More accurate tests for the statistical
    significance of result differences").
    """
    both = np.concatenate([base, tuned], axis=1)

    def gain(sums: Counts) -> Counts:
        return np.asarray(_f1s(sums[..., 3:]) - _f1s(sums[..., :3]))

    value = f1_of(tuned) - f1_of(base)
    low, high = np.quantile(_resampled(both, gain, seed), [0.025, 0.975])
    swaps = np.random.default_rng(seed + 1).random((_RESAMPLES, len(base))) < 0.5
    moved = tuned - base
    shifted = swaps.astype(float) @ moved
    chance = gain(np.concatenate([base.sum(0) + shifted, tuned.sum(0) - shifted], axis=1))
    extreme = int((np.abs(chance) >= abs(value) - 1e-12).sum())
    return Difference(
        metric="entity_f1",
        value=value,
        low=min(float(low), value),
        high=max(float(high), value),
        p=(1 + extreme) / (1 + _RESAMPLES),
        n=len(base),
    )


def _f1s(sums: Counts) -> Counts:
    total = sums[..., 1] + sums[..., 2]
    return np.asarray(np.where(total > 0, 2 * sums[..., 0] / np.maximum(total, 1), 1.0))


def _resampled(counts: Counts, statistic: Callable[[Counts], Counts], seed: int) -> Counts:
    rng = np.random.default_rng(seed)
    n = len(counts)
    parts = []
    step = max(1, 2_000_000 // n)
    for start in range(0, _RESAMPLES, step):
        size = min(step, _RESAMPLES - start)
        picked = rng.integers(0, n, size=(size, n))
        sums = np.stack([column[picked].sum(axis=1) for column in counts.T], axis=1)
        parts.append(statistic(sums))
    return np.concatenate(parts)


def _split(tag: str) -> tuple[str, str]:
    if tag in _OUTSIDE:
        return "", ""
    mark, dash, name = tag.partition("-")
    if dash and mark in ("B", "I", "E", "S", "L", "U", "M"):
        return mark, name
    return "", tag
