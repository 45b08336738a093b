"""The shape of `luthier.db`: numbered migrations, append-only, never edited once released."""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

MIGRATIONS = Migrations("luthier")


@MIGRATIONS()
def m001_jobs(db: Database) -> None:
    """Jobs, their events, and what changed beside the frozen spec."""
    db.execute(
        """CREATE TABLE jobs (
            id TEXT PRIMARY KEY, number INTEGER NOT NULL, kind TEXT NOT NULL,
            state TEXT NOT NULL, created_at TEXT NOT NULL, started_at TEXT, finished_at TEXT,
            spec TEXT NOT NULL, plan_hash TEXT NOT NULL, approval_id TEXT, parent TEXT,
            thread_id TEXT, pid INTEGER, predicted TEXT NOT NULL DEFAULT '{}',
            measured TEXT NOT NULL DEFAULT '{}', metrics TEXT NOT NULL DEFAULT '{}',
            artifacts TEXT NOT NULL DEFAULT '{}', error TEXT, forgotten_at TEXT) STRICT"""
    )
    db.execute("CREATE UNIQUE INDEX jobs_by_approval ON jobs (approval_id)")
    db.execute("CREATE INDEX jobs_by_state ON jobs (state, number)")
    db.execute("CREATE INDEX jobs_by_parent ON jobs (parent)")
    db.execute(
        """CREATE TABLE events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL, at TEXT NOT NULL,
            kind TEXT NOT NULL, payload TEXT NOT NULL) STRICT"""
    )
    db.execute("CREATE INDEX events_by_job ON events (job_id, seq)")


@MIGRATIONS()
def m002_consent(db: Database) -> None:
    """Approvals: the only truth about consent."""
    db.execute(
        """CREATE TABLE approvals (
            id TEXT PRIMARY KEY, action TEXT NOT NULL, state TEXT NOT NULL, subject TEXT NOT NULL,
            plan TEXT NOT NULL, plan_hash TEXT NOT NULL, card TEXT NOT NULL, thread_id TEXT,
            call_id TEXT, created_at TEXT NOT NULL, expires_at TEXT NOT NULL,
            decided_at TEXT, granted_by TEXT, outcome TEXT) STRICT"""
    )
    db.execute("CREATE UNIQUE INDEX approvals_by_call ON approvals (call_id)")
    db.execute("CREATE INDEX approvals_by_thread ON approvals (thread_id, state)")


@MIGRATIONS()
def m003_datasets_and_notices(db: Database) -> None:
    """Prepared dataset versions, notices, conversations' titles and the ledger."""
    db.execute(
        """CREATE TABLE datasets (
            id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, source TEXT NOT NULL,
            created_at TEXT NOT NULL, manifest TEXT NOT NULL, forgotten_at TEXT) STRICT"""
    )
    db.execute(
        """CREATE TABLE notices (
            id INTEGER PRIMARY KEY, job_id TEXT NOT NULL, thread_id TEXT, at TEXT NOT NULL,
            text TEXT NOT NULL, claimed_by TEXT) STRICT"""
    )
    db.execute(
        """CREATE TABLE threads (
            id TEXT PRIMARY KEY, title TEXT NOT NULL, created_at TEXT NOT NULL,
            touched_at TEXT NOT NULL) STRICT"""
    )
    db.execute(
        """CREATE TABLE ledger (
            id INTEGER PRIMARY KEY, job_id TEXT NOT NULL, quantity TEXT NOT NULL,
            predicted REAL NOT NULL, measured REAL NOT NULL, unit TEXT NOT NULL,
            at TEXT NOT NULL) STRICT"""
    )


@MIGRATIONS()
def m004_predictions_beside_the_plan(db: Database) -> None:
    """What a plan was predicted to cost stands beside it, outside its hash."""
    db.execute("ALTER TABLE approvals ADD COLUMN predicted TEXT NOT NULL DEFAULT '{}'")


@MIGRATIONS()
def m005_ballots(db: Database) -> None:
    """Blind comparisons: one row per judge and pair of answers; `choice` is null until cast."""
    db.execute(
        """CREATE TABLE ballots (
            id TEXT PRIMARY KEY, job_id TEXT NOT NULL, pair INTEGER NOT NULL,
            voter TEXT NOT NULL, place INTEGER NOT NULL, tuned_first INTEGER NOT NULL,
            opened_at TEXT NOT NULL, choice TEXT, cast_at TEXT) STRICT"""
    )
    db.execute("CREATE UNIQUE INDEX ballots_once ON ballots (job_id, voter, pair)")
