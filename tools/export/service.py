"""The way to the generation worker: where it listens, its key, and starting it.

Both sides speak JSON in byte messages over a local connection; nothing is ever unpickled. The key
lies in a file that only this person can read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tools.errors import Unavailable
from tools.settings import Settings

LOCAL = "127.0.0.1"
MAX_MESSAGE_BYTES = 1 << 20
_START_PATIENCE_S = 180.0
_LOOK_EVERY_S = 0.05
_LOG_LINES = 3


class Endpoint(BaseModel):
    """Contents of `run/generate.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int
    key: str
    pid: int


def run_folder(settings: Settings) -> Path:
    """Return the folder of what lives only while a process does."""
    return settings.home / "run"


def write_endpoint(settings: Settings, endpoint: Endpoint) -> None:
    """Publish where the worker listens, readable by this person alone."""
    path = run_folder(settings) / "generate.json"
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(endpoint.model_dump_json())
    temporary.replace(path)


def read_endpoint(settings: Settings) -> Endpoint | None:
    """Return where a worker says it listens, or None."""
    try:
        return Endpoint.model_validate_json((run_folder(settings) / "generate.json").read_bytes())
    except (OSError, ValidationError):
        return None


def connect(settings: Settings) -> Connection:
    """Connect to the generation worker, starting it where none answers.

    Raises:
        Unavailable: It does not start.
    """
    connection = _try(settings)
    if connection:
        return connection
    process, log = _start(settings)
    deadline = time.monotonic() + _START_PATIENCE_S
    while time.monotonic() < deadline:
        connection = _try(settings)
        if connection:
            return connection
        # Exit code 0 means that another worker holds the lock and is about to listen.
        if process.poll():
            break
        time.sleep(_LOOK_EVERY_S)
    raise Unavailable(
        f"The worker that runs models does not start: {_last_words(log)}",
        hint=f"Look at {log}, or run `luthier doctor`.",
    )


def send(connection: Connection, document: dict[str, Any]) -> None:
    """Send one JSON document."""
    connection.send_bytes(json.dumps(document).encode())


def receive(connection: Connection) -> dict[str, Any]:
    """Receive one JSON document.

    Raises:
        EOFError: The other side is gone.
        ValueError: It is not a JSON object.
    """
    document = json.loads(connection.recv_bytes(MAX_MESSAGE_BYTES))
    if not isinstance(document, dict):
        raise ValueError("a message must be a JSON object")
    return document


def _try(settings: Settings) -> Connection | None:
    endpoint = read_endpoint(settings)
    if endpoint is None:
        return None
    try:
        return Client((LOCAL, endpoint.port), authkey=bytes.fromhex(endpoint.key))
    except (OSError, EOFError, ValueError, AuthenticationError):
        # A file left by a worker that is gone; another program may even have its port by now.
        return None


def _start(settings: Settings) -> tuple[subprocess.Popen[bytes], Path]:
    folder = run_folder(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "generate.txt"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tools.work.generate"],
                cwd=folder,
                env=settings.worker_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise Unavailable(
            f"The worker that runs models cannot be started: {error.strerror or error}.",
            hint="Check disk space, memory and permissions of Luthier's home.",
        ) from error
    return process, log


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " ".join(lines[-_LOG_LINES:])[-300:] or "it said nothing."
