"""One short run of the starter model, then judged, exported and asked by real workers."""

from __future__ import annotations

import csv
import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest

from tools.advise.plan import PlanRequest, compile_plan
from tools.context import Context
from tools.errors import Refused
from tools.evaluate.capabilities import evaluate_model
from tools.export.capabilities import export_model, try_model
from tools.export.playground import generate, targets_for
from tools.export.service import read_endpoint
from tools.history.jobs import JobRecord
from tools.history.spec import ExportSpec
from tools.jobs.follow import wait
from tools.jobs.launch import submit
from tools.settings import read_settings
from tools.shipped import shipped

pytestmark = pytest.mark.integration

_PATIENCE_S = 500.0
_TRAINING_ROWS = 160


@pytest.fixture(scope="module")
def ctx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    folder = tmp_path_factory.mktemp("judged")
    environment = {
        "LUTHIER_HOME": str(folder / "home"),
        "HOME": str(folder),
        "LUTHIER_NETWORK": "never",
        "LUTHIER_WORKER_THREADS": "1",
    }
    context = Context(read_settings(environment).model_copy(update={"work_dir": folder}))
    yield context
    endpoint = read_endpoint(context.settings)
    if endpoint:
        os.kill(endpoint.pid, 15)


@pytest.fixture(scope="module")
def run(ctx: Context) -> JobRecord:
    source = shipped("samples", "support_tickets.csv")
    with (
        source.open(encoding="utf-8", newline="") as sample,
        (ctx.settings.work_dir / "tickets.csv").open("w", encoding="utf-8", newline="") as file,
    ):
        csv.writer(file).writerows(islice(csv.reader(sample), 1 + _TRAINING_ROWS))
    plan = compile_plan(
        ctx,
        PlanRequest(path="tickets.csv", model="starter", method="lora", max_steps=24, batch_size=8),
    )
    job = wait(ctx, submit(ctx, plan.spec, name="tickets").id, timeout_s=_PATIENCE_S)
    assert job.state == "succeeded", job.error
    return job


@pytest.fixture(scope="module")
def exported(ctx: Context, run: JobRecord) -> JobRecord:
    leftover = ctx.settings.home / "exports" / ".partial-killed-9"
    leftover.mkdir(parents=True)
    report = export_model(run.id, ctx=ctx)
    job = wait(ctx, report.job, timeout_s=_PATIENCE_S)
    assert job.state == "succeeded", job.error
    assert not leftover.exists()
    return job


def test_a_run_ends_judged_against_its_base(ctx: Context, run: JobRecord) -> None:
    report = evaluate_model(run.id, ctx=ctx)
    assert report.verdict in {"ship", "promising", "no gain", "regressed", "cannot tell"}
    assert run.metrics["verdict"] == report.verdict
    assert report.metrics["tuned"]["loss"].value < report.metrics["base"]["loss"].value
    assert run.metrics["base_eval_loss"] == report.metrics["base"]["loss"].value
    assert "tfidf" in report.metrics
    assert any("chose the checkpoint" in note for note in report.notes)


def test_another_file_is_judged_in_slices(ctx: Context, run: JobRecord) -> None:
    report = evaluate_model(
        run.id, path="data/samples/support_tickets_heldout.csv", limit=60, ctx=ctx
    )
    job = wait(ctx, report.job, timeout_s=_PATIENCE_S)
    assert job.state == "succeeded", job.error
    assert set(job.metrics["slices"]) == {"seen", "unseen"}
    again = evaluate_model(
        run.id, path="data/samples/support_tickets_heldout.csv", limit=60, ctx=ctx
    )
    assert again.n == 60
    assert again.job == job.id
    assert {part.column for part in again.slices} >= {"half", "label", "length"}
    assert sum(part.n for part in again.slices if part.column == "half") == 60


def test_rows_that_were_trained_on_prove_nothing(ctx: Context, run: JobRecord) -> None:
    report = evaluate_model(run.id, path="tickets.csv", ctx=ctx)
    job = wait(ctx, report.job, timeout_s=_PATIENCE_S)
    judged = evaluate_model(run.id, path="tickets.csv", ctx=ctx)
    assert job.metrics["verdict"] == "cannot tell"
    assert judged.excluded > 100
    assert "trained on" in str(judged.verdict_text)


def test_the_exported_models_say_what_the_tuned_one_says(ctx: Context, exported: JobRecord) -> None:
    measures = exported.metrics["parity"]["measures"]
    assert exported.metrics["parity"]["passed"] is True
    assert measures["onnx_fp32_agreement"] == 1.0
    assert measures["base_moved"] > 0
    assert set(exported.metrics["tokens_per_second"]) == {"torch", "onnx_fp32", "onnx_int4"}
    for name in ("onnx_fp32", "onnx_int4"):
        folder = ctx.settings.home / exported.artifacts[name]
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["parity"]["passed"]
        assert "model.onnx" in manifest["files"]
        assert (folder / "chat_template.jinja").is_file()
    left = {path.name for path in (ctx.settings.home / "exports").iterdir()}
    assert left == {exported.id}


def test_exporting_the_same_again_tells_where_it_lies(
    ctx: Context, run: JobRecord, exported: JobRecord
) -> None:
    report = export_model(run.id, ctx=ctx)
    assert (report.job, report.state) == (exported.id, "succeeded")
    assert Path(report.artifacts["onnx_int4"]).is_dir()


def test_all_three_models_answer_side_by_side(
    ctx: Context, run: JobRecord, exported: JobRecord
) -> None:
    report = try_model("my card was charged twice", job=run.id, ctx=ctx)
    said = {answer.target: answer for answer in report.answers}
    assert list(said) == ["base", "tuned", "onnx_int4"]
    for answer in said.values():
        assert answer.error is None
        assert answer.first_token_s is not None
        assert 0 < answer.tokens <= 24


def test_answers_stream_and_a_caller_may_hang_up(ctx: Context, run: JobRecord) -> None:
    tuned = targets_for(ctx, run.id, "tuned")
    stream = generate(ctx, tuned, "where is my parcel", max_new_tokens=200)
    next(stream)
    stream.close()
    again = list(generate(ctx, tuned, "where is my parcel", max_new_tokens=4))
    assert again[-1].ended
    assert again[-1].tokens <= 4


def test_the_worker_answers_nobody_without_its_key(ctx: Context, run: JobRecord) -> None:
    list(generate(ctx, targets_for(ctx, run.id, "base"), "hello", max_new_tokens=2))
    endpoint = read_endpoint(ctx.settings)
    assert endpoint is not None
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=30) as caller:
        caller.sendall(b"\x00\x00\x00\x02{}" * 3)
        heard = b""
        # Closing with bytes unread looks like a reset from here.
        with suppress(ConnectionResetError):
            while piece := caller.recv(4096):
                heard += piece
    assert b"target" not in heard


def test_an_export_that_misses_parity_is_refused_and_leaves_nothing(
    ctx: Context, run: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tools.export import parity
    from tools.work import export
    from tools.work.report import Job

    monkeypatch.setattr(parity, "MERGE_LOGIT_ERROR", -1.0)
    spec = ExportSpec(job=run.id, format="merged", precisions=("fp32",), parity_rows=4)
    record = ctx.store.jobs.create(spec, name="strays", parent=run.id)
    ctx.settings.job_folder(record.id).mkdir(parents=True)
    exports = ctx.settings.home / "exports"
    exports.mkdir(exist_ok=True)
    before = {path.name for path in exports.iterdir()}
    with pytest.raises(Refused) as caught:
        export.run(Job(record, ctx.settings, ctx.store))
    assert caught.value.refused_by == "parity"
    assert {path.name for path in exports.iterdir()} == before
    assert ctx.store.jobs.get(record.id).metrics["parity"]["passed"] is False
    ctx.store.jobs.set_state(record.id, "failed")
