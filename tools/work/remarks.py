"""What a person should know about a judgement besides its figures."""

from __future__ import annotations

from collections.abc import Iterator

from tools.evaluate.figures import Estimate
from tools.work.heldout import HeldOut
from tools.work.judging import Exam, Marks


def notes_on_rows(chose_checkpoint: bool, rows: HeldOut) -> Iterator[str]:
    """Give the remarks on the rows, most important first.

    Args:
        chose_checkpoint: The same rows decided which checkpoint was kept.
    """
    if chose_checkpoint:
        yield (
            "The same rows chose the checkpoint, so the figures are a little too good. A file of "
            "rows that training never touched tells more."
        )
    if rows.excluded:
        yield f"{rows.excluded:,} rows were left out because they were trained on."
    if rows.near:
        yield f"{len(rows.near):,} rows nearly repeat rows that were trained on."
    if rows.repeats:
        yield f"{len(rows.repeats):,} rows ask what another of these rows asks already."
    if rows.unusable:
        yield f"{rows.unusable:,} rows have no answer and were left out."


def notes_on_labels(rows: int, new: int) -> Iterator[str]:
    """Give the remark on rows with labels or tags that training never had."""
    if new:
        labels = "a label that was" if new == 1 else f"{new} labels that were"
        carry = "1 row carries" if rows == 1 else f"{rows:,} rows carry"
        yield f"{carry} {labels} never trained on; that counts as wrong."


def notes_on_answers(
    exam: Exam,
    unseen: int,
    tuned: Marks,
    asked: int,
    metrics: dict[str, dict[str, Estimate]],
) -> Iterator[str]:
    """Give the remarks on what was said.

    Args:
        unseen: Rows whose label was never trained on.
        asked: Rows that were to be answered by generation.
    """
    if tuned.cut:
        yield f"{tuned.cut:,} rows were too long for the model; the start of their prompt was cut."
    yield from notes_on_labels(unseen, len(exam.labels) - exam.known)
    yield from yardstick_note(metrics)
    if tuned.said and len(tuned.said) < asked:
        yield (
            f"{len(tuned.said):,} of {asked:,} rows were answered by generation; there was no time "
            "for more."
        )
    if tuned.said and tuned.stopped < 0.9 * len(tuned.said):
        yield (
            f"Only {tuned.stopped} of {len(tuned.said)} generated answers ended by themselves; "
            "the model has not learned where to stop."
        )


def yardstick_note(metrics: dict[str, dict[str, Estimate]]) -> Iterator[str]:
    """Say what counting words reaches on the same rows."""
    if "tfidf" not in metrics:
        return
    simple, tuned = metrics["tfidf"]["accuracy"].value, metrics["tuned"]["accuracy"]
    words = "Counting words (TF-IDF with logistic regression)"
    if tuned.low is not None and simple >= tuned.low:
        yield f"{words} reaches {simple:.0%} on these rows: a language model may not be needed."
    else:
        yield f"{words} reaches {simple:.0%} on these rows."
