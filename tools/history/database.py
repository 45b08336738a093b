"""Opening `luthier.db`: one connection per use, WAL, migrations under a file lock."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from tools.errors import TooNew, Unavailable

if TYPE_CHECKING:
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

_BUSY_TIMEOUT_S = 30.0


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection in autocommit mode; transactions are begun by hand."""
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA journal_size_limit = 16777216")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection for reads and single statements; it is closed afterwards."""
    try:
        connection = connect(path)
    except sqlite3.OperationalError as error:
        raise Unavailable(
            f"Cannot open {path}: {error}.", hint="Check that the folder exists and is writable."
        ) from error
    except sqlite3.DatabaseError as error:
        raise Unavailable(
            f"{path} is not a Luthier database: {error}.",
            hint="Move the file away; Luthier then starts with an empty history.",
        ) from error
    try:
        yield connection
    except sqlite3.OperationalError as error:
        if "full" not in str(error) and "readonly" not in str(error):
            raise
        raise Unavailable(
            f"Cannot write to {path}: {error}.",
            hint="Free some disk space or check the folder's permissions, then try again.",
        ) from error
    finally:
        connection.close()


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection inside `BEGIN IMMEDIATE`; commit at the end, roll back on an error.

    A deferred transaction that reads and then writes fails under contention.
    """
    with reading(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def migrate(path: Path) -> None:
    """Bring the database to this version's shape; copy it aside first if that changes it.

    Raises:
        TooNew: It was written by a newer Luthier.
        Unavailable: The folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"Cannot create {path.parent}: {error.strerror}.",
            hint="Point LUTHIER_HOME at a folder you can write to.",
        ) from error
    if path.exists() and not _pending(path):
        return
    try:
        lock = FileLock(path.with_suffix(".lock"), timeout=_BUSY_TIMEOUT_S)
        with lock, reading(path) as connection:
            migrations, database = _migrations(connection)
            pending = migrations.pending(database)
            if pending and migrations.applied(database):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                shutil.copy2(path, path.with_name(f"{path.stem}-before-{pending[0].name}.db"))
            migrations.apply(database)
    except OSError as error:
        raise Unavailable(
            f"Cannot write to {path.parent}: {error.strerror or error}.",
            hint="Free some disk space, or point LUTHIER_HOME at another folder.",
        ) from error


def check_version(path: Path) -> None:
    """Refuse a database that this version cannot read. Workers call this and never migrate."""
    if _pending(path):
        raise Unavailable(
            f"{path} is older than this Luthier.", hint="Start `luthier` once; it updates it."
        )


def _pending(path: Path) -> bool:
    with reading(path) as connection:
        migrations, database = _migrations(connection)
        known = {migration.name for migration in migrations._migrations}
        try:
            applied = {m.name for m in migrations.applied(database)}
        except sqlite3.DatabaseError as error:
            raise Unavailable(
                f"{path} is not a Luthier database: {error}.",
                hint="Move the file away; Luthier then starts with an empty history.",
            ) from error
    unknown = sorted(applied - known)
    if unknown:
        raise TooNew(
            f"{path} was written by a newer Luthier ({unknown[-1]}).",
            hint="Update Luthier, or point LUTHIER_HOME at another folder.",
        )
    return bool(known - applied)


def _migrations(connection: sqlite3.Connection) -> tuple[Migrations, Database]:
    # sqlite-utils imports pandas: half a second that importing a page need not wait for.
    from sqlite_utils import Database  # noqa: PLC0415

    from tools.history.migrations import MIGRATIONS  # noqa: PLC0415

    return MIGRATIONS, Database(connection)
