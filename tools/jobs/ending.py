"""How a job ended: `exit.json`, written last by its worker, read by whoever reconciles."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools.history.jobs import JobRecord
from tools.history.store import Store
from tools.jobs.parts import is_part

EXIT_FILE = "exit.json"
CANCEL_FILE = "cancel"
"""Its presence in a job's folder asks the worker to stop."""


class Ending(BaseModel):
    """Contents of `exit.json`.

    Attributes:
        notice: What the person is told, in one or two sentences.
        error: `{code, message, hint, refused_by}` where the job failed.
        result: What the work returned, for the curious; artefacts and metrics are in the history.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Literal["succeeded", "failed", "cancelled"]
    notice: str
    error: dict[str, Any] | None = None
    result: dict[str, Any] = Field(default_factory=dict)


def write_ending(folder: Path, ending: Ending) -> None:
    """Write `exit.json` so that it is there whole or not at all, even if the power fails."""
    write_durably(folder / EXIT_FILE, ending.model_dump_json(indent=2).encode())


def read_ending(folder: Path) -> Ending | None:
    """Return the ending, or None where the worker did not come to write one."""
    path = folder / EXIT_FILE
    if not path.is_file():
        return None
    try:
        return Ending.model_validate_json(path.read_bytes())
    except ValidationError:
        # Not written by a worker of ours: as good as none.
        return None


def apply_ending(store: Store, record: JobRecord, ending: Ending) -> bool:
    """Put an ending into the history, once, and leave word of it.

    Returns:
        False where somebody else already did.
    """
    reason = ending.error["message"] if ending.error else ""
    moved = store.jobs.set_state(
        record.id, ending.state, expected=["running"], reason=reason, error=ending.error
    )
    # Of a search or several adapters people hear once, not of each run.
    if moved and not is_part(store, record):
        store.add_notice(record.id, record.thread_id, ending.notice)
    return moved


def write_durably(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, force it to the disk, then rename it into place."""
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
