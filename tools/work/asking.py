"""Asking language models in words: labels, questions, chats, plain text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from tools.evaluate.compare import compare_rows, mean_estimate
from tools.evaluate.figures import Difference, Estimate
from tools.evaluate.pairs import AnswerPair
from tools.work.bench import Bench, Rival
from tools.work.contenders import Contenders
from tools.work.encode import answer_of, question_of
from tools.work.exam import answers_in
from tools.work.facts import Facts
from tools.work.general import score_general
from tools.work.heldout import Row, parquet_rows
from tools.work.judging import Exam, Marks, sit
from tools.work.load import load_tokenizer
from tools.work.measured import Measured, as_perplexity, measure
from tools.work.measures import measures_for
from tools.work.remarks import notes_on_answers, notes_on_rows
from tools.work.weighing import Beside
from tools.work.yardstick import tfidf_predictions

_LONGEST_PAIR = 4000


def judge_answers(bench: Bench, facts: Facts) -> tuple[Measured, Beside]:
    """Compare what is likely and what is said: label tasks, questions, chats, plain text."""
    spec, rows, seed = bench.spec, bench.rows, bench.asked.seed
    tokenizer = load_tokenizer(bench.job, spec, adapter=bench.result)
    models = Contenders(bench.job, spec, bench.result)
    exam = bench.exam(spec, tokenizer, models.tuned())
    book, base_book = bench.books(spec, tokenizer, exam, bench.result, "tuned")
    tuned = sit(models.tuned, tokenizer, rows, exam, tick=bench.tick, book=book)
    general = score_general(models.tuned, tokenizer, pad=exam.pad, batch=exam.batch, book=book)
    base = sit(
        models.base, tokenizer, rows, exam, tick=bench.tick, book=base_book,
        sample=len(tuned.said),
    )  # fmt: skip
    before = score_general(models.base, tokenizer, pad=exam.pad, batch=exam.batch, book=base_book)
    bench.keep(base_book)
    models.leave()
    places = rows.sample(exam.sample) if exam.max_new_tokens else []
    picked = rows.pick(places)
    yardstick = _yardstick(bench, exam)

    compared = partial(
        _compared, bench, facts, exam, picked, places=places, yardstick=yardstick, tuned=tuned
    )
    found, shown = compared(base=base), base
    if bench.rival:
        shown = _rival_marks(bench, bench.rival, len(tuned.said))
        against = compared(base=shown)
        rival = against.metrics["base"]
        against.metrics |= {"base": found.metrics["base"], bench.asked.baseline: rival}
        found = against
    forgetting = forgetting_of(found, before, general, seed)
    bench.pairs = pairs_of(picked, places, shown, tuned)
    unseen = sum(label not in exam.labels[: exam.known] for label in facts.labels)
    return found, Beside(
        said=tuned.labels,
        labels=exam.labels,
        answers=lambda place: (
            shown_answer(shown, place, places),
            shown_answer(tuned, place, places),
        ),
        yardstick=yardstick,
        forgetting=forgetting,
        truncated=tuned.cut,
        unseen=unseen,
        reused=base_book.reused,
        notes=[
            *notes_on_rows(bench.asked.chose_checkpoint, rows),
            *notes_on_answers(exam, unseen, tuned, len(places), found.metrics),
        ],
    )


def _compared(
    bench: Bench,
    facts: Facts,
    exam: Exam,
    picked: Sequence[Row],
    *,
    base: Marks,
    tuned: Marks,
    places: Sequence[int],
    yardstick: Sequence[str] | None,
) -> Measured:
    wanted = [answer_of(row).strip() for row in picked]
    learnt = answers_in(bench.training)
    measures = measures_for(
        bench.manifest.task, wanted or learnt, learnt, pattern=bench.pattern, metric=bench.metric
    )
    return measure(
        exam, facts, wanted, measures, base, tuned, places=places, yardstick=yardstick,
        seed=bench.asked.seed,
    )  # fmt: skip


def _rival_marks(bench: Bench, rival: Rival, sample: int) -> Marks:
    spec, result = rival
    tokenizer = load_tokenizer(bench.job, spec, adapter=result)
    models = Contenders(bench.job, spec, result)
    exam = bench.exam(spec, tokenizer, models.tuned())
    book, _ = bench.books(spec, tokenizer, exam, result, "rival")
    marks = sit(
        models.tuned, tokenizer, bench.rows, exam, tick=bench.tick, book=book, sample=sample
    )
    models.leave()
    return marks


def forgetting_of(
    found: Measured, before: tuple[Any, Any], after: tuple[Any, Any], seed: int
) -> Difference:
    """Add how likely both models find general text; return the difference."""
    for name, (sums, tokens) in (("base", before), ("tuned", after)):
        loss: Estimate = mean_estimate(-sums, seed=seed, weights=tokens)
        found.metrics[name]["general_loss"] = loss
        found.metrics[name]["general_perplexity"] = as_perplexity(loss)
    return compare_rows("general_loss", before[0], after[0], seed=seed, weights=after[1])


def pairs_of(
    picked: Sequence[Row], places: Sequence[int], base: Marks, tuned: Marks
) -> list[AnswerPair]:
    """Return what both models said to the rows that were answered by generation."""
    return [
        AnswerPair(
            row=int(row.get("row", place)),
            prompt=question_of(row)[:_LONGEST_PAIR],
            expected=answer_of(row).strip()[:_LONGEST_PAIR],
            base=before[:_LONGEST_PAIR],
            tuned=after[:_LONGEST_PAIR],
        )
        for row, place, before, after in zip(picked, places, base.said, tuned.said, strict=False)
    ]


def shown_answer(marks: Marks, place: int, places: list[int]) -> str:
    """Return a label or an answer; where none was generated, how likely the expected one was."""
    if marks.labels:
        return marks.labels[place]
    if place in places and places.index(place) < len(marks.said):
        return marks.said[places.index(place)]
    return f"loss {-marks.sums[place] / marks.tokens[place]:.2f} on this answer"


def _yardstick(bench: Bench, exam: Exam) -> list[str] | None:
    if not exam.labels:
        return None
    rows = bench.rows.rows()
    return tfidf_predictions(parquet_rows(bench.training), rows, seed=bench.asked.seed)
