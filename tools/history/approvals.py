"""Approvals: the only truth about consent. Single-use, expiring, bound to a plan's hash."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tools.errors import Conflict, NotFound
from tools.history.database import reading, writing
from tools.history.spec import digest

ApprovalState = Literal["waiting", "granted", "declined", "superseded", "expired", "void"]
VALID_FOR = timedelta(hours=24)


class Approval(BaseModel):
    """A stored plan that waits for, or had, a person's consent.

    Attributes:
        action: What happens on consent: `start_training`, `forget`, or a capability's name.
        subject: One line for people: what this is about.
        plan: Exactly what will be done, JSON-like; `plan_hash` covers all of it.
        card: What the person is shown beside the plan: label → text.
        predicted: Quantity → value; beside the plan, so not covered by `plan_hash`.
        call_id: The tool call that asked; the same call never asks twice.
        granted_by: `button`, `typed`, `cli`, `mcp`, `demo`.
        outcome: Id of the job that was started, or a short word for what was done.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    action: str
    state: ApprovalState
    subject: str
    plan: dict[str, Any]
    plan_hash: str
    card: dict[str, Any]
    predicted: dict[str, Any]
    thread_id: str | None
    call_id: str | None
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    granted_by: str | None
    outcome: str | None


class Approvals:
    """The approvals table."""

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self._path = path
        self._clock = clock

    def request(
        self,
        action: str,
        *,
        subject: str,
        plan: dict[str, Any],
        card: dict[str, Any],
        predicted: dict[str, Any] | None = None,
        thread_id: str | None = None,
        call_id: str | None = None,
        key: str | None = None,
    ) -> Approval:
        """Store a plan and let it wait. In one conversation a new plan replaces the waiting one.

        Args:
            key: Hash that consent is bound to; the digest of `plan` where it is not given.
        """
        now = self._clock()
        with writing(self._path) as db:
            if call_id:
                row = db.execute("SELECT * FROM approvals WHERE call_id = ?", [call_id]).fetchone()
                if row:
                    return _record(row)
            if thread_id:
                db.execute(
                    "UPDATE approvals SET state = 'superseded', decided_at = ?"
                    " WHERE thread_id = ? AND action = ? AND state = 'waiting'",
                    [now.isoformat(), thread_id, action],
                )
            approval_id = secrets.token_hex(6)
            db.execute(
                "INSERT INTO approvals (id, action, state, subject, plan, plan_hash, card,"
                " predicted, thread_id, call_id, created_at, expires_at)"
                " VALUES (?, ?, 'waiting', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    approval_id,
                    action,
                    subject,
                    json.dumps(plan),
                    key or digest(plan),
                    json.dumps(card),
                    json.dumps(predicted or {}),
                    thread_id,
                    call_id,
                    now.isoformat(),
                    (now + VALID_FOR).isoformat(),
                ],
            )
            row = db.execute("SELECT * FROM approvals WHERE id = ?", [approval_id]).fetchone()
            return _record(row)

    def get(self, approval_id: str) -> Approval:
        """Return one approval, marked expired where its time is over."""
        self._expire()
        with reading(self._path) as db:
            row = db.execute("SELECT * FROM approvals WHERE id = ?", [approval_id]).fetchone()
        if row is None:
            raise NotFound(
                f"There is no plan waiting under {approval_id}.", hint="Ask for the plan again."
            )
        return _record(row)

    def waiting(self, thread_id: str | None = None) -> list[Approval]:
        """Return plans that wait for consent, newest first; of one conversation or of all."""
        self._expire()
        where = "state = 'waiting'" + (" AND thread_id = ?" if thread_id else "")
        with reading(self._path) as db:
            rows = db.execute(
                f"SELECT * FROM approvals WHERE {where} ORDER BY created_at DESC, rowid DESC",
                [thread_id] if thread_id else [],
            ).fetchall()
        return [_record(row) for row in rows]

    def decide(self, approval_id: str, state: ApprovalState, *, by: str) -> Approval:
        """Decide a waiting plan, once.

        Raises:
            Conflict: It no longer waits (used, declined, replaced, expired).
        """
        now = self._clock().isoformat()
        self._expire()
        with writing(self._path) as db:
            changed = db.execute(
                "UPDATE approvals SET state = ?, decided_at = ?, granted_by = ?"
                " WHERE id = ? AND state = 'waiting'",
                [state, now, by, approval_id],
            ).rowcount
        current = self.get(approval_id)
        if not changed:
            raise Conflict(
                f"This plan is no longer waiting: it is {current.state}.",
                hint="Ask for the plan again to get a fresh one.",
            )
        return current

    def set_outcome(self, approval_id: str, outcome: str) -> None:
        """Record what consent led to."""
        with writing(self._path) as db:
            db.execute("UPDATE approvals SET outcome = ? WHERE id = ?", [outcome, approval_id])

    def _expire(self) -> None:
        now = self._clock().isoformat()
        with reading(self._path) as db:
            db.execute(
                "UPDATE approvals SET state = 'expired', decided_at = ?"
                " WHERE state = 'waiting' AND expires_at <= ?",
                [now, now],
            )


def _record(row: sqlite3.Row) -> Approval:
    values = dict(row)
    values["plan"] = json.loads(values["plan"])
    values["card"] = json.loads(values["card"])
    values["predicted"] = json.loads(values["predicted"])
    return Approval.model_validate(values)
