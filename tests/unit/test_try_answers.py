"""Who answers, how long, and that answers stay untrusted text. No model is loaded here."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from tests.jobs_factory import make_dataset, make_spec
from tools.context import Context
from tools.errors import NotFound
from tools.export.answering import as_asked, targets_for, tokens_for
from tools.export.capabilities import try_model
from tools.export.service import Endpoint, read_endpoint, run_folder, write_endpoint
from tools.history.jobs import JobRecord
from tools.history.spec import ExportSpec


class _Parrot:
    def start(self, settings: Any, job_id: str) -> int | None:
        return None

    def answer(self, settings: Any, target: str, prompt: str) -> str:
        return f"# {target} ![x](http://evil/x.png)"


@pytest.fixture
def ctx(ctx: Context) -> Context:
    return ctx.with_(settings=ctx.settings.model_copy(update={"workers": _Parrot()}))


def _run(ctx: Context, **changes: Any) -> JobRecord:
    objective = changes.pop("objective", "prompt_completion")
    spec = make_spec(make_dataset(ctx, objective), "starter", **changes)
    record = ctx.store.jobs.create(spec, name="made")
    (ctx.settings.job_folder(record.id) / "adapter").mkdir(parents=True)
    ctx.store.jobs.record(record.id, artifacts={"adapter": f"jobs/{record.id}/adapter"})
    ctx.store.jobs.set_state(record.id, "succeeded")
    return ctx.store.jobs.get(record.id)


def _export(ctx: Context, run: JobRecord, *names: str) -> JobRecord:
    spec = ExportSpec(job=run.id, precisions=("int4",))
    record = ctx.store.jobs.create(spec, name="export", parent=run.id)
    artifacts = {}
    for name in names:
        (ctx.settings.home / "exports" / record.id / name).mkdir(parents=True)
        artifacts[name] = f"exports/{record.id}/{name}"
    ctx.store.jobs.record(record.id, artifacts=artifacts)
    ctx.store.jobs.set_state(record.id, "succeeded")
    return record


def test_base_and_tuned_answer_and_the_smallest_of_the_newest_export(ctx: Context) -> None:
    run = _run(ctx)
    assert [t.key for t in targets_for(ctx, None, None)] == ["base", "tuned"]
    _export(ctx, run, "onnx_fp32")
    newest = _export(ctx, run, "onnx_fp32", "onnx_int4")
    found = targets_for(ctx, run.id, None)
    assert [t.key for t in found] == ["base", "tuned", "onnx_int4"]
    assert newest.id in str(found[-1].folder)


def test_an_export_whose_folder_is_gone_does_not_answer(ctx: Context) -> None:
    run = _run(ctx)
    gone = _export(ctx, run, "onnx_int4")
    (ctx.settings.home / "exports" / gone.id / "onnx_int4").rmdir()
    assert [t.key for t in targets_for(ctx, run.id, None)] == ["base", "tuned"]


@pytest.mark.parametrize(
    ("model", "keys"), [("tuned", ["tuned"]), ("base", ["base"]), ("ONNX", ["onnx_int4"])]
)
def test_one_model_can_be_asked_alone(ctx: Context, model: str, keys: list[str]) -> None:
    run = _run(ctx)
    _export(ctx, run, "onnx_int4")
    assert [t.key for t in targets_for(ctx, run.id, model)] == keys


def test_what_was_not_exported_cannot_answer(ctx: Context) -> None:
    run = _run(ctx)
    with pytest.raises(NotFound, match="luthier export"):
        targets_for(ctx, run.id, "onnx")


def test_without_any_run_the_next_step_is_named(ctx: Context) -> None:
    with pytest.raises(NotFound, match="luthier train"):
        try_model("hello", ctx=ctx)


def test_answers_are_short_for_labels(ctx: Context) -> None:
    labels = targets_for(ctx, _run(ctx).id, None)
    text = targets_for(ctx, _run(ctx, objective="chat").id, None)
    assert tokens_for(ctx, labels) < tokens_for(ctx, text)


def test_a_prompt_takes_the_form_the_run_was_trained_on(ctx: Context) -> None:
    run = _run(ctx, template="### Phrase: {phrase}\\n### Tone: {tone}")
    asked = as_asked(ctx, targets_for(ctx, run.id, None), "what a day {tone}")
    assert asked.startswith("### Phrase: what a day {tone}\n### Tone:")


def test_answers_enter_the_text_only_as_untrusted_blocks(ctx: Context) -> None:
    _run(ctx)
    report = try_model("hello", ctx=ctx)
    assert [a.target for a in report.answers] == ["base", "tuned"]
    assert "![x](" not in report.text()
    assert "\n# " not in report.text()
    assert report.document()["answers"][0]["text"].startswith("# base")


def test_only_this_person_can_read_where_the_worker_listens(ctx: Context) -> None:
    run_folder(ctx.settings).mkdir(parents=True)
    assert read_endpoint(ctx.settings) is None
    endpoint = Endpoint(port=1234, key="00ff", pid=1)
    write_endpoint(ctx.settings, endpoint)
    path: Path = run_folder(ctx.settings) / "generate.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_endpoint(ctx.settings) == endpoint
    path.write_text("{broken")
    assert read_endpoint(ctx.settings) is None
