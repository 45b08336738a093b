"""How both models are asked: what fits, which answers there are, how long an answer may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tools.answering import rows_to_answer, tokens_to_answer
from tools.datasets.manifest import Manifest
from tools.history.spec import TrainingSpec
from tools.methods import method
from tools.work.encode import answer_of, messages_of
from tools.work.heldout import HeldOut, Row, parquet_rows
from tools.work.judging import Exam
from tools.work.template import stop_token_ids

_LOOKED_AT_ROWS = 200


def exam_for(
    manifest: Manifest,
    training: Path,
    rows: HeldOut,
    tokenizer: Any,
    spec: TrainingSpec,
    *,
    context: int | None,
    declared_stops: Sequence[int],
    batch: int,
    patience_s: float,
    answer_sample: int | None = None,
) -> Exam:
    """Set the exam.

    Args:
        training: The training rows; they tell how each label is said.
        context: Tokens that the model can hold.
        declared_stops: Tokens that the model itself declares to end an answer.
        answer_sample: Rows to answer by generation; None means what suits the task.
    """
    labels, answers = _labels(manifest, training, rows)
    longest = _longest_answer(tokenizer, rows, answers)
    # A prompt of learnt vectors stands before the text: rows of one length, and no shared cache.
    prompted = method(spec.method).kind == "prompt"
    room = min(spec.max_length, context) if context else spec.max_length
    sample = rows_to_answer(manifest.task, labelled=bool(labels), longest=longest)
    return Exam(
        stops=tuple(sorted({*stop_token_ids(tokenizer), *declared_stops})),
        pad=int(tokenizer.pad_token_id or 0),
        max_tokens=room,
        batch=1 if prompted else batch,
        labels=labels,
        answers=answers,
        known=len(manifest.labels) if labels else 0,
        sample=answer_sample or sample,
        max_new_tokens=tokens_to_answer(longest, room),
        patience_s=patience_s,
        share_prompt=not prompted,
    )


def answers_in(file: Path, most: int = _LOOKED_AT_ROWS) -> list[str]:
    """Return the first expected answers of a split."""
    rows = islice(parquet_rows(file), most)
    return [answer_of(row).strip() for row in rows if "completion" in row or "messages" in row]


def _labels(
    manifest: Manifest, training: Path, rows: HeldOut
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the labels, those of training first, and what the model says for each."""
    if not manifest.labels or not _labelled(training):
        return (), ()
    said: dict[str, str] = {}
    for row in parquet_rows(training):
        said.setdefault(str(row["label"]), answer_of(row))
        if len(said) == len(manifest.labels):
            break
    new: dict[str, str] = {}
    for row in rows.rows():
        if str(row["label"]) not in manifest.labels:
            new.setdefault(str(row["label"]), answer_of(row))
    labels = (*manifest.labels, *new)
    return labels, tuple({**new, **said}.get(label, label) for label in labels)


def _labelled(training: Path) -> bool:
    row: Row = next(parquet_rows(training), {})
    return isinstance(row.get("label"), str)


def _longest_answer(tokenizer: Any, rows: HeldOut, answers: tuple[str, ...]) -> int:
    """Return the tokens of the longest expected answer; 0 where there is nothing to answer."""
    texts = list(answers) or [answer for answer in _first_answers(rows) if answer]
    if not texts:
        return 0
    return max(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])


def _first_answers(rows: HeldOut) -> Iterator[str]:
    for row in islice(rows.rows(), _LOOKED_AT_ROWS):
        # Plain text has no answer to generate.
        yield answer_of(row) if messages_of(row)[1] else ""
