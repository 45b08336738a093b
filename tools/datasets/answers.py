"""Whether a prepared row says what would be right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tools.errors import BadInput


def answerable(row: Mapping[str, Any]) -> bool:
    """Return whether a row has something to compare an answer with; blanks are nothing."""
    if "tags" in row:
        return bool(row["tags"])
    if "text" in row:
        return bool(str(row["text"] or "").strip())
    if "chosen" in row:
        better, worse = _said(row["chosen"]), _said(row["rejected"])
        # Two equal answers leave nothing to prefer.
        return bool(better) and bool(worse) and better != worse
    if "prompt" in row:
        return bool(_said(row.get("completion")))
    answers = [m for m in row.get("messages") or () if m["role"] == "assistant"]
    return bool(_said(answers[-1:]))


def no_answers() -> BadInput:
    """Return the error of rows of which none has an answer."""
    return BadInput(
        "None of these rows has an answer to compare with.",
        hint="Name a file with the same columns as the training data, answers included.",
    )


def _said(messages: Iterable[Mapping[str, Any]] | None) -> str:
    return "".join(str(message["content"] or "") for message in messages or ()).strip()
