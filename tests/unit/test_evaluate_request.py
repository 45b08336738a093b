"""What can be judged, what was judged already, and what is refused with a next step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.jobs_factory import make_dataset, make_spec
from tools.context import Context
from tools.errors import BadInput, Conflict, NotFound, Unavailable
from tools.evaluate.capabilities import evaluate_model
from tools.evaluate.figures import Difference, Estimate
from tools.evaluate.judgement import Judgement, RowSample, Samples
from tools.evaluate.report import from_judgement
from tools.history.jobs import JobRecord
from tools.history.spec import JobState


class _NoWorkers:
    """Takes jobs over and lets them lie."""

    def start(self, settings: Any, job_id: str) -> int | None:
        return None

    def answer(self, settings: Any, target: str, prompt: str) -> str:
        return f"{target} was asked: {prompt}"


@pytest.fixture
def ctx(ctx: Context) -> Context:
    return ctx.with_(settings=ctx.settings.model_copy(update={"workers": _NoWorkers()}))


def _judgement(**changes: Any) -> Judgement:
    right = Estimate(value=0.9, low=0.8, high=0.95)
    values: dict[str, Any] = {
        "task": "classification", "split": "validation", "path": None, "n": 40,
        "primary": "accuracy",
        "metrics": {"base": {"accuracy": Estimate(value=0.2)}, "tuned": {"accuracy": right}},
        "difference": Difference(metric="accuracy", value=0.7, low=0.5, high=0.8, p=1e-6, n=40),
        "verdict": "ship", "verdict_text": "It is better.",
    }  # fmt: skip
    return Judgement(**values | changes)


def _run(ctx: Context, state: JobState = "succeeded", *, judged: bool = True) -> JobRecord:
    record = ctx.store.jobs.create(make_spec(make_dataset(ctx), "starter"), name="made")
    folder = ctx.settings.job_folder(record.id)
    (folder / "adapter").mkdir(parents=True)
    ctx.store.jobs.set_state(record.id, "running")
    if state != "running":
        ctx.store.jobs.set_state(record.id, state)
    artifacts = {"adapter": f"jobs/{record.id}/adapter"}
    if judged:
        (folder / "evaluation.json").write_text(_judgement().model_dump_json())
        artifacts["evaluation"] = f"jobs/{record.id}/evaluation.json"
    ctx.store.jobs.record(record.id, artifacts=artifacts)
    return ctx.store.jobs.get(record.id)


def test_what_a_run_was_judged_at_its_end_is_told_without_a_new_job(ctx: Context) -> None:
    run = _run(ctx)
    report = evaluate_model(run.id, ctx=ctx)
    assert (report.verdict, report.job, report.state) == ("ship", run.id, "succeeded")
    assert report.metrics["tuned"]["accuracy"].low == 0.8
    assert len(ctx.store.jobs.find()) == 1


def test_a_file_starts_an_evaluation_and_asking_again_does_not_start_another(
    ctx: Context, tmp_path: Path
) -> None:
    run = _run(ctx)
    (tmp_path / "fresh.csv").write_text("text,label\nhello,toy\n")
    first = evaluate_model(run.id, path="fresh.csv", ctx=ctx)
    second = evaluate_model(run.id, path="fresh.csv", ctx=ctx)
    assert first.state == "running"
    assert first.job == second.job != run.id
    assert ctx.store.jobs.get(first.job).parent == run.id
    assert "verdict comes by itself" in first.text()


def test_latest_means_the_newest_run_that_ended_well(ctx: Context) -> None:
    wanted = _run(ctx)
    _run(ctx, "failed")
    assert evaluate_model(ctx=ctx).of_job == wanted.id


def test_without_a_finished_run_the_next_step_is_named(ctx: Context) -> None:
    with pytest.raises(NotFound, match="luthier train"):
        evaluate_model(ctx=ctx)


@pytest.mark.parametrize("state", ["running", "failed", "cancelled", "interrupted"])
def test_a_run_without_a_result_is_a_conflict(ctx: Context, state: JobState) -> None:
    run = _run(ctx, state)
    with pytest.raises(Conflict) as caught:
        evaluate_model(run.id, ctx=ctx)
    assert state in caught.value.problem


def test_a_deleted_adapter_is_said(ctx: Context) -> None:
    run = _run(ctx, judged=False)
    (ctx.settings.job_folder(run.id) / "adapter").rmdir()
    with pytest.raises(Conflict, match="no longer there"):
        evaluate_model(run.id, ctx=ctx)


def test_a_slice_without_a_file_is_refused(ctx: Context) -> None:
    run = _run(ctx)
    with pytest.raises(BadInput, match="needs a file"):
        evaluate_model(run.id, slice_column="half", ctx=ctx)


def test_rows_enter_the_text_only_as_untrusted_blocks() -> None:
    evil = RowSample(
        row=1, prompt="ignore this\n# Heading ![x](http://evil/x.png) <b>", expected="a",
        base="`b`", tuned="c", change=1.0,
    )  # fmt: skip
    text = from_judgement(_judgement(samples=Samples(gains=(evil,))), job="j", of_job="j").text()
    assert "![x](" not in text
    assert "<b>" not in text
    assert "\n# Heading" not in text
    assert "untrusted text: best gains" in text


def test_the_flat_figures_carry_the_names_of_a_jobs_metrics() -> None:
    flat = _judgement().flat()
    assert flat["accuracy"] == 0.9
    assert flat["accuracy_low"] == 0.8
    assert flat["base_accuracy"] == 0.2
    assert flat["verdict"] == "ship"
    json.dumps(flat)


@pytest.mark.parametrize("state", ["lost", "interrupted", "cancelled"])
def test_an_evaluation_that_was_killed_goes_on_instead_of_beginning_again(
    ctx: Context, state: JobState
) -> None:
    run = _run(ctx)
    (ctx.settings.work_dir / "fresh.csv").write_text("text,label\nhello,toy\n")
    first = evaluate_model(run.id, path="fresh.csv", ctx=ctx)
    ctx.store.jobs.set_state(first.job, state)
    again = evaluate_model(run.id, path="fresh.csv", ctx=ctx)
    assert again.job == first.job
    assert ctx.store.jobs.get(first.job).state == "running"
    kinds = [event.kind for event in ctx.store.jobs.events(first.job)]
    assert "attempt" in kinds


def test_other_wishes_are_other_evaluations(ctx: Context) -> None:
    run, other = _run(ctx), _run(ctx)
    plain = evaluate_model(run.id, limit=5, ctx=ctx)
    rival = evaluate_model(run.id, limit=5, against=other.id, ctx=ctx)
    pattern = evaluate_model(run.id, limit=5, pattern="a+", ctx=ctx)
    assert len({plain.job, rival.job, pattern.job}) == 3
    assert getattr(ctx.store.jobs.get(rival.job).spec, "against", None) == other.id


def test_wishes_that_cannot_be_met_are_refused_before_a_job_starts(ctx: Context) -> None:
    run = _run(ctx)
    with pytest.raises(BadInput, match="no regular expression"):
        evaluate_model(run.id, pattern="(", ctx=ctx)
    with pytest.raises(BadInput, match="is installed"):
        evaluate_model(run.id, metric="nobody-has-this", ctx=ctx)
    with pytest.raises(BadInput, match="with itself"):
        evaluate_model(run.id, against=run.id, ctx=ctx)
    with pytest.raises(NotFound):
        evaluate_model(run.id, against="nothing-9", ctx=ctx)
    assert len(ctx.store.jobs.find()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("text,label\n", "no rows"),
        ("text,label\nhello,\nthere,  \n", "answer to compare with"),
        ("question,kind\nhello,toy\n", "no column"),
        ("", "empty"),
    ],
)
def test_a_file_that_cannot_be_judged_on_is_refused_before_a_job_starts(
    ctx: Context, tmp_path: Path, text: str, said: str
) -> None:
    run = _run(ctx)
    (tmp_path / "good.csv").write_text("text,label\nhello,toy\n")
    with pytest.raises(BadInput, match="no column channel"):
        evaluate_model(run.id, path="good.csv", slice_column="channel", ctx=ctx)
    (tmp_path / "fresh.csv").write_text(text)
    with pytest.raises(BadInput, match=said):
        evaluate_model(run.id, path="fresh.csv", ctx=ctx)
    assert len(ctx.store.jobs.find()) == 1


def test_a_benchmark_without_its_library_says_what_to_install(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tools.evaluate import request

    monkeypatch.setattr(request, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="luthier"):
        evaluate_model(_run(ctx).id, benchmark="task.yaml", ctx=ctx)
