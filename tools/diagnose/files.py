"""Reads the files of a run that was made elsewhere: events, settings, log, report on its data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tools.context import Context
from tools.diagnose import streams
from tools.diagnose.evidence import Run
from tools.diagnose.names import read_settings_document
from tools.diagnose.printed import add_log_metrics
from tools.errors import BadInput, ToolError
from tools.paths import resolve_input

_LOG_BYTES = 2_000_000
_MOST_BYTES = 200_000_000
_MOST_WHOLE_BYTES = 32_000_000
_WIDE = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_FILE_NAME = re.compile(r"^[^\n\r]{1,400}$")


def add_files(
    ctx: Context,
    run: Run,
    *,
    events: str | None,
    spec: str | None,
    log: str | None,
    data: str | None,
) -> None:
    """Enter what the files of a run say.

    Raises:
        BadInput: A file is not what it should be.
        NotFound, NotAllowed: A file is missing, or may not be read.
    """
    if spec:
        run.spec |= read_settings_document(_json(_text(ctx, spec), spec))
        run.subject = "This run" if run.subject == "This run" else run.subject
    if events:
        _add_events(run, _file(ctx, events))
    if data:
        streams.add_data_report(run, _json(_text(ctx, data), data))
    if log:
        run.log = _log_text(ctx, log)
        if not run.steps:
            add_log_metrics(run, run.log)


def _log_text(ctx: Context, log: str) -> str:
    """Return a pasted log as it is, or the end of a file that the text names."""
    if not _FILE_NAME.match(log.strip()):
        return log
    try:
        path = resolve_input(ctx, log)
    except ToolError:
        # One line that reads like a file's name is one; otherwise it is a pasted line.
        if " " not in log.strip() and ("/" in log or "." in log):
            raise
        return log
    if not path.is_file():
        raise BadInput(f"{path.name} is no file.", hint="Give the file of the log itself.")
    text = tail(path)
    odd = sum(c == "\ufffd" or (ord(c) < 32 and c not in "\n\r\t\x1b\b") for c in text)
    if odd > 0.1 * max(1, len(text)):
        raise BadInput(
            f"{path.name} is no text, so it is no log.",
            hint="Give the file that the training printed to.",
        )
    return text


def _add_events(run: Run, path: Path) -> None:
    """Enter a stream of events; where not one line is JSON, the table or the log that it is."""
    try:
        documents, bad = streams.read_documents(path)
    except BadInput:
        add_log_metrics(run, tail(path))
        if not run.steps:
            raise
        return
    streams.add_documents(run, documents)
    run.unread += bad
    if not run.read:
        raise BadInput(
            f"{path.name} holds no events that are known here.",
            hint="docs/events.md lists the kinds and their fields.",
        )


def _file(ctx: Context, name: str) -> Path:
    path = resolve_input(ctx, name)
    if path.is_dir():
        inner = path / "trainer_state.json"
        path = inner if inner.is_file() else path / "events.jsonl"
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise BadInput(f"{name} is no file that can be read.", hint="Give one file below 200 MB.")
    return path


def _text(ctx: Context, name: str) -> str:
    path = _file(ctx, name)
    if path.stat().st_size > _MOST_WHOLE_BYTES:
        raise BadInput(f"{path.name} is too large for settings.", hint="Give one below 32 MB.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path.name} is no text.", hint="Give a file of JSON.") from error


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{Path(name).name} is no JSON document.", hint="Give the JSON file of the run."
        ) from error


def tail(path: Path) -> str:
    """Return the end of a text file, about 2 MB at most."""
    with path.open("rb") as file:
        wide = _WIDE.get(file.read(2))  # what a redirection writes on Windows
        file.seek(max(0, path.stat().st_size - _LOG_BYTES) & ~1)
        return file.read().decode(wide or "utf-8", errors="replace").lstrip("\ufeff")
