"""The judgement that a job's worker left behind."""

from __future__ import annotations

from pydantic import ValidationError

from tools.context import Context
from tools.evaluate.judgement import Judgement
from tools.history.jobs import JobRecord


def stored_judgement(ctx: Context, record: JobRecord) -> Judgement | None:
    """Return the judgement that a job's worker left, or None."""
    path = ctx.settings.home / str(record.artifacts.get("evaluation", ""))
    if "evaluation" not in record.artifacts or not path.is_file():
        return None
    try:
        return Judgement.model_validate_json(path.read_bytes())
    except ValidationError:
        # Written by another version: it is made again.
        return None
