"""Jobs and their events."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tools.errors import Conflict, NotFound
from tools.history.database import reading, writing
from tools.history.events import Event, StateChanged
from tools.history.spec import (
    PARENTS,
    AnySpec,
    JobKind,
    JobState,
    TrainingSpec,
    plan_hash,
    read_spec,
)

_JSON_COLUMNS = ("predicted", "measured", "metrics", "artifacts", "error")


class JobRecord(BaseModel):
    """One row of the history.

    Attributes:
        predicted, measured: Quantity → value, such as `memory_gib`, `duration_s`.
        artifacts: Name → path relative to Luthier's home.
        error: `{code, message, hint, refused_by}` of a job that failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    number: int
    kind: JobKind
    state: JobState
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    spec: AnySpec
    plan_hash: str
    approval_id: str | None
    parent: str | None
    thread_id: str | None
    pid: int | None
    predicted: dict[str, Any]
    measured: dict[str, Any]
    metrics: dict[str, Any]
    artifacts: dict[str, Any]
    error: dict[str, Any] | None
    forgotten_at: datetime | None

    @property
    def training(self) -> TrainingSpec:
        """The spec of a training job.

        Raises:
            Conflict: The job is of another kind.
        """
        if not isinstance(self.spec, TrainingSpec):
            several = f"Name one of its runs; `luthier show {self.id}` lists them."
            raise Conflict(
                f"{self.id} is a job of kind {self.kind}, not a training run.",
                hint=several
                if self.kind in PARENTS
                else "Name a training run; `luthier jobs` lists them.",
            )
        return self.spec


class EventRecord(BaseModel):
    """One stored event: its cursor `seq`, when, which kind, and its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seq: int
    job_id: str
    at: datetime
    kind: str
    payload: dict[str, Any]


class Jobs:
    """The jobs table and the events table."""

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self._path = path
        self._clock = clock

    def create(
        self,
        spec: AnySpec,
        *,
        name: str,
        approval_id: str | None = None,
        parent: str | None = None,
        thread_id: str | None = None,
        predicted: dict[str, Any] | None = None,
    ) -> JobRecord:
        """Store a new queued job. The same `approval_id` gives the job it already started."""
        with writing(self._path) as db:
            if approval_id:
                row = db.execute(
                    "SELECT * FROM jobs WHERE approval_id = ?", [approval_id]
                ).fetchone()
                if row:
                    return _record(row)
            number = db.execute("SELECT coalesce(max(number), 0) + 1 FROM jobs").fetchone()[0]
            job_id = f"{slug(name)}-{number}"
            db.execute(
                "INSERT INTO jobs (id, number, kind, state, created_at, spec, plan_hash,"
                " approval_id, parent, thread_id, predicted)"
                " VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?)",
                [
                    job_id,
                    number,
                    spec.kind,
                    self._now(),
                    spec.model_dump_json(),
                    plan_hash(spec),
                    approval_id,
                    parent,
                    thread_id,
                    json.dumps(predicted or {}),
                ],
            )
            self._append(db, job_id, [StateChanged(state="queued")])
            return _record(db.execute("SELECT * FROM jobs WHERE id = ?", [job_id]).fetchone())

    def get(self, job_id: str) -> JobRecord:
        """Return one job.

        Raises:
            NotFound: There is none of that id.
        """
        with reading(self._path) as db:
            row = db.execute("SELECT * FROM jobs WHERE id = ?", [job_id]).fetchone()
        if row is None:
            raise NotFound(f"There is no job {job_id}.", hint="`luthier jobs` lists all jobs.")
        return _record(row)

    def find(
        self,
        *,
        states: Iterable[JobState] | None = None,
        kinds: Iterable[JobKind] | None = None,
        parent: str | None = None,
        limit: int | None = None,
    ) -> list[JobRecord]:
        """Return jobs, newest first."""
        clauses, values = ["forgotten_at IS NULL"], list[Any]()
        for column, wanted in (("state", states), ("kind", kinds)):
            if wanted is not None:
                chosen = list(wanted)
                clauses.append(f"{column} IN ({', '.join('?' * len(chosen))})")
                values += chosen
        if parent is not None:
            clauses.append("parent = ?")
            values.append(parent)
        query = f"SELECT * FROM jobs WHERE {' AND '.join(clauses)} ORDER BY number DESC LIMIT ?"
        with reading(self._path) as db:
            return [_record(row) for row in db.execute(query, [*values, limit or -1])]

    def set_state(
        self,
        job_id: str,
        state: JobState,
        *,
        expected: Iterable[JobState] | None = None,
        reason: str = "",
        error: dict[str, Any] | None = None,
    ) -> bool:
        """Move a job to another state, once.

        Returns:
            False where the job is no longer in one of the `expected` states; nothing changes then.
        """
        with writing(self._path) as db:
            row = db.execute("SELECT state FROM jobs WHERE id = ?", [job_id]).fetchone()
            if row is None or (expected is not None and row["state"] not in set(expected)):
                return False
            stamp = {"running": "started_at", "queued": None}.get(state, "finished_at")
            # A queued job has no process: the one of an earlier start must not speak for the next.
            queued = ", finished_at = NULL, pid = NULL"
            stamped = f", {stamp} = '{self._now()}'" if stamp else queued
            db.execute(
                f"UPDATE jobs SET state = ?, error = ?{stamped} WHERE id = ?",
                [state, json.dumps(error) if error else None, job_id],
            )
            self._append(db, job_id, [StateChanged(state=state, reason=reason)])
            return True

    def record(self, job_id: str, **values: dict[str, Any] | int | None) -> None:
        """Set columns: dictionaries are merged into what is there, `pid` is replaced."""
        with writing(self._path) as db:
            for column, value in values.items():
                if column in _JSON_COLUMNS and isinstance(value, dict):
                    row = db.execute(f"SELECT {column} FROM jobs WHERE id = ?", [job_id]).fetchone()
                    merged = json.loads(row[column] or "{}") | value
                    db.execute(
                        f"UPDATE jobs SET {column} = ? WHERE id = ?", [json.dumps(merged), job_id]
                    )
                elif column == "pid":
                    db.execute("UPDATE jobs SET pid = ? WHERE id = ?", [value, job_id])
                else:
                    raise ValueError(f"jobs has no column {column} to record")

    def forget(self, job_id: str) -> None:
        """Mark a job's artefacts as deleted; the row stays as history."""
        with writing(self._path) as db:
            db.execute(
                "UPDATE jobs SET forgotten_at = ?, artifacts = '{}' WHERE id = ?",
                [self._now(), job_id],
            )

    def append(
        self, job_id: str, events: Sequence[Event], *, at: Sequence[datetime] | None = None
    ) -> None:
        """Append events in one transaction.

        Args:
            at: When each happened; now, where it is not given.
        """
        if events:
            with writing(self._path) as db:
                self._append(db, job_id, events, at)

    def events(
        self,
        job_id: str,
        *,
        after: int = 0,
        kinds: Iterable[str] | None = None,
        limit: int | None = None,
    ) -> list[EventRecord]:
        """Return events with `seq` greater than the cursor `after`, oldest first."""
        chosen = list(kinds) if kinds is not None else []
        only = f" AND kind IN ({', '.join('?' * len(chosen))})" if chosen else ""
        query = f"SELECT * FROM events WHERE job_id = ? AND seq > ?{only} ORDER BY seq LIMIT ?"
        with reading(self._path) as db:
            rows = db.execute(query, [job_id, after, *chosen, limit or -1]).fetchall()
        return [EventRecord(**{**dict(r), "payload": json.loads(r["payload"])}) for r in rows]

    def _append(
        self,
        db: sqlite3.Connection,
        job_id: str,
        events: Sequence[Event],
        at: Sequence[datetime] | None = None,
    ) -> None:
        times = [t.isoformat(timespec="milliseconds") for t in at or [self._clock()] * len(events)]
        db.executemany(
            "INSERT INTO events (job_id, at, kind, payload) VALUES (?, ?, ?, ?)",
            [
                (job_id, time, event.kind, json.dumps(event.payload))  # type: ignore[attr-defined]
                for time, event in zip(times, events, strict=True)
            ],
        )

    def _now(self) -> str:
        return self._clock().isoformat(timespec="milliseconds")


def slug(name: str) -> str:
    """Return a short file-safe name: lower case, words joined by hyphens."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    return "-".join(words)[:40].strip("-") or "job"


def _record(row: sqlite3.Row) -> JobRecord:
    values = dict(row)
    for column in _JSON_COLUMNS:
        values[column] = json.loads(values[column]) if values[column] else None
    values["spec"] = read_spec(values["spec"])
    return JobRecord.model_validate(values)
