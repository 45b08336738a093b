"""Bad input at the command line: one clear message, a next step, exit code 1, nothing half-made."""

from __future__ import annotations

import json
import socket
import sqlite3
from pathlib import Path

import pytest

from ui.cli import run

ROWS = "text,label\n" + "".join(
    f"message number {i} about a thing,{'ab'[i % 2]}\n" for i in range(40)
)


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's folder: the working directory, with an empty LUTHIER_HOME beside it."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LUTHIER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LUTHIER_NETWORK", "never")
    for name in ("LUTHIER_BRAIN", "HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return work


def _refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run, expect a fixable problem, return what stderr says."""
    assert run(list(arguments)) == 1
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.strip()]
    assert len(lines) == 2, f"one problem and one next step, not: {captured.err}"
    assert "Traceback" not in captured.err
    return captured.err


FILES = {
    "empty.csv": b"",
    "header_only.csv": b"text,label\n",
    "binary.csv": bytes(range(256)) * 40,
    "one_column.csv": b"label\n" + b"billing\nreturns\n" * 20,
    "three_rows.csv": b"text,label\na b c,x\nd e f,y\ng h i,x\n",
    "broken.json": b'{"text": "a", "label": ',
    "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(200),
}


@pytest.mark.parametrize("name", FILES)
def test_training_on_an_unusable_file_is_refused(
    name: str, person: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (person / name).write_bytes(FILES[name])
    message = _refused(capsys, "train", name, "--yes")
    assert name in message or "row" in message or "column" in message
    home = person.parent / "home"
    assert not list((home / "jobs").glob("*"))
    assert not list((home / "datasets").glob("*"))
    assert (person / name).read_bytes() == FILES[name]


def test_a_missing_file_is_named(person: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("inspect", "prepare", "train", "recommend"):
        assert "nowhere.csv" in _refused(capsys, command, "nowhere.csv")


def test_an_unknown_model_is_named(person: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (person / "rows.csv").write_text(ROWS)
    assert "no-such-model" in _refused(capsys, "train", "rows.csv", "--model", "no-such-model")


def test_a_hub_model_offline_says_so(person: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (person / "rows.csv").write_text(ROWS)
    message = _refused(capsys, "train", "rows.csv", "--model", "acme/some-model")
    assert "acme/some-model" in message


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "no-such-job"],
        ["cancel", "no-such-job"],
        ["resume", "no-such-job"],
        ["evaluate", "no-such-job"],
        ["export", "no-such-job"],
        ["forget", "no-such-job"],
    ],
    ids=lambda a: a[0],
)
def test_an_unknown_job_is_named(
    arguments: list[str], person: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no-such-job" in _refused(capsys, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [["--rank", "0"], ["--epochs", "-1"], ["--learning-rate", "9"], ["--batch-size", "0"]],
    ids=lambda a: a[0],
)
def test_a_number_out_of_range_names_the_argument(
    arguments: list[str], person: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (person / "rows.csv").write_text(ROWS)
    message = _refused(capsys, "train", "rows.csv", *arguments)
    assert arguments[0].strip("-").replace("-", "_") in message


def test_wrong_usage_is_exit_code_2(person: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train"]) == 2
    assert run(["no-such-command"]) == 2
    assert run(["train", "x.csv", "--no-such-option", "1"]) == 2


def test_latin_1_is_read_and_said(person: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (person / "latin.csv").write_bytes(ROWS.replace("thing", "caf\xe9").encode("latin-1"))
    assert run(["inspect", "latin.csv", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rows"] == 40
    assert any("encoding" in json.dumps(p) for p in report["problems"])


def test_a_database_from_a_newer_version_is_left_alone(
    person: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["jobs"]) == 0
    capsys.readouterr()
    database = person.parent / "home" / "luthier.db"
    with sqlite3.connect(database) as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('luthier', 'm999_from_the_future', '2030-01-01')"
        )
    db.close()
    assert "newer Luthier" in _refused(capsys, "jobs")


def test_a_home_that_cannot_be_made_is_named(
    person: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (person / "file").write_text("in the way")
    monkeypatch.setenv("LUTHIER_HOME", str(person / "file" / "home"))
    assert "LUTHIER_HOME" in _refused(capsys, "jobs")


def test_with_json_the_error_is_one_document(
    person: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", "nowhere.csv", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["message"]
    assert document["error"]["hint"]


def test_a_plan_without_yes_starts_nothing(
    person: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (person / "rows.csv").write_text(ROWS)
    assert run(["train", "rows.csv", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["state"] == "waiting"
    assert document["plan_hash"]
    assert run(["jobs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_port_in_use_is_named(person: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in _refused(capsys, "--port", str(port))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "x.csv", "--rank", "0"), "rank has to be at least 1, not 0."),
        (("train", "x.csv", "--dropout", "2"), "dropout has to be at most 0.9, not 2.0."),
        (("compare", *"abcdefg"), "jobs takes at most 4, not 7."),
        (("train", "x.csv", "--method", "qlorra"), "Did you mean qlora?"),
    ],
)
def test_a_value_out_of_range_is_told_in_words(
    arguments: tuple[str, ...], words: str, person: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (person / "x.csv").write_text(ROWS)
    message = _refused(capsys, *arguments)
    assert words in message
    assert "--help` " in message


def test_json_that_breaks_off_is_said_to_break_off(
    person: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (person / "broken.json").write_bytes(FILES["broken.json"])
    assert "breaks off" in _refused(capsys, "inspect", "broken.json")
