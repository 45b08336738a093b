"""The history of everything: the one door to `luthier.db`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tools.errors import NotFound
from tools.history.approvals import Approvals
from tools.history.ballots import Ballots
from tools.history.database import check_version, migrate, reading, writing
from tools.history.jobs import Jobs


class DatasetRecord(BaseModel):
    """One prepared dataset version: its folder is `datasets/<id>/` under Luthier's home."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    fingerprint: str
    source: str
    created_at: datetime
    manifest: dict[str, Any]
    forgotten_at: datetime | None


class Notice(BaseModel):
    """Something that happened while nobody looked, told once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int
    job_id: str
    thread_id: str | None
    at: datetime
    text: str


class Thread(BaseModel):
    """A conversation in the list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    created_at: datetime
    touched_at: datetime


class Store:
    """All reads and writes of `luthier.db`. Safe to share between threads and processes.

    Attributes:
        jobs: Jobs and events.
        approvals: Plans and consent.
        ballots: Blind comparisons of answers.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self.path = path
        self.jobs = Jobs(path, clock)
        self.approvals = Approvals(path, clock)
        self.ballots = Ballots(path, clock)
        self._clock = clock

    @classmethod
    def open(cls, path: Path, *, clock: Callable[[], datetime]) -> Store:
        """Open for a face: create or migrate the database where needed."""
        migrate(path)
        return cls(path, clock)

    @classmethod
    def open_as_worker(cls, path: Path, *, clock: Callable[[], datetime]) -> Store:
        """Open for a worker, which never migrates."""
        check_version(path)
        return cls(path, clock)

    def pulse(self) -> tuple[int, int, int, int]:
        """Return a cheap mark that differs once a job, notice, plan or conversation changed.

        A page compares it with the last one and reads nothing more while it stays the same.
        """
        with reading(self.path) as db:
            row = db.execute(
                "SELECT (SELECT coalesce(max(seq), 0) FROM events),"
                " (SELECT coalesce(max(id), 0) FROM notices),"
                " (SELECT count(*) FROM approvals WHERE state = 'waiting'),"
                " (SELECT count(*) FROM threads)"
            ).fetchone()
        return (row[0], row[1], row[2], row[3])

    def save_dataset(
        self, version: str, *, fingerprint: str, source: str, manifest: dict[str, Any]
    ) -> None:
        """Record a prepared version; recording the same one again changes nothing."""
        with writing(self.path) as db:
            db.execute(
                "INSERT INTO datasets (id, fingerprint, source, created_at, manifest)"
                " VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET forgotten_at = NULL",
                [version, fingerprint, source, self._now(), json.dumps(manifest)],
            )

    def dataset(self, version: str) -> DatasetRecord:
        """Return one prepared version.

        Raises:
            NotFound: There is none of that id, or it was forgotten.
        """
        with reading(self.path) as db:
            row = db.execute(
                "SELECT * FROM datasets WHERE id = ? AND forgotten_at IS NULL", [version]
            ).fetchone()
        if row is None:
            raise NotFound(
                f"There is no prepared dataset {version}.", hint="Prepare the source file again."
            )
        return _dataset(row)

    def datasets(self, limit: int | None = None) -> list[DatasetRecord]:
        """Return prepared versions, newest first."""
        with reading(self.path) as db:
            rows = db.execute(
                "SELECT * FROM datasets WHERE forgotten_at IS NULL"
                " ORDER BY created_at DESC, rowid DESC LIMIT ?",
                [limit or -1],
            ).fetchall()
        return [_dataset(row) for row in rows]

    def forget_dataset(self, version: str) -> None:
        """Mark a version as deleted."""
        with reading(self.path) as db:
            db.execute("UPDATE datasets SET forgotten_at = ? WHERE id = ?", [self._now(), version])

    def add_notice(self, job_id: str, thread_id: str | None, text: str) -> None:
        """Leave word for the next face or turn."""
        with reading(self.path) as db:
            db.execute(
                "INSERT INTO notices (job_id, thread_id, at, text) VALUES (?, ?, ?, ?)",
                [job_id, thread_id, self._now(), text],
            )

    def claim_notices(self, claimant: str, *, thread_id: str | None = None) -> list[Notice]:
        """Take the notices nobody has shown yet: of one conversation, or those of none."""
        where = "thread_id = ?" if thread_id else "thread_id IS NULL"
        with writing(self.path) as db:
            rows = db.execute(
                f"UPDATE notices SET claimed_by = ? WHERE claimed_by IS NULL AND {where}"
                " RETURNING id, job_id, thread_id, at, text",
                [claimant, thread_id] if thread_id else [claimant],
            ).fetchall()
        return [Notice(**dict(row)) for row in sorted(rows, key=lambda row: row["id"])]

    def touch_thread(self, thread_id: str, title: str) -> None:
        """Create a conversation's entry with this title, or move it to the top of the list."""
        now = self._now()
        with reading(self.path) as db:
            db.execute(
                "INSERT INTO threads (id, title, created_at, touched_at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET touched_at = excluded.touched_at",
                [thread_id, title, now, now],
            )

    def threads(self, limit: int = 50) -> list[Thread]:
        """Return conversations, latest first."""
        with reading(self.path) as db:
            rows = db.execute(
                "SELECT * FROM threads ORDER BY touched_at DESC LIMIT ?", [limit]
            ).fetchall()
        return [Thread(**dict(row)) for row in rows]

    def record_prediction(
        self, job_id: str, quantity: str, *, predicted: float, measured: float, unit: str
    ) -> None:
        """Write a line of the ledger of predicted against measured."""
        with reading(self.path) as db:
            db.execute(
                "INSERT INTO ledger (job_id, quantity, predicted, measured, unit, at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [job_id, quantity, predicted, measured, unit, self._now()],
            )

    def predictions(self, quantity: str) -> list[tuple[str, float, float]]:
        """Return `(job_id, predicted, measured)` of one quantity, oldest first."""
        with reading(self.path) as db:
            rows = db.execute(
                "SELECT job_id, predicted, measured FROM ledger WHERE quantity = ? ORDER BY id",
                [quantity],
            ).fetchall()
        return [(row["job_id"], row["predicted"], row["measured"]) for row in rows]

    def _now(self) -> str:
        return self._clock().isoformat(timespec="milliseconds")


def _dataset(row: Any) -> DatasetRecord:
    values = dict(row)
    values["manifest"] = json.loads(values["manifest"])
    return DatasetRecord.model_validate(values)
