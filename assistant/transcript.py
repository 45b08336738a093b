"""What was said and done in a conversation, exactly as the faces showed it.

The brain's own memory may be shortened; this is not. It lies beside the checkpoints in
`threads.db`, written event by event, so that a page can be rebuilt after any crash.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assistant import events
from assistant.events import TextDelta, TurnEvent
from tools.history.database import reading, writing

_TABLE = (
    "CREATE TABLE IF NOT EXISTS transcript (seq INTEGER PRIMARY KEY, thread_id TEXT NOT NULL,"
    " kind TEXT NOT NULL, event TEXT NOT NULL)"
)
_INDEX = "CREATE INDEX IF NOT EXISTS transcript_thread ON transcript (thread_id, seq)"
_KINDS: dict[str, type[TurnEvent]] = {
    kind.__name__: kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, TurnEvent) and kind is not TurnEvent
}


class Transcript:
    """The transcript table. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        with reading(path) as db:
            db.execute(_TABLE)
            db.execute(_INDEX)

    def append(self, thread_id: str, told: Sequence[TurnEvent]) -> None:
        """Add events in their order."""
        rows = [(thread_id, type(e).__name__, e.model_dump_json()) for e in told]
        with writing(self._path) as db:
            db.executemany("INSERT INTO transcript (thread_id, kind, event) VALUES (?, ?, ?)", rows)

    def read(self, thread_id: str) -> list[TurnEvent]:
        """Return a conversation from its beginning; pieces of one answer come joined."""
        with reading(self._path) as db:
            rows = db.execute(
                "SELECT kind, event FROM transcript WHERE thread_id = ? ORDER BY seq", [thread_id]
            ).fetchall()
        told = [_KINDS[row["kind"]].model_validate_json(row["event"]) for row in rows]
        joined: list[TurnEvent] = []
        for event in told:
            last = joined[-1] if joined else None
            if isinstance(event, TextDelta) and isinstance(last, TextDelta):
                joined[-1] = TextDelta(text=last.text + event.text)
            else:
                joined.append(event)
        return joined

    def forget(self, thread_id: str) -> None:
        """Delete a conversation."""
        with reading(self._path) as db:
            db.execute("DELETE FROM transcript WHERE thread_id = ?", [thread_id])
