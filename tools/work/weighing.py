"""From figures to a judgement: slices, samples, forgetting, contamination, verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tools.evaluate.compare import compare_rows
from tools.evaluate.figures import Difference
from tools.evaluate.judgement import Judgement, RowSample, Samples, SliceResult, worst_and_best
from tools.evaluate.metrics import confusion, label_report
from tools.evaluate.verdict import (
    REGRESSION_BOUND,
    Evidence,
    Verdict,
    contaminated,
    judge_evidence,
)
from tools.work.encode import answer_of, question_of
from tools.work.facts import SHOWN_CHARACTERS, Facts, Scores, each_slice
from tools.work.heldout import HeldOut, Row
from tools.work.measured import Measured

_MOST_LABELS_IN_TABLE = 30
NARROW_TASKS = frozenset({"classification", "token_classification"})
"""Tasks with a fixed set of answers: what such a model forgot of the language does no harm."""
_FORGOTTEN = 0.5
"""Nats per token on general text; e to this is a perplexity 1.65 times as high."""


_SPOKEN = {"base": "the base", "word_list": "a word list"}


@dataclass(frozen=True)
class Asked:
    """What was asked, for the record.

    Attributes:
        baseline: `base`, or the id of the run that is compared with.
    """

    task: str
    split: str | None
    path: str | None
    slice_column: str | None
    seed: int
    chose_checkpoint: bool
    baseline: str = "base"


@dataclass
class Beside:
    """What is told with the figures.

    Attributes:
        said: Label of every row that the tuned model gave; empty without labels.
        labels: Possible labels, those of training first.
        answers: What each model is shown to have said to a row, given its place: base, tuned.
        forgetting: General text, tuned minus base; more is better.
        unseen: Rows whose label, or one of whose tags, was never trained on.
        one_label: All words carry the same tag.
        reused: Scores of the base were taken from an earlier evaluation.
    """

    said: Sequence[str] = ()
    labels: tuple[str, ...] = ()
    answers: Callable[[int], tuple[str, str]] = lambda place: ("", "")
    yardstick: Sequence[str] | None = None
    forgetting: Difference | None = None
    truncated: int = 0
    unseen: int = 0
    one_label: bool = False
    reused: bool = False
    notes: list[str] = field(default_factory=list)


def nothing_to_judge(asked: Asked, rows: HeldOut) -> Judgement:
    """Return the judgement where no row is left."""
    verdict = contaminated(rows.excluded, rows.n) or Verdict(
        "cannot tell", "There was no row to judge on."
    )
    return Judgement(
        task=asked.task, split=asked.split, path=asked.path, n=0, excluded=rows.excluded,
        primary="loss", metrics={}, difference=None,
        verdict=verdict.word, verdict_text=verdict.text,
    )  # fmt: skip


def weigh(asked: Asked, rows: HeldOut, facts: Facts, found: Measured, beside: Beside) -> Judgement:
    """Return the judgement."""
    primary = found.differences[0]
    slices = tuple(
        each_slice(
            facts, found.scores, column=asked.slice_column, seed=asked.seed,
            yardstick=beside.yardstick,
        )
    )  # fmt: skip
    rival = "word_list" if "word_list" in found.metrics else asked.baseline
    majority = found.metrics.get("majority", {}).get("accuracy")
    evidence = Evidence(
        difference=primary,
        base=found.metrics[rival][primary.metric],
        tuned=found.metrics["tuned"][primary.metric],
        rival=_SPOKEN.get(rival, rival),
        excluded=rows.excluded,
        majority=majority.value if majority and primary.metric == "accuracy" else None,
        one_label=beside.one_label or (bool(facts.labels) and len(set(facts.labels)) < 2),
        unseen=beside.unseen,
        regressions=_regressions(asked, found, slices, facts, beside),
        chose_checkpoint=asked.chose_checkpoint,
        likelier=found.likelier,
        near=len(rows.near),
        rows=rows.n,
        clear=_without(rows.near, found.scores, asked.seed),
        repeats=len(rows.repeats),
        once=_without(rows.repeats, found.scores, asked.seed),
        forgetting=beside.forgetting,
    )
    verdict = contaminated(rows.excluded, rows.n) or judge_evidence(evidence)
    shown = beside.labels[:_MOST_LABELS_IN_TABLE]
    labelled = bool(facts.labels) and bool(beside.said)
    return Judgement(
        task=asked.task,
        split=asked.split,
        path=asked.path,
        n=rows.n,
        excluded=rows.excluded,
        near_duplicates=len(rows.near),
        truncated=beside.truncated,
        primary=primary.metric,
        metrics=found.metrics,
        baseline=rival,
        difference=primary,
        differences=tuple(found.differences),
        slices=slices,
        labels=tuple(label_report(beside.said, facts.labels)) if labelled else (),
        confusion_labels=shown if labelled else (),
        confusion=tuple(map(tuple, confusion(beside.said, facts.labels, shown)))
        if labelled
        else (),
        samples=_samples(rows, found.scores, beside),
        forgetting=beside.forgetting,
        base_reused=beside.reused,
        chose_checkpoint=asked.chose_checkpoint,
        notes=tuple(beside.notes),
        verdict=verdict.word,
        verdict_text=verdict.text,
    )


def _without(left_out: frozenset[int], scores: Scores, seed: int) -> Difference | None:
    """Return the primary difference without some rows, or None where none of them takes part."""
    places = np.arange(scores.base.size) if scores.places is None else scores.places
    keep = np.array([place not in left_out for place in places], dtype=bool)
    if keep.all() or keep.sum() < 2:
        return None
    units = None if scores.units is None else scores.units[keep]
    return compare_rows(
        scores.metric, scores.base[keep], scores.tuned[keep], seed=seed, weights=units
    )


def _regressions(
    asked: Asked,
    found: Measured,
    slices: Sequence[SliceResult],
    facts: Facts,
    beside: Beside,
) -> list[str]:
    worse = [
        f"{other.metric.replace('_', ' ')} got worse by {-other.value:.2f}"
        for other in found.differences[1:]
        if other.high < 0 and other.value < -REGRESSION_BOUND
    ]
    for part in slices:
        values = {
            "label": facts.labels, asked.slice_column: facts.slices,
        }.get(part.column, [])  # fmt: skip
        here = {e for e, v in zip(facts.labels, values, strict=False) if v == part.value}
        # A base that always gives one label is right on all rows of that label: no merit.
        if len(here) == 1:
            continue
        if part.difference.high < 0 and part.difference.value < -REGRESSION_BOUND:
            worse.append(f"the rows with {part.column} {part.value!r} got worse")
    lost = beside.forgetting
    if lost and asked.task not in NARROW_TASKS and lost.high < 0 and lost.value < -_FORGOTTEN:
        worse.append("it forgot much of its general language")
    return worse


def _samples(rows: HeldOut, scores: Scores, beside: Beside) -> Samples:
    """Return the rows that changed most."""
    units = np.ones_like(scores.base) if scores.units is None else scores.units
    change = (scores.tuned - scores.base) / units
    places = np.arange(change.size) if scores.places is None else scores.places
    order = np.argsort(change, kind="stable")
    wanted = {int(places[i]): float(change[i]) for i in (*order[:3], *order[-3:])}
    found = []
    for place, row in enumerate(rows.rows()):
        if place in wanted:
            before, after = beside.answers(place)
            found.append(
                RowSample(
                    row=int(row.get("row", place)),
                    prompt=_question(row)[:SHOWN_CHARACTERS],
                    expected=_expected(row)[:SHOWN_CHARACTERS],
                    base=before[:SHOWN_CHARACTERS],
                    tuned=after[:SHOWN_CHARACTERS],
                    change=round(wanted[place], 4),
                )
            )
    gains, losses = worst_and_best(found)
    return Samples(gains=gains, regressions=losses)


def _question(row: Row) -> str:
    return " ".join(map(str, row["tokens"])) if "tokens" in row else question_of(row)


def _expected(row: Row) -> str:
    if "tags" in row:
        return " ".join(map(str, row["tags"]))
    if "chosen" in row:
        return "".join(str(message["content"]) for message in row["chosen"])
    return answer_of(row).strip()
