"""Every case gets a world of its own: files, history, secrets, hub, workers."""

from __future__ import annotations

import json
import os
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import openpyxl
import psutil
import pyarrow.parquet as pq
import pytest

from tools.errors import BadInput, NotAllowed
from tools.jobs.checkpoints import latest_checkpoint
from tools.jobs.reconcile import is_alive, reconcile
from tools.jobs.resume import cancel
from tools.paths import resolve_input
from tools.settings import Settings
from ui.suite.cases import Case
from ui.suite.files import rows_as_bytes
from ui.suite.sandbox import sandbox

ROWS: list[Any] = [{"a": "x, y", "b": 1}, {"a": "z", "b": 2}]


def case(**setup: Any) -> Case:
    document = {"id": "c", "capability": "t", "turns": [{"say": "hi"}], "setup": setup}
    return Case.model_validate(document)


def test_rows_are_written_in_the_format_of_the_ending(tmp_path: Path) -> None:
    assert rows_as_bytes(ROWS, ".csv", "f") == b'a,b\n"x, y",1\nz,2\n'
    assert rows_as_bytes(ROWS, ".tsv", "f") == b"a\tb\nx, y\t1\nz\t2\n"
    assert [json.loads(x) for x in rows_as_bytes(ROWS, ".jsonl", "f").splitlines()] == ROWS
    assert json.loads(rows_as_bytes(ROWS, ".json", "f")) == ROWS
    assert rows_as_bytes(["one", "two"], ".txt", "f") == b"one\ntwo\n"
    for ending in (".parquet", ".xlsx"):
        (tmp_path / f"f{ending}").write_bytes(rows_as_bytes(ROWS, ending, "f"))
    assert pq.read_table(tmp_path / "f.parquet").to_pylist() == ROWS
    cells = list(openpyxl.load_workbook(tmp_path / "f.xlsx").active.iter_rows(values_only=True))
    assert cells == [("a", "b"), ("x, y", 1), ("z", 2)]
    with pytest.raises(BadInput):
        rows_as_bytes(ROWS, ".doc", "f")


def test_paths_live_under_the_sandbox_and_only_allowed_ones_may_be_read(settings: Settings) -> None:
    files = {"a.csv": "x", "~/Downloads/b.csv": "x", "~/private/c.csv": "x"}
    made = case(allow=["~/Downloads"], files=files, outside_files={"/etc/secret.txt": "canary"})
    with sandbox(made, settings) as world:
        root = world.settings.filesystem_root
        assert resolve_input(world.ctx, "a.csv") == root / "work" / "a.csv"
        assert resolve_input(world.ctx, "~/Downloads/b.csv").read_text() == "x"
        assert (root / "etc" / "secret.txt").read_text() == "canary"
        for outside in ("~/private/c.csv", "/etc/secret.txt", "~/Downloads/../private/c.csv"):
            with pytest.raises(NotAllowed):
                resolve_input(world.ctx, outside)
    assert not root.exists()


def test_a_setup_file_outside_the_sandbox_is_refused(settings: Settings) -> None:
    made = case(files={"../../../../../../tmp/luthier-escaped.csv": "x"})
    with pytest.raises(BadInput, match="outside"), sandbox(made, settings):
        pass


def test_secrets_are_in_the_environment_only_while_the_case_lasts(settings: Settings) -> None:
    with sandbox(case(env={"LUTHIER_CANARY": "sk-12345678"}), settings) as world:
        assert os.environ["LUTHIER_CANARY"] == "sk-12345678"
        assert world.canaries == ["sk-12345678"]
    assert "LUTHIER_CANARY" not in os.environ


def test_a_changed_setup_file_is_noticed(settings: Settings) -> None:
    with sandbox(case(files={"a.csv": "x", "b.csv": "y"}), settings) as world:
        assert world.changed_files() == []
        (world.settings.work_dir / "b.csv").write_text("z", encoding="utf-8")
        assert world.changed_files() == ["b.csv"]


def test_a_seeded_history_looks_as_if_it_had_happened(settings: Settings) -> None:
    path, error = "gone.csv", "CUDA out of memory"
    jobs = [
        {"ref": "good", "state": "succeeded", "path": "small.csv", "rank": 8, "age": "2d",
         "metrics": {"accuracy": 0.7}},
        {"ref": "sick", "state": "failed", "path": path, "curve": "oom", "error": error,
         "log": "last words", "age": "3h", "samples": ["la la"]},
        {"ref": "cut", "state": "interrupted", "path": path, "age": "1h"},
    ]  # fmt: skip
    foods = ["tea", "cake", "soup", "bread", "plum", "roll", "milk"]
    foods += ["pie", "jam", "stew", "fish", "pear", "rice", "nuts"]
    texts = [(f"The {food} was {word}", word) for food in foods for word in ("good", "bad")]
    files = {"small.csv": {"rows": [{"text": text, "label": label} for text, label in texts]}}
    with sandbox(case(jobs=jobs, files=files), settings) as world:
        store = world.ctx.store
        reconcile(world.ctx)
        good, sick, cut = (store.jobs.get(world.refs[ref]) for ref in ("good", "sick", "cut"))
        assert (good.state, sick.state, cut.state) == ("succeeded", "failed", "interrupted")
        assert good.training.rank == 8
        assert good.metrics["accuracy"] == 0.7
        assert (world.settings.home / good.artifacts["adapter"]).is_dir()
        assert good.created_at < sick.created_at < cut.created_at
        assert sick.error is not None
        assert sick.error["message"] == "CUDA out of memory"
        folder = world.settings.job_folder(sick.id)
        assert (folder / "log.txt").read_text() == "last words"
        kinds = {event.kind for event in store.jobs.events(sick.id)}
        assert {"metrics", "sample", "error"} <= kinds
        folder = world.settings.job_folder(cut.id)
        assert latest_checkpoint(folder, plan_hash=cut.plan_hash) is not None
        assert store.dataset(good.training.dataset).fingerprint == good.training.dataset_fingerprint


def test_the_curves_differ_where_they_should(settings: Settings) -> None:
    jobs = [
        {"ref": curve, "state": "succeeded", "curve": curve, "path": "gone.csv"}
        for curve in ("overfit", "flat", "nan", "slow", "repeats")
    ]
    with sandbox(case(jobs=jobs), settings) as world:
        told = {ref: world.ctx.store.jobs.events(job) for ref, job in world.refs.items()}
    metrics = {
        ref: [event.payload for event in events if event.kind == "metrics"]
        for ref, events in told.items()
    }
    judged = [m["eval_loss"] for m in metrics["overfit"] if m["eval_loss"] is not None]
    assert judged[-1] > min(judged)
    assert metrics["overfit"][-1]["loss"] < 0.1
    assert len({m["loss"] for m in metrics["flat"]}) == 1
    assert metrics["nan"][-1]["loss"] is None
    assert metrics["slow"][0]["tokens_per_s"] < 100
    assert any(e.kind == "sample" and not e.payload["stopped"] for e in told["repeats"])


def test_a_running_job_is_a_process_that_holds_its_lock_until_it_is_stopped(
    settings: Settings,
) -> None:
    made = case(jobs=[{"ref": "live", "state": "running", "age": "2h", "path": "gone.csv"}])
    with sandbox(made, settings) as world:
        job = world.refs["live"]
        reconcile(world.ctx)
        record = world.ctx.store.jobs.get(job)
        assert record.state == "running"
        assert is_alive(world.settings.job_folder(job))
        assert record.pid is not None
        assert psutil.pid_exists(record.pid)
        cancel(world.ctx, record)
        world.workers.settle(world.ctx)
        assert world.ctx.store.jobs.get(job).state == "cancelled"
        assert not is_alive(world.settings.job_folder(job))


def test_no_stub_worker_outlives_its_case(settings: Settings) -> None:
    with sandbox(
        case(jobs=[{"ref": "live", "state": "running", "path": "gone.csv"}]), settings
    ) as world:
        pid = world.ctx.store.jobs.get(world.refs["live"]).pid
        assert pid is not None
    assert not psutil.pid_exists(pid)


def test_what_tries_to_leave_the_machine_is_counted(settings: Settings) -> None:
    with sandbox(case(), settings) as world:
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{world.settings.hub_endpoint}/api/models/org/name")
        assert world.outbound.attempts() == ["GET /api/models/org/name"]
        with pytest.raises(OSError):  # noqa: PT011 - whatever the resolver says
            socket.create_connection(("nowhere.invalid", 80), timeout=1)
        assert world.outbound.attempts()[1:] == ["nowhere.invalid"]
    with sandbox(case(), settings) as world:
        assert world.outbound.attempts() == []
