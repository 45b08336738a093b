"""From two models' marks to figures: labels by accuracy, answers by what was said, text by loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tools.evaluate.compare import compare_rows, mean_estimate
from tools.evaluate.figures import Difference, Estimate
from tools.evaluate.metrics import macro_f1, majority_share, perplexity, wilson
from tools.work.facts import Facts, Scores
from tools.work.judging import Exam, Marks
from tools.work.measures import Measures, corpus_score

Floats = npt.NDArray[np.float64]
Figures = dict[str, dict[str, Estimate]]


@dataclass
class Measured:
    """Figures of one comparison.

    Attributes:
        metrics: Model → measure → estimate.
        differences: Tuned minus what it is compared with, the primary one first.
        scores: The primary measure row by row.
        likelier: The expected answers became surely likelier, whatever was said.
    """

    metrics: Figures
    differences: list[Difference]
    scores: Scores
    likelier: bool = False


def loss_figures(marks: Marks, seed: int) -> dict[str, Estimate]:
    """Return loss and perplexity per answer token."""
    loss = mean_estimate(-marks.sums, seed=seed, weights=marks.tokens)
    return {"loss": loss, "perplexity": as_perplexity(loss)}


def as_perplexity(loss: Estimate) -> Estimate:
    """Return e to a loss, interval included."""
    low = None if loss.low is None else perplexity(loss.low)
    high = None if loss.high is None else perplexity(loss.high)
    return Estimate(value=perplexity(loss.value), low=low, high=high)


def label_figures(said: Sequence[str], expected: Sequence[str], seed: int) -> dict[str, Estimate]:
    """Return accuracy, macro and micro F1. With one label a row, micro F1 is the accuracy."""
    accuracy = wilson(int(right(said, expected).sum()), len(expected))
    macro = macro_f1(said, expected, seed=seed)
    return {"accuracy": accuracy, "macro_f1": macro, "micro_f1": accuracy}


def right(said: Sequence[str], expected: Sequence[str]) -> Floats:
    """Return 1 where the two are the same, else 0."""
    return np.array([float(a == b) for a, b in zip(said, expected, strict=True)])


def measure(
    exam: Exam,
    facts: Facts,
    wanted: Sequence[str],
    measures: Measures,
    base: Marks,
    tuned: Marks,
    *,
    places: Sequence[int],
    yardstick: Sequence[str] | None,
    seed: int,
) -> Measured:
    """Compare two models that answered in words.

    Args:
        wanted: Expected answers of the rows that were answered by generation, at `places`.
    """
    both = {"base": base, "tuned": tuned}
    metrics = {name: loss_figures(marks, seed) for name, marks in both.items()}
    loss = compare_rows("loss", base.sums, tuned.sums, seed=seed, weights=tuned.tokens)
    found = Measured(metrics, [loss], Scores("loss", base.sums, tuned.sums, tuned.tokens))
    found.likelier = loss.low > 0 and loss.p <= 0.05
    if exam.labels:
        hits = {name: right(marks.labels, facts.labels) for name, marks in both.items()}
        for name, marks in both.items():
            metrics[name] |= label_figures(marks.labels, facts.labels, seed)
        found.scores = Scores("accuracy", hits["base"], hits["tuned"], share=True)
        found.differences.insert(
            0, compare_rows("accuracy", hits["base"], hits["tuned"], seed=seed)
        )
        share = majority_share(facts.labels)
        n = len(facts.labels)
        metrics["majority"] = {"accuracy": wilson(round(share * n), n)}
        if yardstick is not None:
            metrics["tfidf"] = label_figures(yardstick, facts.labels, seed)
    _said(found, exam, wanted, measures, base, tuned, places, seed)
    return found


def _said(
    found: Measured,
    exam: Exam,
    wanted: Sequence[str],
    measures: Measures,
    base: Marks,
    tuned: Marks,
    places: Sequence[int],
    seed: int,
) -> None:
    """Add what the generated answers are worth; their main measure may become the primary one."""
    n = min(len(base.said), len(tuned.said))
    if not n:
        return
    expected = wanted[:n]
    for measure_name, rate in measures.rows.items():
        name = measure_name
        if exam.labels and name == "exact_match":
            name = "generated_accuracy"
        elif exam.labels and name == "token_f1":
            continue
        scores = {"base": rate(base.said[:n], expected), "tuned": rate(tuned.said[:n], expected)}
        share = all(np.isin(values, (0.0, 1.0)).all() for values in scores.values())
        for model, values in scores.items():
            found.metrics[model][name] = (
                wilson(int(values.sum()), n) if share else mean_estimate(values, seed=seed)
            )
        difference = compare_rows(name, scores["base"], scores["tuned"], seed=seed)
        if measure_name == measures.primary and not exam.labels:
            found.differences.insert(0, difference)
            at = np.array(places[:n])
            found.scores = Scores(name, scores["base"], scores["tuned"], places=at, share=share)
        else:
            found.differences.append(difference)
    for name in measures.corpus:
        for model, marks in (("base", base), ("tuned", tuned)):
            found.metrics[model][name] = corpus_score(name, marks.said[:n], expected)
    for model, marks in (("base", base), ("tuned", tuned)):
        found.metrics[model]["stopped"] = wilson(marks.stopped, len(marks.said))
