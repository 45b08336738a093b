"""The process that runs models for people to try: `python -P -m tools.work.generate`.

One per home, held by a lock. It listens on this machine only, speaks JSON with whoever knows the
key, keeps the last models loaded, and ends after five idle minutes. Answers are made one at a
time; a caller who hangs up stops the answer being made.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge
from typing import Any

import torch
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from transformers.utils import logging as transformers_logging

from tools.errors import ToolError
from tools.export.answering import Target
from tools.export.service import LOCAL, Endpoint, receive, run_folder, send, write_endpoint
from tools.settings import Settings, read_settings
from tools.work.speaking import Speakers

_IDLE_S = 300.0
_LOOK_EVERY_S = 2.0


class Question(BaseModel):
    """What a caller sends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: tuple[Target, ...] = Field(min_length=1, max_length=8)
    prompt: str = Field(max_length=20_000)
    max_new_tokens: int = Field(ge=1, le=512)
    temperature: float = Field(ge=0, le=2)
    seed: int


class Server:
    """Answers questions until it has idled long enough."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key = secrets.token_bytes(32)
        self._speakers = Speakers(settings)
        self._busy = threading.Lock()
        self._last_use = time.monotonic()
        self._callers = 0

    def serve(self) -> None:
        """Publish the endpoint and answer; never returns."""
        # The challenge is made per caller, in its thread: a silent caller must not block others.
        with Listener((LOCAL, 0)) as listener:
            port = int(listener.address[1])
            write_endpoint(
                self._settings, Endpoint(port=port, key=self._key.hex(), pid=os.getpid())
            )
            threading.Thread(target=self._watch, name="idle", daemon=True).start()
            while True:
                connection = listener.accept()
                threading.Thread(target=self._greet, args=(connection,), daemon=True).start()

    def _watch(self) -> None:
        while self._callers or time.monotonic() - self._last_use < _IDLE_S:
            time.sleep(_LOOK_EVERY_S)
        (run_folder(self._settings) / "generate.json").unlink(missing_ok=True)
        print("idle; good bye", file=sys.stderr, flush=True)
        # The main thread waits for callers in the kernel; nothing is left to save.
        os._exit(0)

    def _greet(self, connection: Connection) -> None:
        self._callers += 1
        try:
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            self._answer(connection, receive(connection))
        except (EOFError, OSError, AuthenticationError, ValueError) as error:
            # The caller hung up, or is not one of ours.
            print(f"a caller left: {type(error).__name__}", file=sys.stderr, flush=True)
        finally:
            self._callers -= 1
            self._last_use = time.monotonic()
            connection.close()

    def _answer(self, connection: Connection, document: dict[str, Any]) -> None:
        try:
            question = Question.model_validate(document)
        except ValidationError as error:
            send(connection, {"target": "", "ended": True, "error": str(error)[:300]})
            send(connection, {"done": True})
            return
        with self._busy:
            for target in question.targets:
                self._one(connection, target, question)
        send(connection, {"done": True})

    def _one(self, connection: Connection, target: Target, question: Question) -> None:
        try:
            for piece in self._speakers.speak(
                target,
                question.targets,
                question.prompt,
                max_new_tokens=question.max_new_tokens,
                temperature=question.temperature,
                seed=question.seed,
            ):
                send(connection, {"target": target.key, **piece})
        except ToolError as error:
            send(connection, {"target": target.key, "ended": True, "error": str(error)})
        except (MemoryError, torch.OutOfMemoryError):
            self._speakers.forget_all()
            message = "There is not enough memory to load this model beside the others."
            send(connection, {"target": target.key, "ended": True, "error": message})


def main() -> int:
    """Serve, unless another worker of this home does."""
    settings = read_settings()
    folder = run_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "generate.lock", timeout=0):
            transformers_logging.set_verbosity_error()
            torch.set_num_threads(settings.worker_threads or torch.get_num_threads())
            Server(settings).serve()
    except Timeout:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
