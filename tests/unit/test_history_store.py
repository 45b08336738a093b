"""The history under several processes, and across versions."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlite_utils import Database

from tests.jobs_factory import make_spec_alone
from tools.context import Context, utc_now
from tools.errors import Conflict, NotFound, TooNew, Unavailable
from tools.history.database import check_version, migrate
from tools.history.events import EVENT, Progress, StepMetrics
from tools.history.migrations import MIGRATIONS
from tools.history.store import Store

_PROCESSES = 4
_EVENTS_EACH = 60


def _in_processes(target: Callable[..., None], *arguments: object) -> list[int | None]:
    method = multiprocessing.get_context("fork")
    processes = [method.Process(target=target, args=(*arguments, i)) for i in range(_PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    return [process.exitcode for process in processes]


def _append_events(path: Path, job_id: str, who: int) -> None:
    store = Store.open_as_worker(path, clock=utc_now)
    for i in range(_EVENTS_EACH):
        store.jobs.append(job_id, [Progress(phase=f"p{who}", done=i, total=_EVENTS_EACH)])


def _migrate(path: Path, who: int) -> None:
    del who
    migrate(path)


def test_four_processes_append_events_and_none_is_lost_or_reordered(ctx: Context) -> None:
    job = ctx.store.jobs.create(make_spec_alone(), name="busy")
    assert _in_processes(_append_events, ctx.settings.database, job.id) == [0] * _PROCESSES
    events = ctx.store.jobs.events(job.id, kinds=["progress"])
    assert len(events) == _PROCESSES * _EVENTS_EACH
    assert [e.seq for e in events] == sorted({e.seq for e in events})
    for who in range(_PROCESSES):
        mine = [e.payload["done"] for e in events if e.payload["phase"] == f"p{who}"]
        assert mine == list(range(_EVENTS_EACH))


def test_four_processes_migrate_at_once_and_all_succeed(tmp_path: Path) -> None:
    path = tmp_path / "luthier.db"
    assert _in_processes(_migrate, path) == [0] * _PROCESSES
    check_version(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_database_of_a_newer_luthier_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "luthier.db"
    migrate(path)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('luthier', 'm999_from_the_future', '2099-01-01')"
        )
    with pytest.raises(TooNew, match="m999_from_the_future"):
        Store.open(path, clock=utc_now)
    with pytest.raises(TooNew):
        Store.open_as_worker(path, clock=utc_now)


def test_a_worker_never_migrates_an_older_database(tmp_path: Path) -> None:
    path = tmp_path / "luthier.db"
    sqlite3.connect(path).close()
    with pytest.raises(Unavailable, match="older"):
        Store.open_as_worker(path, clock=utc_now)
    with sqlite3.connect(path) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert "jobs" not in tables


def test_an_older_database_is_copied_aside_before_it_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "luthier.db"
    database = Database(path)
    first = next(iter(MIGRATIONS.pending(database))).name
    MIGRATIONS.apply(database, stop_before="m002_consent")
    database.close()
    migrate(path)
    check_version(path)
    copies = list(tmp_path.glob("luthier-before-*.db"))
    assert first == "m001_jobs"
    assert [copy.name for copy in copies] == ["luthier-before-m002_consent.db"]


def test_a_file_that_is_no_database_is_named_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "luthier.db"
    path.write_text("not a database, but somebody's notes " * 50)
    with pytest.raises(Unavailable, match=r"luthier\.db"):
        Store.open(path, clock=utc_now)
    assert path.read_text().startswith("not a database")


def test_events_are_read_with_a_cursor_and_keep_their_own_time(ctx: Context) -> None:
    job = ctx.store.jobs.create(make_spec_alone(), name="cursor")
    moment = utc_now() - timedelta(hours=3)
    metrics = StepMetrics(step=1, epoch=0.5, loss=2.0)
    ctx.store.jobs.append(job.id, [metrics, Progress(phase="x", done=1, total=2)], at=[moment] * 2)
    first, *rest = ctx.store.jobs.events(job.id)
    assert first.payload == {"state": "queued", "reason": ""}
    assert abs((rest[0].at - moment).total_seconds()) < 0.01
    assert EVENT.validate_python({"kind": rest[0].kind, **rest[0].payload}) == metrics
    assert ctx.store.jobs.events(job.id, after=rest[0].seq) == rest[1:]


def test_a_state_changes_only_from_an_expected_one(ctx: Context) -> None:
    job = ctx.store.jobs.create(make_spec_alone(), name="states")
    assert not ctx.store.jobs.set_state(job.id, "succeeded", expected=["running"])
    assert ctx.store.jobs.set_state(job.id, "running", expected=["queued"])
    assert ctx.store.jobs.set_state(job.id, "failed", expected=["running"], error={"code": "x"})
    assert not ctx.store.jobs.set_state(job.id, "succeeded", expected=["running"])
    record = ctx.store.jobs.get(job.id)
    assert (record.state, record.error) == ("failed", {"code": "x"})


def test_a_notice_is_claimed_once_and_only_by_its_conversation(ctx: Context) -> None:
    job = ctx.store.jobs.create(make_spec_alone(), name="told")
    ctx.store.add_notice(job.id, "thread-a", "done")
    ctx.store.add_notice(job.id, None, "for anyone")
    assert ctx.store.claim_notices("b", thread_id="thread-b") == []
    assert [n.text for n in ctx.store.claim_notices("a", thread_id="thread-a")] == ["done"]
    assert ctx.store.claim_notices("a", thread_id="thread-a") == []
    assert [n.text for n in ctx.store.claim_notices("cli")] == ["for anyone"]


def test_a_plan_is_decided_once(ctx: Context) -> None:
    asked = ctx.store.approvals.request("forget", subject="s", plan={"a": 1}, card={})
    ctx.store.approvals.decide(asked.id, "granted", by="typed")
    with pytest.raises(Conflict, match="granted"):
        ctx.store.approvals.decide(asked.id, "declined", by="typed")


def test_the_same_tool_call_asks_once_and_a_new_plan_replaces_the_waiting_one(
    ctx: Context,
) -> None:
    ask = ctx.store.approvals.request
    first = ask("start_training", subject="a", plan={"n": 1}, card={}, thread_id="t", call_id="1")
    again = ask("start_training", subject="b", plan={"n": 2}, card={}, thread_id="t", call_id="1")
    assert again == first
    newer = ask("start_training", subject="c", plan={"n": 3}, card={}, thread_id="t", call_id="2")
    assert ctx.store.approvals.get(first.id).state == "superseded"
    assert [a.id for a in ctx.store.approvals.waiting("t")] == [newer.id]


def test_what_does_not_exist_is_not_found(ctx: Context) -> None:
    for look in (ctx.store.jobs.get, ctx.store.approvals.get, ctx.store.dataset):
        with pytest.raises(NotFound):
            look("nothing")
