"""Measures of one model's answers, and how sure they are. Plain numbers; no model is run here."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tools.evaluate.figures import Estimate, LabelScore

Z95 = 1.959963984540054
"""Quantile of the normal distribution for a two-sided 95 % interval."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MAX_LOSS = 50.0


def wilson(successes: float, n: int, z: float = Z95) -> Estimate:
    """Return a share with its Wilson score interval.

    Wilson (1927), JASA 22: unlike the normal interval it stays inside 0 to 1 and covers at small n.

    Raises:
        ValueError: `n` is not positive.
    """
    if n <= 0:
        raise ValueError("a share needs at least one row")
    share = successes / n
    denominator = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / denominator
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / denominator
    low = max(0.0, centre - half) if successes else 0.0
    high = min(1.0, centre + half) if successes < n else 1.0
    return Estimate(value=share, low=low, high=high)


def majority_share(labels: Sequence[str]) -> float:
    """Return the share of the commonest label: what always giving one answer would score."""
    return Counter(labels).most_common(1)[0][1] / len(labels)


def label_report(predicted: Sequence[str], expected: Sequence[str]) -> list[LabelScore]:
    """Return precision, recall and F1 of every label that occurs, commonest first.

    A label that was predicted and never occurs counts too, as in scikit-learn.
    """
    order = [label for label, _ in Counter(expected).most_common()]
    order += sorted(set(predicted) - set(order))
    hits = Counter(e for p, e in zip(predicted, expected, strict=True) if p == e)
    said, real = Counter(predicted), Counter(expected)
    scores = []
    for label in order:
        precision = hits[label] / said[label] if said[label] else 0.0
        recall = hits[label] / real[label] if real[label] else 0.0
        total = said[label] + real[label]
        f1 = 2 * hits[label] / total if total else 0.0
        scores.append(
            LabelScore(label=label, n=real[label], precision=precision, recall=recall, f1=f1)
        )
    return scores


def macro_f1(
    predicted: Sequence[str], expected: Sequence[str], *, resamples: int = 1000, seed: int = 17
) -> Estimate:
    """Return the unweighted mean of the labels' F1 with a bootstrap interval over rows."""
    labels = sorted(set(expected) | set(predicted))
    number = {label: i for i, label in enumerate(labels)}
    size = len(labels)
    codes = np.array(
        [number[e] * size + number[p] for e, p in zip(expected, predicted, strict=True)]
    )
    value = float(_macro_f1_of(np.bincount(codes, minlength=size * size)[None, :], size)[0])
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(
        len(codes), np.bincount(codes, minlength=size * size) / len(codes), size=resamples
    )
    low, high = np.quantile(_macro_f1_of(counts, size), [0.025, 0.975])
    return Estimate(value=value, low=float(min(low, value)), high=float(max(high, value)))


def _macro_f1_of(counts: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.float64]:
    # counts: (resamples, size * size), expected label first. A label that neither occurs nor is
    # predicted in a resample is left out of that resample's mean.
    table = counts.reshape(-1, size, size)
    hits = np.diagonal(table, axis1=1, axis2=2)
    total = table.sum(axis=1) + table.sum(axis=2)
    f1 = np.where(total > 0, 2 * hits / np.maximum(total, 1), 0.0)
    present = np.maximum((total > 0).sum(axis=1), 1)
    return np.asarray(f1.sum(axis=1) / present)


def confusion(
    predicted: Sequence[str], expected: Sequence[str], labels: Sequence[str]
) -> list[list[int]]:
    """Return counts, one row per expected label and one column per predicted label."""
    pairs = Counter(zip(expected, predicted, strict=True))
    return [[pairs[(e, p)] for p in labels] for e in labels]


def perplexity(loss: float) -> float:
    """Return e to the mean loss per token in nats; capped where it would overflow."""
    return math.exp(min(loss, _MAX_LOSS))


def normal_form(text: str) -> str:
    """Return an answer as SQuAD compares it: lower case, no punctuation, articles or extra spaces.

    Source: the official SQuAD v1.1 evaluation script.
    """
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(answer: str, expected: str) -> float:
    """Return 1.0 where answer and expectation are the same in normal form, else 0.0."""
    return float(normal_form(answer) == normal_form(expected))


def token_f1(answer: str, expected: str) -> float:
    """Return the overlap of words between answer and expectation, as SQuAD measures it."""
    said, real = normal_form(answer).split(), normal_form(expected).split()
    if not said or not real:
        return float(said == real)
    common = sum((Counter(said) & Counter(real)).values())
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(real)
    return 2 * precision * recall / (precision + recall)
