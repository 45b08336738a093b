"""Two models on the same rows: the difference, its interval, and a paired test."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from tools.evaluate.figures import Difference, Estimate
from tools.evaluate.metrics import wilson

Scores = npt.NDArray[np.float64]
RESAMPLES = 2000
_CHUNK_VALUES = 2_000_000
_FEW_VALUES = 5
_MOST_NATS = 50.0


def compare_rows(
    metric: str, base: Scores, tuned: Scores, *, seed: int, weights: Scores | None = None
) -> Difference:
    """Compare per-row scores, where more is better.

    Args:
        base: Score of the untouched model per row; with `weights` a sum, such as summed
            log-probabilities, and the compared value is the sum over rows per unit of weight.
        tuned: The same rows in the same order.
        weights: Units per row, such as answer tokens; None means one each.

    Raises:
        ValueError: The arrays differ in length or are empty.
    """
    if base.shape != tuned.shape or base.size == 0:
        raise ValueError("both models need scores of the same rows")
    gain = (tuned - base).astype(float)
    units = np.ones_like(gain) if weights is None else weights.astype(float)
    value = float(gain.sum() / units.sum())
    if gain.size < 2:
        # One row says nothing about the next: the interval is all there can be.
        low, high = (-1.0, 1.0) if weights is None else (-_MOST_NATS, _MOST_NATS)
    elif not gain.any() and _right_or_wrong(base, tuned):
        # No row differs: no draw could either, but of n more rows some still may.
        high = wilson(0, gain.size).high or 0.0
        low = -high
    else:
        low, high = _interval(gain, units, seed)
    return Difference(
        metric=metric,
        value=value,
        low=min(low, value),
        high=max(high, value),
        p=_paired_test(base, tuned, gain, seed),
        n=int(gain.size),
    )


def mean_estimate(scores: Scores, *, seed: int, weights: Scores | None = None) -> Estimate:
    """Return a mean (per unit of weight) with its bootstrap interval over rows."""
    units = np.ones_like(scores) if weights is None else weights.astype(float)
    value = float(scores.sum() / units.sum())
    if scores.size < 2:
        return Estimate(value=value)
    low, high = _interval(scores.astype(float), units, seed)
    if weights is None:
        # A mean never lies outside of what it is the mean of.
        low, high = max(low, float(scores.min())), min(high, float(scores.max()))
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def mcnemar_p(only_base: int, only_tuned: int) -> float:
    """Return the exact two-sided p of McNemar's test: a fair coin over the rows that differ.

    Args:
        only_base: Rows that only the base has right.
        only_tuned: Rows that only the tuned model has right.
    """
    n = only_base + only_tuned
    if n == 0:
        return 1.0
    fewer = min(only_base, only_tuned)
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
        for k in range(fewer + 1)
    ]
    return min(1.0, 2 * math.fsum(math.exp(value) for value in logs))


def rows_needed(difference: Difference, worth: float) -> int:
    """Return about how many more rows would settle the question.

    The interval shrinks with the root of n; it must get as narrow as the difference itself, or
    as what would be worth having where the difference is smaller than that.
    """
    half = (difference.high - difference.low) / 2
    goal = max(abs(difference.value), worth)
    needed = math.ceil(difference.n * (half / goal) ** 2) if half else difference.n
    return max(10, needed - difference.n)


def _interval(gain: Scores, units: Scores, seed: int) -> tuple[float, float]:
    """Return the expanded percentile bootstrap interval of a ratio of sums.

    Hesterberg (2015), The American Statistician 69(4), section 5.3: the percentiles are moved
    outwards so that small samples cover as a t interval does. Draws of right-or-wrong scores lie
    on a grid; they are spread over their grid cell, or the interval would cover too often.
    """
    n = gain.size
    values, counts = np.unique(gain, return_counts=True)
    if values.size == 1 and (units == 1).all():
        return float(values[0]), float(values[0])
    rng = np.random.default_rng(seed)
    if values.size <= _FEW_VALUES and (units == 1).all():
        draws = rng.multinomial(n, counts / n, size=RESAMPLES) @ values / n
        draws += rng.uniform(-0.5, 0.5, RESAMPLES) * np.diff(values).min() / n
    else:
        draws = _draws(rng, gain, units)
    tail = NormalDist().cdf(-math.sqrt(n / (n - 1)) * _t_quantile(n - 1))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _draws(rng: np.random.Generator, gain: Scores, units: Scores) -> Scores:
    n = gain.size
    draws = np.empty(RESAMPLES)
    step = max(1, _CHUNK_VALUES // n)
    for start in range(0, RESAMPLES, step):
        count = min(step, RESAMPLES - start)
        picked = rng.integers(0, n, size=(count, n))
        draws[start : start + count] = gain[picked].sum(axis=1) / units[picked].sum(axis=1)
    return draws


def _t_quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t (Cornish-Fisher; within 1 % from 4 on).

    Source: Abramowitz and Stegun 26.7.5.
    """
    z = NormalDist().inv_cdf(0.975)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return float(sum(term / freedom**power for power, term in enumerate(terms)))


def _right_or_wrong(base: Scores, tuned: Scores) -> bool:
    return bool(np.isin(base, (0.0, 1.0)).all() and np.isin(tuned, (0.0, 1.0)).all())


def _paired_test(base: Scores, tuned: Scores, gain: Scores, seed: int) -> float:
    if _right_or_wrong(base, tuned):
        return mcnemar_p(int((gain < 0).sum()), int((gain > 0).sum()))
    changed = gain[gain != 0]
    if changed.size == 0:
        return 1.0
    rng = np.random.default_rng(seed + 1)
    observed, extreme = abs(changed.sum()), 0
    step = max(1, _CHUNK_VALUES // changed.size)
    for start in range(0, RESAMPLES, step):
        count = min(step, RESAMPLES - start)
        signs = rng.choice((-1.0, 1.0), size=(count, changed.size))
        extreme += int((np.abs(signs @ changed) >= observed * (1 - 1e-12)).sum())
    return (1 + extreme) / (1 + RESAMPLES)
