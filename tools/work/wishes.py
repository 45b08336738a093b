"""Models that learned from preferences or rewards: asked for just that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tools.evaluate.compare import compare_rows, mean_estimate
from tools.rewards import rewards_of, total
from tools.work.asking import forgetting_of, pairs_of, shown_answer
from tools.work.bench import Bench
from tools.work.contenders import Contenders
from tools.work.encode import question_of
from tools.work.facts import Facts, Scores
from tools.work.general import score_general
from tools.work.judging import Marks, generate
from tools.work.load import load_tokenizer
from tools.work.measured import Measured
from tools.work.preferring import lean, measure_preferences
from tools.work.remarks import notes_on_rows
from tools.work.weighing import Beside

_NEW_TOKENS = 32


def judge_preferences(bench: Bench, facts: Facts) -> tuple[Measured, Beside]:
    """Compare which of two answers is likelier."""
    spec, rows = bench.spec, bench.rows
    tokenizer = load_tokenizer(bench.job, spec, adapter=bench.result)
    models = Contenders(bench.job, spec, bench.result)
    exam = bench.exam(spec, tokenizer, models.tuned())
    book, base_book = bench.books(spec, tokenizer, exam, bench.result, "tuned")
    tuned = lean(models.tuned, tokenizer, rows, exam, tick=bench.tick, book=book)
    general = score_general(models.tuned, tokenizer, pad=exam.pad, batch=exam.batch, book=book)
    base = lean(models.base, tokenizer, rows, exam, tick=bench.tick, book=base_book)
    before = score_general(models.base, tokenizer, pad=exam.pad, batch=exam.batch, book=base_book)
    bench.keep(base_book)
    models.leave()
    found = measure_preferences(base, tuned, seed=bench.asked.seed)
    forgetting = forgetting_of(found, before, general, bench.asked.seed)
    facts.labels.clear()

    return found, Beside(
        answers=lambda place: (
            f"margin {base.margin[place]:+.2f}",
            f"margin {tuned.margin[place]:+.2f}",
        ),
        forgetting=forgetting,
        reused=base_book.reused,
        notes=[*notes_on_rows(bench.asked.chose_checkpoint, rows)],
    )


def judge_rewards(bench: Bench, facts: Facts) -> tuple[Measured, Beside]:
    """Compare what the plan's rewards give to the answers of both models."""
    spec, rows, seed = bench.spec, bench.rows, bench.asked.seed
    tokenizer = load_tokenizer(bench.job, spec, adapter=bench.result)
    models = Contenders(bench.job, spec, bench.result)
    exam = bench.exam(spec, tokenizer, models.tuned())
    exam = replace(exam, max_new_tokens=exam.max_new_tokens or _NEW_TOKENS)
    book, base_book = bench.books(spec, tokenizer, exam, bench.result, "tuned")
    places = rows.sample(exam.sample)
    picked = rows.pick(places)
    marks = {}
    for name, model, own in (("tuned", models.tuned, book), ("base", models.base, base_book)):
        marks[name] = Marks(np.empty(0), np.empty(0))
        generate(model, tokenizer, picked, exam, marks[name], own)
        bench.tick(rows.n)
    bench.keep(base_book)
    models.leave()
    n = min(len(found.said) for found in marks.values())
    rewards = rewards_of(spec)
    scores = {
        name: np.array(
            [
                total(rewards, question_of(row), said, row)
                for row, said in zip(picked[:n], found.said[:n], strict=True)
            ]
        )
        for name, found in marks.items()
    }
    metrics = {name: {"reward": mean_estimate(got, seed=seed)} for name, got in scores.items()}
    difference = compare_rows("reward", scores["base"], scores["tuned"], seed=seed)
    at = np.array(places[:n])
    bench.pairs = pairs_of(picked, places, marks["base"], marks["tuned"])
    facts.labels.clear()
    found = Measured(
        metrics, [difference], Scores("reward", scores["base"], scores["tuned"], places=at)
    )
    return found, Beside(
        answers=lambda place: (
            shown_answer(marks["base"], place, places),
            shown_answer(marks["tuned"], place, places),
        ),
        notes=[*notes_on_rows(bench.asked.chose_checkpoint, rows)],
    )
