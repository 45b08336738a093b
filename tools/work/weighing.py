"""From two models' marks to a judgement: figures, intervals, slices, samples, verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tools.evaluate.compare import compare_rows, mean_estimate
from tools.evaluate.figures import Difference, Estimate
from tools.evaluate.judgement import Judgement, RowSample, Samples, SliceResult, worst_and_best
from tools.evaluate.metrics import (
    confusion,
    exact_match,
    label_report,
    macro_f1,
    majority_share,
    perplexity,
    token_f1,
    wilson,
)
from tools.evaluate.verdict import (
    REGRESSION_BOUND,
    Evidence,
    Verdict,
    contaminated,
    judge_evidence,
)
from tools.work.encode import answer_of, question_of
from tools.work.heldout import HeldOut
from tools.work.judging import Exam, Marks
from tools.work.remarks import notes_on

_SHOWN_CHARACTERS = 240
_MOST_SLICES = 12
_MOST_LABELS_IN_TABLE = 30
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """What was asked, for the record."""

    task: str
    split: str | None
    path: str | None
    slice_column: str | None
    seed: int
    chose_checkpoint: bool


@dataclass(frozen=True)
class _Facts:
    """Short per-row texts; rows themselves are not kept."""

    expected: list[str]
    labels: list[str]
    slices: list[str]


def weigh(
    asked: Asked,
    rows: HeldOut,
    exam: Exam | None,
    base: Marks | None,
    tuned: Marks | None,
    yardstick: Sequence[str] | None,
) -> Judgement:
    """Return the judgement. Without marks there were no rows that could be judged."""
    spoiled = contaminated(rows.excluded, rows.n)
    if exam is None or base is None or tuned is None:
        verdict = spoiled or Verdict("cannot tell", "There was no row to judge on.")
        return Judgement(
            task=asked.task, split=asked.split, path=asked.path, n=0, excluded=rows.excluded,
            primary="loss", metrics={}, difference=None,
            verdict=verdict.word, verdict_text=verdict.text,
        )  # fmt: skip
    facts = _facts(rows, asked, bool(exam.labels))
    metrics, differences = _measures(asked, rows, exam, facts, base, tuned, yardstick)
    primary = differences[0]
    scores = _primary_scores(exam, facts, base, tuned)
    slices = tuple(_each_slice(asked, facts, scores, yardstick))
    evidence = Evidence(
        difference=primary,
        base=metrics["base"][primary.metric],
        tuned=metrics["tuned"][primary.metric],
        excluded=rows.excluded,
        majority=metrics["majority"]["accuracy"].value if exam.labels else None,
        regressions=_regressions(differences[1:], slices, facts),
        chose_checkpoint=asked.chose_checkpoint,
    )
    verdict = spoiled or judge_evidence(evidence)
    shown = exam.labels[:_MOST_LABELS_IN_TABLE]
    return Judgement(
        task=asked.task,
        split=asked.split,
        path=asked.path,
        n=rows.n,
        excluded=rows.excluded,
        truncated=tuned.cut,
        primary="accuracy" if exam.labels else "loss",
        metrics=metrics,
        difference=primary,
        differences=tuple(differences),
        slices=slices,
        labels=tuple(label_report(tuned.labels, facts.labels)) if exam.labels else (),
        confusion=tuple(map(tuple, confusion(tuned.labels, facts.labels, shown))),
        samples=_samples(rows, exam, facts, base, tuned, scores),
        chose_checkpoint=asked.chose_checkpoint,
        notes=tuple(notes_on(asked.chose_checkpoint, rows, exam, facts.labels, tuned, metrics)),
        verdict=verdict.word,
        verdict_text=verdict.text,
    )


def _facts(rows: HeldOut, asked: Asked, labelled: bool) -> _Facts:
    facts = _Facts([], [], [])
    for row in rows.rows():
        facts.expected.append(answer_of(row).strip()[:_SHOWN_CHARACTERS])
        if labelled:
            facts.labels.append(str(row["label"]))
        if asked.slice_column:
            facts.slices.append(str(row.get(asked.slice_column)))
    return facts


def _measures(
    asked: Asked,
    rows: HeldOut,
    exam: Exam,
    facts: _Facts,
    base: Marks,
    tuned: Marks,
    yardstick: Sequence[str] | None,
) -> tuple[dict[str, dict[str, Estimate]], list[Difference]]:
    """Return model → measure → estimate, and the differences, the primary one first."""
    metrics: dict[str, dict[str, Estimate]] = {"base": {}, "tuned": {}}
    for name, marks in (("base", base), ("tuned", tuned)):
        loss = mean_estimate(-marks.sums, seed=asked.seed, weights=marks.tokens)
        metrics[name]["loss"] = loss
        metrics[name]["perplexity"] = _perplexity(loss)
    differences = [
        compare_rows("loss", base.sums, tuned.sums, seed=asked.seed, weights=tuned.tokens)
    ]
    if exam.labels:
        right = {m: _right(marks.labels, facts.labels) for m, marks in _both(base, tuned)}
        for name, marks in _both(base, tuned):
            metrics[name]["accuracy"] = wilson(int(right[name].sum()), right[name].size)
            metrics[name]["macro_f1"] = macro_f1(marks.labels, facts.labels, seed=asked.seed)
        differences.insert(
            0, compare_rows("accuracy", right["base"], right["tuned"], seed=asked.seed)
        )
        share = majority_share(facts.labels)
        metrics["majority"] = {"accuracy": Estimate(value=share)}
        if yardstick is not None:
            hits = _right(yardstick, facts.labels)
            metrics["tfidf"] = {
                "accuracy": wilson(int(hits.sum()), hits.size),
                "macro_f1": macro_f1(yardstick, facts.labels, seed=asked.seed),
            }
    asked_rows = [facts.expected[i] for i in rows.sample(exam.sample)]
    differences += _said_measures(asked, exam, asked_rows, base, tuned, metrics)
    return metrics, differences


def _said_measures(
    asked: Asked,
    exam: Exam,
    asked_rows: Sequence[str],
    base: Marks,
    tuned: Marks,
    metrics: dict[str, dict[str, Estimate]],
) -> list[Difference]:
    """Compare generated answers of the sampled rows with what was expected."""
    n = min(len(base.said), len(tuned.said))
    if not n:
        return []
    expected = asked_rows[:n]
    found: list[Difference] = []
    measures = {"exact_match": exact_match} if exam.labels else _ANSWER_MEASURES
    for measure, rate in measures.items():
        name = "generated_accuracy" if exam.labels else measure
        scores = {
            model: np.array([rate(a, e) for a, e in zip(marks.said[:n], expected, strict=True)])
            for model, marks in _both(base, tuned)
        }
        for model, values in scores.items():
            metrics[model][name] = (
                wilson(int(values.sum()), n)
                if measure == "exact_match"
                else mean_estimate(values, seed=asked.seed)
            )
        found.append(compare_rows(name, scores["base"], scores["tuned"], seed=asked.seed))
    metrics["tuned"]["stopped"] = wilson(tuned.stopped, len(tuned.said))
    return found


_ANSWER_MEASURES = {"exact_match": exact_match, "token_f1": token_f1}


def _both(base: Marks, tuned: Marks) -> tuple[tuple[str, Marks], tuple[str, Marks]]:
    return ("base", base), ("tuned", tuned)


def _right(said: Sequence[str], expected: Sequence[str]) -> Floats:
    return np.array([float(a == b) for a, b in zip(said, expected, strict=True)])


def _perplexity(loss: Estimate) -> Estimate:
    low = None if loss.low is None else perplexity(loss.low)
    high = None if loss.high is None else perplexity(loss.high)
    return Estimate(value=perplexity(loss.value), low=low, high=high)


@dataclass(frozen=True)
class _Scores:
    """Per row: the primary measure of both models, and units it counts in."""

    metric: str
    base: Floats
    tuned: Floats
    units: Floats | None


def _primary_scores(exam: Exam, facts: _Facts, base: Marks, tuned: Marks) -> _Scores:
    if exam.labels:
        return _Scores(
            "accuracy", _right(base.labels, facts.labels), _right(tuned.labels, facts.labels), None
        )
    return _Scores("loss", base.sums, tuned.sums, tuned.tokens)


def _each_slice(
    asked: Asked, facts: _Facts, scores: _Scores, yardstick: Sequence[str] | None
) -> Iterator[SliceResult]:
    if not asked.slice_column:
        return
    values, counts = np.unique(facts.slices, return_counts=True)
    for value in values[np.argsort(-counts, kind="stable")][:_MOST_SLICES]:
        here = np.array([v == value for v in facts.slices])
        units = None if scores.units is None else scores.units[here]
        base, tuned = scores.base[here], scores.tuned[here]
        yield SliceResult(
            column=asked.slice_column,
            value=str(value),
            n=int(here.sum()),
            base=_estimate(scores.metric, base, units, asked.seed),
            tuned=_estimate(scores.metric, tuned, units, asked.seed),
            tfidf=_simple(facts, here, yardstick),
            difference=compare_rows(scores.metric, base, tuned, seed=asked.seed, weights=units),
        )


def _simple(
    facts: _Facts, here: npt.NDArray[np.bool_], yardstick: Sequence[str] | None
) -> Estimate | None:
    if yardstick is None:
        return None
    hits = _right(yardstick, facts.labels)[here]
    return wilson(int(hits.sum()), hits.size)


def _estimate(metric: str, values: Floats, units: Floats | None, seed: int) -> Estimate:
    if metric == "accuracy":
        return wilson(int(values.sum()), values.size)
    return mean_estimate(-values, seed=seed, weights=units)


def _regressions(
    others: Sequence[Difference], slices: Sequence[SliceResult], facts: _Facts
) -> list[str]:
    found = [
        f"{other.metric.replace('_', ' ')} got worse by {-other.value:.2f}"
        for other in others
        if other.high < 0 and other.value < -REGRESSION_BOUND
    ]
    for part in slices:
        here = {e for e, v in zip(facts.labels, facts.slices, strict=False) if v == part.value}
        # A base that always gives one label is right on all rows of that label: no merit.
        if len(here) == 1:
            continue
        if part.difference.high < 0 and part.difference.value < -REGRESSION_BOUND:
            found.append(f"the rows with {part.column} {part.value!r} got worse")
    return found


def _samples(
    rows: HeldOut, exam: Exam, facts: _Facts, base: Marks, tuned: Marks, scores: _Scores
) -> Samples:
    """Return the rows that changed most; for labels the likelihood breaks ties."""
    gain = (tuned.sums - base.sums) / tuned.tokens
    change = gain if not exam.labels else (scores.tuned - scores.base) + np.tanh(gain) / 10
    if exam.labels:
        change = np.where(scores.tuned == scores.base, 0.0, change)
    order = np.argsort(change)
    places = rows.sample(exam.sample)
    wanted = {int(i) for i in (*order[:3], *order[-3:])}
    found = []
    for i, row in enumerate(rows.rows()):
        if i in wanted:
            found.append(
                RowSample(
                    row=int(row.get("row", i)),
                    prompt=question_of(row)[:_SHOWN_CHARACTERS],
                    expected=facts.expected[i],
                    base=_said(exam, base, i, places),
                    tuned=_said(exam, tuned, i, places),
                    change=round(float(change[i]), 4),
                )
            )
    gains, losses = worst_and_best(found)
    return Samples(gains=gains, regressions=losses)


def _said(exam: Exam, marks: Marks, i: int, places: list[int]) -> str:
    if exam.labels:
        return marks.labels[i]
    if i in places and places.index(i) < len(marks.said):
        return marks.said[places.index(i)][:_SHOWN_CHARACTERS]
    return f"loss {-marks.sums[i] / marks.tokens[i]:.2f} on this answer"
