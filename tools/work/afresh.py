"""A worker that begins again in a fresh process image, so that nothing of its heap stays mapped.

`execve` keeps the process, its log and its limits. The lock on the job's folder belongs to an open
file, and that file is handed on: it is held without a gap, so whoever looks whether the worker
lives finds that it does. What is known of the failed attempt travels as an argument, which needs
no disk and no history at a moment that has no memory for either. Imports no torch.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from filelock import Timeout, lock_descriptor
from pydantic import BaseModel, ConfigDict

from tools.work.shortage import Failure, OutOfMemory

NO_ROOM = "There is not enough memory to load the libraries"
LOCK_FILE = "lock"
_LOCK_PATIENCE_S = 20.0
_LOOK_EVERY_S = 0.05
_AT_MOST = 16
"""Images one worker may have: more than there are rungs on any ladder."""


class Handover(BaseModel):
    """What one image of a worker's process leaves to the next.

    Attributes:
        lock: Descriptor of the job's lock, which is held.
        images: How many there were before; none where the worker stood by until it had the job.
        failure: Of the attempt that ran out of memory; None where there was none: libraries did not
            fit beside what was mapped, or are exchanged for others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lock: int
    images: int
    failure: Failure | None = None


@dataclass(frozen=True)
class Start:
    """How this image of a worker's process began.

    Attributes:
        handover: From the image before; None in the first one.
        environment: Its variables, before any library adds its own.
        data_limit: Its soft and hard limit of private data, before the run lowers it.
    """

    job_id: str
    handover: Handover | None
    environment: Mapping[str, str]
    data_limit: tuple[int, int]

    @classmethod
    def of(cls, arguments: list[str]) -> Start:
        """Read the arguments of the worker: its job, and what an earlier image left."""
        job_id, *left = arguments
        handover = Handover.model_validate_json(left[0]) if left else None
        return cls(job_id, handover, dict(os.environ), resource.getrlimit(resource.RLIMIT_DATA))

    @property
    def failure(self) -> Failure | None:
        """What the image before could not do."""
        return self.handover.failure if self.handover else None

    @contextmanager
    def locked(self, folder: Path) -> Iterator[int]:
        """Hold the lock on the job's folder, from the image before or anew; gives its descriptor.

        Raises:
            Timeout: Another worker holds it.
        """
        path = folder / LOCK_FILE
        lock = self.handover.lock if self.handover else os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.set_inheritable(lock, False)
            deadline = time.monotonic() + _LOCK_PATIENCE_S
            # A face that looks whether this worker lives holds the lock for a moment.
            while not lock_descriptor(lock, blocking=False):
                if time.monotonic() > deadline:
                    raise Timeout(str(path))
                time.sleep(_LOOK_EVERY_S)
            yield lock
        finally:
            os.close(lock)

    def again(self, lock: int, failure: Failure | None) -> NoReturn:
        """Replace this image by a fresh one, which holds the same lock.

        Raises:
            OutOfMemory: It was begun again too often, or a fresh image came no further.
            OSError: The system did not let it.
        """
        images = 1 + (self.handover.images if self.handover else 0)
        if images > 1 and failure is None and self.failure is None:
            raise OutOfMemory(f"{NO_ROOM}.")
        if images >= _AT_MOST:
            raise OutOfMemory(f"Memory ran out {images} times, whatever was made smaller.")
        handover = Handover(lock=lock, images=images, failure=failure)
        resource.setrlimit(resource.RLIMIT_DATA, self.data_limit)
        os.set_inheritable(lock, True)
        try:
            os.execve(
                sys.executable,
                [sys.executable, "-P", "-m", "tools.work.worker", self.job_id,
                 handover.model_dump_json()],
                self.environment,
            )  # fmt: skip
        finally:  # only where it failed
            os.set_inheritable(lock, False)
