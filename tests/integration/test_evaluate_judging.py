"""Judging in this process, with adapters that were drawn and not trained: quick, and all kinds."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.jobs_factory import classification_rows, make_spec
from tools.context import Context, utc_now
from tools.datasets.manifest import Manifest
from tools.evaluate.judgement import Judgement
from tools.evaluate.pairs import read_pairs
from tools.evaluate.votes import cast, open_ballot, tally
from tools.history.jobs import JobRecord
from tools.history.spec import EvaluationSpec
from tools.history.store import Store
from tools.shipped import shipped
from tools.work.report import Job

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]
_TEXT = "the small red house stands near an old river where quiet people work all day"
_WORDS = _TEXT.split()


def _said(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def _sentence(chooser: random.Random, words: int = 6) -> str:
    return " ".join(chooser.choices(_WORDS, k=words))


def _answers(count: int, seed: int = 3) -> list[dict[str, Any]]:
    chooser = random.Random(seed)
    return [
        {
            "prompt": _said("user", f"Say something about {_sentence(chooser, 9)} {i}"),
            "completion": _said("assistant", _sentence(chooser)),
            "row": i,
        }
        for i in range(count)
    ]


def _pairs(count: int) -> list[dict[str, Any]]:
    chooser = random.Random(4)
    return [
        {
            "prompt": row["prompt"], "chosen": row["completion"],
            "rejected": _said("assistant", _sentence(chooser)), "row": row["row"],
        }
        for row in _answers(count)
    ]  # fmt: skip


def _kto(count: int) -> list[dict[str, Any]]:
    return [{**row, "label": row["row"] % 2 == 0} for row in _answers(count)]


def _tagged(count: int) -> list[dict[str, Any]]:
    chooser = random.Random(5)
    rows = []
    for i in range(count):
        name = chooser.choice(["Tom", "Lily", "Ben"])
        other = chooser.choices(_WORDS, k=chooser.randint(2, 6))
        rows.append(
            {
                "tokens": [name, "Smith", *other],
                "tags": ["B-PER", "I-PER", *["O"] * len(other)],
                "row": i,
            }
        )
    return rows


def _dataset(
    ctx: Context,
    name: str,
    rows: list[dict[str, Any]],
    *,
    train: int,
    task: str,
    objective: str,
    labels: tuple[str, ...] = (),
) -> Manifest:
    version = f"{name}@0001"
    folder = ctx.settings.dataset_folder(version)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows[:train]), folder / "train.parquet")
    pq.write_table(pa.Table.from_pylist(rows[train:]), folder / "test.parquet")
    manifest = Manifest(
        id=version, fingerprint=name, source="made.csv", source_path="made.csv",
        source_sha256="0", format="csv", task=task, objective=objective, columns={},  # type: ignore[arg-type]
        labels=labels, splits={"train": train, "test": len(rows) - train}, characters_p95=60,
        steps=(), options={}, created_at=datetime.now(UTC),
    )  # fmt: skip
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return manifest


def _adapter(folder: Path, seed: int = 1) -> None:
    """Draw an adapter that really changes what the starter model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(shipped("starter-model"))
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(shipped("starter-model")).save_pretrained(folder)


def _trained(
    ctx: Context, manifest: Manifest, *, seed: int = 1, draw: Any = _adapter, **changes: Any
) -> JobRecord:
    record = ctx.store.jobs.create(make_spec(manifest, "starter", **changes), name="made")
    folder = ctx.settings.job_folder(record.id)
    folder.mkdir(parents=True)
    draw(folder / "adapter", seed)
    ctx.store.jobs.record(record.id, artifacts={"adapter": f"jobs/{record.id}/adapter"})
    ctx.store.jobs.set_state(record.id, "running")
    ctx.store.jobs.set_state(record.id, "succeeded")
    return ctx.store.jobs.get(record.id)


def _job(ctx: Context, training: JobRecord, **wishes: Any) -> Job:
    spec = EvaluationSpec(
        job=training.id, dataset=training.training.dataset, split="test", **wishes
    )
    record = ctx.store.jobs.create(spec, name="eval", parent=training.id)
    ctx.store.jobs.set_state(record.id, "running")
    ctx.settings.job_folder(record.id).mkdir(parents=True, exist_ok=True)
    store = Store.open_as_worker(ctx.settings.database, clock=utc_now)
    return Job(ctx.store.jobs.get(record.id), ctx.settings, store)


def _run(ctx: Context, job: Job) -> Judgement:
    from tools.work import evaluate

    evaluate.run(job)
    job.flush()
    return Judgement.model_validate_json((job.folder / "evaluation.json").read_bytes())


def _judged(ctx: Context, training: JobRecord, **wishes: Any) -> Judgement:
    return _run(ctx, _job(ctx, training, **wishes))


def _scored(job: Job, name: str, entry: str) -> list[Any]:
    lines = (job.folder / name).read_text().splitlines()[1:]
    found = [json.loads(line) for line in lines]
    return [value for line in found if line["name"].startswith(entry) for value in line["labels"]]


@pytest.fixture
def labelled(ctx: Context) -> JobRecord:
    rows = classification_rows(110)
    for i, row in enumerate(rows):
        row["prompt"][0]["content"] += f" It was day {i * 7919}."
    manifest = _dataset(
        ctx, "labels", rows, train=30, task="classification", objective="prompt_completion",
        labels=("food", "pet", "toy"),
    )  # fmt: skip
    return _trained(ctx, manifest)


def test_label_figures_are_scikit_learns_on_the_same_outputs(
    ctx: Context, labelled: JobRecord
) -> None:
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

    job = _job(ctx, labelled)
    found = _run(ctx, job)
    names = ["food", "pet", "toy"]
    file = ctx.settings.dataset_folder(labelled.training.dataset) / "test.parquet"
    expected = pq.read_table(file)["label"].to_pylist()
    for model, book in (("tuned", "scores-tuned.jsonl"), ("base", "scores-tuned-base.jsonl")):
        said = [names[i] for i in _scored(job, book, "rows")]
        figures = found.metrics[model]
        assert figures["accuracy"].value == pytest.approx(accuracy_score(expected, said))
        for kind in ("macro", "micro"):
            theirs = f1_score(expected, said, average=kind, zero_division=0)
            assert figures[f"{kind}_f1"].value == pytest.approx(theirs)
        if model == "tuned":
            theirs = confusion_matrix(expected, said, labels=names)
            assert [list(row) for row in found.confusion] == theirs.tolist()
    assert found.confusion_labels == tuple(names)
    assert found.n == 80
    for figures in found.metrics.values():
        for name, estimate in figures.items():
            assert estimate.low is not None, name
            assert estimate.low <= estimate.value <= (estimate.high or 0)
    assert {part.column for part in found.slices} >= {"label", "length"}
    assert found.forgetting
    assert found.forgetting.metric == "general_loss"
    assert "general language" in found.verdict_text


def test_a_second_run_on_the_same_rows_does_not_ask_the_base_again(
    ctx: Context, labelled: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tools.datasets.manifest import read_manifest
    from tools.work.contenders import Contenders

    first = _judged(ctx, labelled)
    assert not first.base_reused
    other = _trained(
        ctx, read_manifest(ctx.settings.dataset_folder(labelled.training.dataset)), seed=2
    )
    monkeypatch.setattr(Contenders, "base", lambda self: pytest.fail("the base was asked again"))
    second = _judged(ctx, other)
    assert second.base_reused
    assert second.metrics["base"] == first.metrics["base"]
    assert second.metrics["tuned"] != first.metrics["tuned"]


def test_other_rows_are_never_taken_for_these(ctx: Context, labelled: JobRecord) -> None:
    _judged(ctx, labelled)
    assert not _judged(ctx, labelled, limit=40).base_reused


def test_a_killed_evaluation_goes_on_from_the_rows_it_has_scored(
    ctx: Context, labelled: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tools.work import heldout, judging

    monkeypatch.setattr(heldout, "_WINDOW", 16)
    whole = _judged(ctx, labelled)
    (cache,) = (ctx.settings.home / "cache" / "evaluations").iterdir()
    cache.unlink()
    job = _job(ctx, labelled)
    scored: list[int] = []
    real = judging._window

    def dying(*arguments: Any) -> Any:
        if len(scored) == 3:
            raise KeyboardInterrupt
        scored.append(len(arguments[2]))
        return real(*arguments)

    monkeypatch.setattr(judging, "_window", dying)
    with pytest.raises(KeyboardInterrupt):
        _run(ctx, job)
    # A line that the kill cut off is made again.
    book = job.folder / "scores-tuned.jsonl"
    book.write_text(book.read_text() + '{"name": "rows 3", "su')
    scored.clear()

    def counting(*arguments: Any) -> Any:
        scored.append(len(arguments[2]))
        return real(*arguments)

    monkeypatch.setattr(judging, "_window", counting)
    resumed = _run(ctx, job)
    assert sum(scored) == 2 * 80 - 3 * 16
    assert resumed.metrics == whole.metrics


def test_answers_to_questions_are_judged_by_what_is_said(ctx: Context) -> None:
    from tools.evaluate.metrics import exact_match, token_f1

    manifest = _dataset(ctx, "qa", _answers(70), train=30, task="qa", objective="prompt_completion")
    job = _job(ctx, _trained(ctx, manifest), pattern=r"\briver\b")
    found = _run(ctx, job)
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

    manifest = _dataset(
        ctx, "mt", _answers(60), train=30, task="translation", objective="prompt_completion"
    )
    job = _job(ctx, _trained(ctx, manifest))
    found = _run(ctx, job)
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

    manifest = _dataset(
        ctx, "sum", _answers(60), train=30, task="summarization", objective="prompt_completion"
    )
    job = _job(ctx, _trained(ctx, manifest))
    found = _run(ctx, job)
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
    rows = {"dpo": _pairs, "kto": _kto}[objective](60)
    manifest = _dataset(ctx, objective, rows, train=30, task="preference", objective=objective)
    found = _judged(ctx, _trained(ctx, manifest))
    margin = found.metrics["tuned"]["preference_margin"]
    assert margin.low is not None
    assert found.primary == ("preference_win_rate" if objective == "dpo" else "preference_margin")
    assert ("preference_win_rate" in found.metrics["base"]) == (objective == "dpo")
    assert 0 <= found.metrics["tuned"]["reward_accuracy"].value <= 1
    assert found.n == 30


def test_plain_text_is_judged_by_its_perplexity(ctx: Context) -> None:
    rows = [{"text": row["prompt"][0]["content"], "row": row["row"]} for row in _answers(60)]
    manifest = _dataset(ctx, "plain", rows, train=30, task="text", objective="text")
    found = _judged(ctx, _trained(ctx, manifest))
    assert found.primary == "loss"
    assert {"loss", "perplexity"} <= set(found.metrics["tuned"])
    assert "exact_match" not in found.metrics["tuned"]


def _head(kind: str, labels: tuple[str, ...]) -> Callable[[Path, int], None]:
    def draw(folder: Path, seed: int) -> None:
        import torch
        import transformers

        torch.manual_seed(seed)
        model = getattr(transformers, f"AutoModelFor{kind}Classification").from_pretrained(
            shipped("starter-model"), num_labels=len(labels)
        )
        model.config.id2label = dict(enumerate(labels))
        model.config.label2id = {label: i for i, label in enumerate(labels)}
        model.save_pretrained(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(shipped("starter-model"))
        tokenizer.save_pretrained(folder)

    return draw


def test_a_head_of_labels_is_compared_with_the_untouched_models_likeliest_label(
    ctx: Context,
) -> None:
    labels = ("food", "pet", "toy")
    manifest = _dataset(
        ctx, "head", classification_rows(80), train=30, task="classification",
        objective="prompt_completion", labels=labels,
    )  # fmt: skip
    job = _trained(
        ctx, manifest, draw=_head("Sequence", labels), method="full",
        objective="sequence_classification", labels=labels,
    )  # fmt: skip
    found = _judged(ctx, job)
    assert found.primary == "accuracy"
    assert set(found.metrics) >= {"base", "tuned", "majority", "tfidf"}
    assert any("no head" in note for note in found.notes)


def test_tags_are_compared_with_a_word_list(ctx: Context) -> None:
    labels = ("O", "B-PER", "I-PER")
    manifest = _dataset(
        ctx, "ner", _tagged(80), train=30, task="token_classification",
        objective="token_classification", labels=labels,
    )  # fmt: skip
    job = _trained(
        ctx, manifest, draw=_head("Token", labels), method="full",
        objective="token_classification", labels=labels,
    )  # fmt: skip
    found = _judged(ctx, job)
    assert (found.primary, found.baseline) == ("entity_f1", "word_list")
    assert found.metrics["word_list"]["entity_f1"].value == 1.0
    assert found.verdict == "regressed"


def test_two_runs_are_compared_on_rows_that_neither_saw(ctx: Context, labelled: JobRecord) -> None:
    rows = classification_rows(110)
    for i, row in enumerate(rows):
        row["prompt"][0]["content"] += f" It was day {i * 7919}."
    seen = _dataset(
        ctx, "other", [*rows[40:60], *rows[:5]], train=20, task="classification",
        objective="prompt_completion", labels=("food", "pet", "toy"),
    )  # fmt: skip
    other = _trained(ctx, seen, seed=2)
    found = _judged(ctx, labelled, against=other.id)
    assert found.baseline == other.id
    assert set(found.metrics) >= {"base", "tuned", other.id}
    assert (found.n, found.excluded) == (60, 20)
    assert found.difference
    gain = found.metrics["tuned"]["accuracy"].value - found.metrics[other.id]["accuracy"].value
    assert found.difference.value == pytest.approx(gain)


def test_json_answers_are_held_against_the_schema_of_the_training_answers(ctx: Context) -> None:
    rows = _answers(60)
    for row in rows:
        row["completion"] = _said("assistant", json.dumps({"name": "x", "count": row["row"]}))
    manifest = _dataset(
        ctx, "json", rows, train=30, task="instruction", objective="prompt_completion"
    )
    found = _judged(ctx, _trained(ctx, manifest))
    assert {"json_valid", "json_schema", "json_equal"} <= set(found.metrics["tuned"])


@pytest.mark.parametrize(
    ("labels", "words"),
    [(("new",), "training never had"), (("toy",), "one label")],
)
def test_rows_that_cannot_tell_are_not_made_to(
    ctx: Context, labels: tuple[str, ...], words: str
) -> None:
    rows = classification_rows(70)
    for row in rows[30:]:
        row["label"] = labels[0]
        row["completion"] = _said("assistant", labels[0])
        row["prompt"][0]["content"] += f" Number {row['row'] * 7919}."
    manifest = _dataset(
        ctx, "odd", rows, train=30, task="classification", objective="prompt_completion",
        labels=("food", "pet", "toy"),
    )  # fmt: skip
    found = _judged(ctx, _trained(ctx, manifest))
    assert found.verdict == "cannot tell"
    assert words in found.verdict_text


def _nearly(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**row, "prompt": _said("user", row["prompt"][0]["content"] + "!"), "row": 100 + row["row"]}
        for row in rows
    ]


def test_rows_that_nearly_repeat_training_rows_are_counted_and_spoil_the_verdict(
    ctx: Context,
) -> None:
    rows = _answers(30)
    manifest = _dataset(
        ctx, "near", [*rows, *_nearly(rows)], train=30, task="qa", objective="prompt_completion"
    )
    found = _judged(ctx, _trained(ctx, manifest))
    assert found.near_duplicates == 30
    assert found.verdict == "cannot tell"
    assert "nearly repeat" in found.verdict_text


def test_rows_without_answers_are_refused_with_the_next_step(ctx: Context) -> None:
    from tools.errors import BadInput

    rows = _answers(40)
    for row in rows[30:]:
        row["completion"] = []
    manifest = _dataset(ctx, "bare", rows, train=30, task="qa", objective="prompt_completion")
    record = ctx.store.jobs.create(make_spec(manifest, "starter"), name="made")
    folder = ctx.settings.job_folder(record.id) / "adapter"
    folder.mkdir(parents=True)
    ctx.store.jobs.record(record.id, artifacts={"adapter": f"jobs/{record.id}/adapter"})
    with pytest.raises(BadInput, match="answer to compare with"):
        _judged(ctx, ctx.store.jobs.get(record.id))


def test_tuned_weights_that_were_deleted_are_said_to_be_gone(ctx: Context) -> None:
    from tools.errors import Conflict

    manifest = _dataset(
        ctx, "gone", _answers(40), train=30, task="qa", objective="prompt_completion"
    )
    record = ctx.store.jobs.create(make_spec(manifest, "starter"), name="made")
    ctx.store.jobs.record(record.id, artifacts={"adapter": f"jobs/{record.id}/adapter"})
    with pytest.raises(Conflict, match="no longer there"):
        _judged(ctx, ctx.store.jobs.get(record.id))
