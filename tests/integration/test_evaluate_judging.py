"""Judging in this process, with adapters that were drawn and not trained: quick, and all kinds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.jobs_factory import classification_rows, make_spec
from tests.judging_factory import (
    answer_rows,
    evaluation_job,
    judged,
    run_evaluation,
    said,
    trained,
    write_dataset,
)
from tools.context import Context
from tools.history.jobs import JobRecord
from tools.work.report import Job

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]


def _scored(job: Job, name: str, entry: str) -> list[Any]:
    lines = (job.folder / name).read_text().splitlines()[1:]
    found = [json.loads(line) for line in lines]
    return [value for line in found if line["name"].startswith(entry) for value in line["labels"]]


@pytest.fixture
def labelled(ctx: Context) -> JobRecord:
    rows = classification_rows(110)
    for i, row in enumerate(rows):
        row["prompt"][0]["content"] += f" It was day {i * 7919}."
    manifest = write_dataset(
        ctx, "labels", rows, train=30, task="classification", objective="prompt_completion",
        labels=("food", "pet", "toy"),
    )  # fmt: skip
    return trained(ctx, manifest)


def test_label_figures_are_scikit_learns_on_the_same_outputs(
    ctx: Context, labelled: JobRecord
) -> None:
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

    job = evaluation_job(ctx, labelled)
    found = run_evaluation(ctx, job)
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

    first = judged(ctx, labelled)
    assert not first.base_reused
    other = trained(
        ctx, read_manifest(ctx.settings.dataset_folder(labelled.training.dataset)), seed=2
    )
    monkeypatch.setattr(Contenders, "base", lambda self: pytest.fail("the base was asked again"))
    second = judged(ctx, other)
    assert second.base_reused
    assert second.metrics["base"] == first.metrics["base"]
    assert second.metrics["tuned"] != first.metrics["tuned"]


def test_other_rows_are_never_taken_for_these(ctx: Context, labelled: JobRecord) -> None:
    judged(ctx, labelled)
    assert not judged(ctx, labelled, limit=40).base_reused


def test_a_killed_evaluation_goes_on_from_the_rows_it_has_scored(
    ctx: Context, labelled: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tools.work import heldout, judging

    monkeypatch.setattr(heldout, "_WINDOW", 16)
    whole = judged(ctx, labelled)
    (cache,) = (ctx.settings.home / "cache" / "evaluations").iterdir()
    cache.unlink()
    job = evaluation_job(ctx, labelled)
    scored: list[int] = []
    real = judging._window

    def dying(*arguments: Any) -> Any:
        if len(scored) == 3:
            raise KeyboardInterrupt
        scored.append(len(arguments[2]))
        return real(*arguments)

    monkeypatch.setattr(judging, "_window", dying)
    with pytest.raises(KeyboardInterrupt):
        run_evaluation(ctx, job)
    # A line that the kill cut off is made again.
    book = job.folder / "scores-tuned.jsonl"
    book.write_text(book.read_text() + '{"name": "rows 3", "su')
    scored.clear()

    def counting(*arguments: Any) -> Any:
        scored.append(len(arguments[2]))
        return real(*arguments)

    monkeypatch.setattr(judging, "_window", counting)
    resumed = run_evaluation(ctx, job)
    assert sum(scored) == 2 * 80 - 3 * 16
    assert resumed.metrics == whole.metrics


def test_two_runs_are_compared_on_rows_that_neither_saw(ctx: Context, labelled: JobRecord) -> None:
    rows = classification_rows(110)
    for i, row in enumerate(rows):
        row["prompt"][0]["content"] += f" It was day {i * 7919}."
    seen = write_dataset(
        ctx, "other", [*rows[40:60], *rows[:5]], train=20, task="classification",
        objective="prompt_completion", labels=("food", "pet", "toy"),
    )  # fmt: skip
    other = trained(ctx, seen, seed=2)
    found = judged(ctx, labelled, against=other.id)
    assert found.baseline == other.id
    assert set(found.metrics) >= {"base", "tuned", other.id}
    assert (found.n, found.excluded) == (60, 20)
    assert found.difference
    gain = found.metrics["tuned"]["accuracy"].value - found.metrics[other.id]["accuracy"].value
    assert found.difference.value == pytest.approx(gain)


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
        row["completion"] = said("assistant", labels[0])
        row["prompt"][0]["content"] += f" Number {row['row'] * 7919}."
    manifest = write_dataset(
        ctx, "odd", rows, train=30, task="classification", objective="prompt_completion",
        labels=("food", "pet", "toy"),
    )  # fmt: skip
    found = judged(ctx, trained(ctx, manifest))
    assert found.verdict == "cannot tell"
    assert words in found.verdict_text


def _nearly(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**row, "prompt": said("user", row["prompt"][0]["content"] + "!"), "row": 100 + row["row"]}
        for row in rows
    ]


def test_rows_that_nearly_repeat_training_rows_are_counted_and_spoil_the_verdict(
    ctx: Context,
) -> None:
    rows = answer_rows(30)
    manifest = write_dataset(
        ctx, "near", [*rows, *_nearly(rows)], train=30, task="qa", objective="prompt_completion"
    )
    found = judged(ctx, trained(ctx, manifest))
    assert found.near_duplicates == 30
    assert found.verdict == "cannot tell"
    assert "nearly repeat" in found.verdict_text


def test_rows_without_answers_are_refused_with_the_next_step(ctx: Context) -> None:
    from tools.errors import BadInput

    rows = answer_rows(40)
    for row in rows[30:]:
        row["completion"] = []
    manifest = write_dataset(ctx, "bare", rows, train=30, task="qa", objective="prompt_completion")
    record = ctx.store.jobs.create(make_spec(manifest, "starter"), name="made")
    folder = ctx.settings.job_folder(record.id) / "adapter"
    folder.mkdir(parents=True)
    ctx.store.jobs.record(record.id, artifacts={"adapter": f"jobs/{record.id}/adapter"})
    with pytest.raises(BadInput, match="answer to compare with"):
        judged(ctx, ctx.store.jobs.get(record.id))


def test_tuned_weights_that_were_deleted_are_said_to_be_gone(ctx: Context) -> None:
    from tools.errors import Conflict

    manifest = write_dataset(
        ctx, "gone", answer_rows(40), train=30, task="qa", objective="prompt_completion"
    )
    record = ctx.store.jobs.create(make_spec(manifest, "starter"), name="made")
    ctx.store.jobs.record(record.id, artifacts={"adapter": f"jobs/{record.id}/adapter"})
    with pytest.raises(Conflict, match="no longer there"):
        judged(ctx, ctx.store.jobs.get(record.id))
