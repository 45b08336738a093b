"""Blind comparisons and the votes cast on them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tools.errors import NotFound
from tools.history.database import reading, writing

Choice = Literal["base", "tuned", "tie"]


class BallotRecord(BaseModel):
    """One pair of answers as one judge is shown it.

    Attributes:
        pair: Number of the row of the data that both answers are to.
        place: When this judge meets the pair; each judge has an order of their own.
        tuned_first: The tuned model's answer is the first of the two. Hidden from the judge.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    job_id: str
    pair: int
    voter: str
    place: int
    tuned_first: bool
    opened_at: datetime
    choice: Choice | None
    cast_at: datetime | None


class Ballots:
    """The ballots table."""

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self._path = path
        self._clock = clock

    def deal(self, job_id: str, voter: str, dealt: Sequence[tuple[str, int, bool]]) -> None:
        """Store a judge's ballots, in their order; those that exist already stay as they are.

        Args:
            dealt: Id, pair, and whether the tuned answer comes first.
        """
        now = self._now()
        with writing(self._path) as db:
            db.executemany(
                "INSERT INTO ballots (id, job_id, pair, voter, place, tuned_first, opened_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id, voter, pair) DO NOTHING",
                [
                    (ballot, job_id, pair, voter, place, int(first), now)
                    for place, (ballot, pair, first) in enumerate(dealt)
                ],
            )

    def get(self, ballot: str) -> BallotRecord:
        """Return one ballot.

        Raises:
            NotFound: There is none of that id.
        """
        with reading(self._path) as db:
            row = db.execute("SELECT * FROM ballots WHERE id = ?", [ballot]).fetchone()
        if row is None:
            raise NotFound(f"There is no ballot {ballot}.", hint="Open the comparison again.")
        return _record(row)

    def cast(self, ballot: str, choice: Choice) -> None:
        """Record a choice; a later one on the same ballot takes its place."""
        with reading(self._path) as db:
            db.execute(
                "UPDATE ballots SET choice = ?, cast_at = ? WHERE id = ?",
                [choice, self._now(), ballot],
            )

    def of(self, job_id: str, voter: str | None = None) -> list[BallotRecord]:
        """Return a job's ballots, of one judge or of all, each judge's in their own order."""
        only, values = (" AND voter = ?", [job_id, voter]) if voter else ("", [job_id])
        query = f"SELECT * FROM ballots WHERE job_id = ?{only} ORDER BY voter, place"
        with reading(self._path) as db:
            return [_record(row) for row in db.execute(query, values)]

    def _now(self) -> str:
        return self._clock().isoformat(timespec="milliseconds")


def _record(row: sqlite3.Row) -> BallotRecord:
    return BallotRecord.model_validate(dict(row))
