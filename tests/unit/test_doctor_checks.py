"""What is wrong with a machine is named, with what to do; nothing is changed."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tools import doctor
from tools.context import Context
from tools.doctor import Check, diagnose_machine
from tools.settings import Settings


def _check(settings: Settings, name: str) -> Check:
    report = diagnose_machine(settings, trial=False)
    return next(check for check in report.checks if check.name == name)


def test_a_sound_machine_has_nothing_broken(settings: Settings) -> None:
    report = diagnose_machine(settings, trial=False)
    assert report.healthy, report.text()
    assert "Everything works." in report.text()
    assert report.document()["healthy"] is True


def test_a_home_that_cannot_be_written_is_broken(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    blocked = settings.model_copy(update={"home": tmp_path / "file" / "home"})
    report = diagnose_machine(blocked, trial=False)
    assert not report.healthy
    assert "LUTHIER_HOME" in report.text()


def test_a_history_of_a_newer_luthier_is_broken(ctx: Context) -> None:
    from sqlite_utils import Database

    Database(ctx.store.path)["_sqlite_migrations"].insert(
        {"migration_set": "luthier", "name": "m999_later", "applied_at": "2030-01-01"}
    )
    check = _check(ctx.settings, "history")
    assert check.state == "broken"
    assert "newer" in check.found


def test_a_file_that_is_no_database_is_broken(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    settings.database.write_bytes(b"this is text, and long enough to be read as a header....")
    assert _check(settings, "history").state == "broken"


def test_a_port_in_use_is_a_note(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = settings.model_copy(update={"port": taken.getsockname()[1]})
        check = _check(busy, "port")
    assert check.state == "note"
    assert "--port" in check.fix


def test_a_package_of_the_wrong_version_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "requires", lambda name: ["numpy>=99", "not-there-at-all>=1"])
    check = _check(settings, "packages")
    assert check.state == "broken"
    assert "numpy is" in check.found
    assert "not-there-at-all is missing" in check.found


def test_too_little_memory_is_broken(settings: Settings) -> None:
    small = settings.model_copy(update={"memory_limit_gib": 0.5})
    check = _check(small, "memory")
    assert check.state == "broken"
    assert check.fix
