"""Memory that ran out: how it is recognised, and what is known of it. Imports no torch.

`MemoryShort` is about an attempt, and a smaller one may fit; `OutOfMemory` is about the run:
nothing that its plan allows makes it fit, and the person is told what to ask for.
"""

from __future__ import annotations

import errno
import sqlite3

from pydantic import BaseModel, ConfigDict

from tools.errors import Refused, ToolError

_NO_MEMORY = (
    *("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory"),
    *("std::bad_alloc", "could not create a memory object", "could not create a primitive"),
    "failed to map segment from shared object",  # a library that finds no room
    "can't start new thread",  # there is no room for its stack
)
_DATABASE = frozenset(
    {sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_IOERR_NOMEM, sqlite3.SQLITE_IOERR_SHMMAP}
)
"""Of SQLite's errors; the last: the index of its log, which it maps, found no room."""


class Failure(BaseModel):
    """What is known of an attempt that ran out of memory.

    Attributes:
        problem: What did not fit, in a sentence.
        available_gib: Memory there was, where it is known.
        hopeless: What did not fit is no batch, so a smaller one cannot help.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    problem: str
    available_gib: float | None = None
    hopeless: bool = False


class MemoryShort(Exception):
    """An attempt ran out of memory; a smaller one may fit."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.problem)
        self.failure = failure


class OutOfMemory(Refused):
    """The run does not fit, and nothing that its plan allows makes it smaller.

    Args:
        hint: What to ask the person for; only what the plan protects is left.
    """

    def __init__(
        self,
        problem: str,
        *,
        hint: str = "Raise the limit that holds it, or end what else uses memory here.",
    ) -> None:
        super().__init__(problem, hint=hint, refused_by="memory")


def is_about_memory(error: BaseException | None) -> bool:
    """Tell whether an error, or what caused it, says that memory ran out, in whose words ever."""
    while error is not None:
        if _says_so(error):
            return True
        error = error.__cause__
    return False


def _says_so(error: BaseException) -> bool:
    if isinstance(error, ToolError):
        return False  # its words are ours; what caused it may say so
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) in _DATABASE
    return any(sign in str(error).lower() for sign in _NO_MEMORY)
