"""Every kind of task is judged by its own measures: those of the libraries that people know."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.jobs_factory import classification_rows
from tests.judging_factory import (
    answer_rows,
    draw_head,
    evaluation_job,
    judged,
    judged_rows,
    pair_rows,
    run_evaluation,
    said,
    tagged_rows,
    trained,
    write_dataset,
)
from tools.context import Context
from tools.evaluate.pairs import read_pairs
from tools.evaluate.votes import cast, open_ballot, tally

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]


def test_answers_to_questions_are_judged_by_what_is_said(ctx: Context) -> None:
    from tools.evaluate.metrics import exact_match, token_f1

    manifest = write_dataset(
        ctx, "qa", answer_rows(70), train=30, task="qa", objective="prompt_completion"
    )
    job = evaluation_job(ctx, trained(ctx, manifest), pattern=r"\briver\b")
    found = run_evaluation(ctx, job)
    assert found.primary == "token_f1"
    pairs = [json.loads(line) for line in (job.folder / "answers.jsonl").read_text().splitlines()]
    assert len(pairs) == 40
    assert len({pair["row"] for pair in pairs}) == 40
    rates: dict[str, Callable[[str, str], float]] = {
        "token_f1": token_f1,
        "exact_match": exact_match,
        "pattern": lambda answer, _: float("river" in answer.split()),
    }
    for model in ("base", "tuned"):
        for name, rate in rates.items():
            mean = sum(rate(p[model], p["expected"]) for p in pairs) / len(pairs)
            assert found.metrics[model][name].value == pytest.approx(mean), name
    record = ctx.store.jobs.get(job.id)
    assert read_pairs(ctx, record)
    ballot = open_ballot(ctx, job.id, "Ann")
    assert ballot.id
    cast(ctx, ballot.id, "first", "Ann")
    assert tally(ctx, job.id).people


def test_bleu_and_chrf_are_sacrebleus_on_the_same_outputs(ctx: Context) -> None:
    import sacrebleu

    manifest = write_dataset(
        ctx, "mt", answer_rows(60), train=30, task="translation", objective="prompt_completion"
    )
    job = evaluation_job(ctx, trained(ctx, manifest))
    found = run_evaluation(ctx, job)
    pairs = [json.loads(line) for line in (job.folder / "answers.jsonl").read_text().splitlines()]
    wanted = [pair["expected"] for pair in pairs]
    for model in ("base", "tuned"):
        said = [pair[model] for pair in pairs]
        for name, theirs in (("bleu", sacrebleu.corpus_bleu), ("chrf", sacrebleu.corpus_chrf)):
            ours = found.metrics[model][name]
            assert ours.value == pytest.approx(theirs(said, [wanted]).score)
            assert ours.low is not None
            assert ours.low <= ours.value <= (ours.high or 0)
    assert found.primary == "sentence_chrf"


def test_rouge_is_rouge_scores_on_the_same_outputs(ctx: Context) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    manifest = write_dataset(
        ctx, "sum", answer_rows(60), train=30, task="summarization", objective="prompt_completion"
    )
    job = evaluation_job(ctx, trained(ctx, manifest))
    found = run_evaluation(ctx, job)
    pairs = [json.loads(line) for line in (job.folder / "answers.jsonl").read_text().splitlines()]
    names = ["rouge1", "rouge2", "rougeL"]
    scorer = RougeScorer(names)
    for model in ("base", "tuned"):
        scores = [scorer.score(pair["expected"], pair[model]) for pair in pairs]
        for name in names:
            mean = sum(score[name].fmeasure for score in scores) / len(scores)
            assert found.metrics[model][name].value == pytest.approx(mean)
    assert found.primary == "rougeL"


@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_preferences_are_judged_by_which_answer_is_likelier(ctx: Context, objective: str) -> None:
    rows = {"dpo": pair_rows, "kto": judged_rows}[objective](60)
    manifest = write_dataset(ctx, objective, rows, train=30, task="preference", objective=objective)
    found = judged(ctx, trained(ctx, manifest))
    margin = found.metrics["tuned"]["preference_margin"]
    assert margin.low is not None
    assert found.primary == ("preference_win_rate" if objective == "dpo" else "preference_margin")
    assert ("preference_win_rate" in found.metrics["base"]) == (objective == "dpo")
    assert 0 <= found.metrics["tuned"]["reward_accuracy"].value <= 1
    assert found.n == 30


def test_plain_text_is_judged_by_its_perplexity(ctx: Context) -> None:
    rows = [{"text": row["prompt"][0]["content"], "row": row["row"]} for row in answer_rows(60)]
    manifest = write_dataset(ctx, "plain", rows, train=30, task="text", objective="text")
    found = judged(ctx, trained(ctx, manifest))
    assert found.primary == "loss"
    assert {"loss", "perplexity"} <= set(found.metrics["tuned"])
    assert "exact_match" not in found.metrics["tuned"]


def test_a_head_of_labels_is_compared_with_the_untouched_models_likeliest_label(
    ctx: Context,
) -> None:
    labels = ("food", "pet", "toy")
    manifest = write_dataset(
        ctx, "head", classification_rows(80), train=30, task="classification",
        objective="prompt_completion", labels=labels,
    )  # fmt: skip
    job = trained(
        ctx, manifest, draw=draw_head("Sequence", labels), method="full",
        objective="sequence_classification", labels=labels,
    )  # fmt: skip
    found = judged(ctx, job)
    assert found.primary == "accuracy"
    assert set(found.metrics) >= {"base", "tuned", "majority", "tfidf"}
    assert any("no head" in note for note in found.notes)


def test_tags_are_compared_with_a_word_list(ctx: Context) -> None:
    labels = ("O", "B-PER", "I-PER")
    manifest = write_dataset(
        ctx, "ner", tagged_rows(80), train=30, task="token_classification",
        objective="token_classification", labels=labels,
    )  # fmt: skip
    job = trained(
        ctx, manifest, draw=draw_head("Token", labels), method="full",
        objective="token_classification", labels=labels,
    )  # fmt: skip
    found = judged(ctx, job)
    assert (found.primary, found.baseline) == ("entity_f1", "word_list")
    assert found.metrics["word_list"]["entity_f1"].value == 1.0
    assert found.verdict == "regressed"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [("B-ORG", "I-ORG", "training never had"), ("O", "O", "one label")],
)
def test_tags_that_were_never_learned_or_are_all_alike_cannot_tell(
    ctx: Context, first: str, second: str, words: str
) -> None:
    labels = ("O", "B-PER", "I-PER")
    rows = tagged_rows(70)
    for row in rows[30:]:
        row["tags"][:2] = [first, second]
    manifest = write_dataset(
        ctx, "odd", rows, train=30, task="token_classification",
        objective="token_classification", labels=labels,
    )  # fmt: skip
    job = trained(
        ctx, manifest, draw=draw_head("Token", labels), method="full",
        objective="token_classification", labels=labels,
    )  # fmt: skip
    found = judged(ctx, job)
    assert found.verdict == "cannot tell"
    assert words in found.verdict_text


def test_rows_that_repeat_each_other_or_hold_no_answer_are_told(ctx: Context) -> None:
    rows = answer_rows(60)
    for row in rows[32:52]:
        row["prompt"] = rows[31]["prompt"]
    for row in rows[52:]:
        row["completion"] = said("assistant", " ")
    manifest = write_dataset(ctx, "qa", rows, train=30, task="qa", objective="prompt_completion")
    found = judged(ctx, trained(ctx, manifest))
    assert found.n == 22
    assert found.verdict == "cannot tell"
    assert "Only 2 of these rows are different" in found.verdict_text
    assert any("8 rows have no answer" in note for note in found.notes)


def test_json_answers_are_held_against_the_schema_of_the_training_answers(ctx: Context) -> None:
    rows = answer_rows(60)
    for row in rows:
        row["completion"] = said("assistant", json.dumps({"name": "x", "count": row["row"]}))
    manifest = write_dataset(
        ctx, "json", rows, train=30, task="instruction", objective="prompt_completion"
    )
    found = judged(ctx, trained(ctx, manifest))
    assert {"json_valid", "json_schema", "json_equal"} <= set(found.metrics["tuned"])
