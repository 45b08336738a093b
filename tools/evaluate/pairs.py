"""Answers of two models to the same rows, kept beside an evaluation so that people can judge them.

One JSON object a line, in `answers.jsonl` of the job's folder. Prompt and answers are untrusted
text.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tools.context import Context
from tools.errors import Conflict
from tools.history.jobs import JobRecord

ANSWERS_FILE = "answers.jsonl"
ANSWERS = "answers"
"""Name of the artefact."""


class AnswerPair(BaseModel):
    """What both models said to one row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: int
    prompt: str
    expected: str
    base: str
    tuned: str


def write_pairs(path: Path, pairs: Iterable[AnswerPair]) -> None:
    """Write the pairs as a whole, or leave what is there."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        for pair in pairs:
            file.write(pair.model_dump_json() + "\n")
    temporary.replace(path)


def judged_job(ctx: Context, record: JobRecord) -> JobRecord:
    """Return the job whose answers are judged: this one, or the newest evaluation of it.

    Raises:
        Conflict: Nobody has kept answers of this run.
    """
    children = ctx.store.jobs.find(states=["succeeded"], kinds=["evaluate"], parent=record.id)
    for found in (record, *children):
        if _file(ctx, found):
            return found
    raise Conflict(
        f"There are no answers of {record.id} to look at.",
        hint=f"Judge it first with `luthier evaluate {record.id}`; tasks without text answers "
        "cannot be judged by eye.",
    )


def read_pairs(ctx: Context, record: JobRecord) -> list[AnswerPair]:
    """Return the pairs that differ, in the order of the rows: equal answers need no judge.

    Raises:
        Conflict: There are none, or the file cannot be read.
    """
    path = _file(ctx, record)
    if path is None:
        raise Conflict(
            f"{record.id} has kept no answers.", hint=f"Judge it: `luthier evaluate {record.id}`."
        )
    try:
        with path.open(encoding="utf-8") as file:
            pairs = [AnswerPair.model_validate_json(line) for line in file if line.strip()]
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise Conflict(
            f"The answers of {record.id} cannot be read.", hint="Judge the run again."
        ) from error
    return [pair for pair in pairs if pair.base.strip() != pair.tuned.strip()]


def _file(ctx: Context, record: JobRecord) -> Path | None:
    path = ctx.settings.home / str(record.artifacts.get(ANSWERS, ""))
    return path if ANSWERS in record.artifacts and path.is_file() else None
