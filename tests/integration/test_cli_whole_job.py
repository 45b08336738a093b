"""The whole job at the command line, as a program that reads `--json` sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ui.cli import run

pytestmark = pytest.mark.integration
TICKETS = "data/samples/support_tickets.csv"


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's machine: offline, one thread, an empty home."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "HOME": str(tmp_path),
        "LUTHIER_HOME": str(tmp_path / "home"),
        "LUTHIER_NETWORK": "never",
        "LUTHIER_WORKER_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def luthier(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command with `--json`; return its exit code and its one document."""

    def command(*arguments: str) -> tuple[int, Any]:
        code = run([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return command


def test_from_a_csv_to_a_verified_onnx_model(person: Path, luthier: Any) -> None:
    code, plan = luthier("train", TICKETS, "--max-steps", "12")
    assert (code, plan["state"]) == (1, "waiting")
    assert luthier("jobs") == (0, [])

    code, trained = luthier("train", TICKETS, "--max-steps", "12", "--yes")
    assert code == 0
    assert {"job", "plan_hash", "state", "plan"} <= trained.keys()
    assert trained["state"] == "succeeded"
    job = trained["job"]

    code, shown = luthier("show", job)
    assert code == 0
    expected = {"spec", "attempts", "events", "predicted", "measured", "artifacts", "error"}
    assert expected <= shown.keys()
    assert shown["plan_hash"] == trained["plan_hash"]
    assert {"at", "kind"} <= shown["events"][0].keys()
    losses = [e["payload"]["loss"] for e in shown["events"] if e["kind"] == "metrics"]
    losses = [loss for loss in losses if loss is not None]
    assert losses[-1] < losses[0]
    assert (person / "home" / shown["artifacts"]["adapter"]).is_dir()

    code, judged = luthier("evaluate", job, "--limit", "40")
    assert code == 0
    assert judged["n"] == 40
    assert {"base", "tuned"} <= judged["metrics"].keys()

    code, exported = luthier("export", job, "--precision", "fp32")
    assert code == 0
    assert exported["state"] == "succeeded"
    assert exported["parity"]["passed"] is True
    assert (Path(exported["artifacts"]["onnx_fp32"]) / "genai_config.json").is_file()

    code, jobs = luthier("jobs")
    assert [row["kind"] for row in jobs] == ["export", "evaluate", "train"]
    fields = {"id", "kind", "state", "created_at", "dataset", "method", "base_model", "metrics"}
    assert fields <= jobs[0].keys()

    code, problem = luthier("cancel", job)
    assert code == 1
    assert problem["error"]["hint"]

    code, _ = luthier("forget", job, "--yes")
    assert code == 0
    assert not (person / "home" / "jobs" / job).exists()
