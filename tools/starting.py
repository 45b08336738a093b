"""What the start of a worker process is made of, and who may have one ready before it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Surroundings:
    """What a worker process is started with; a job can take any process that has the same.

    Attributes:
        environment: Its variables, all of them.
        left_out: Libraries that it never imports.
    """

    environment: Mapping[str, str]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Launch:
    """The start of one job.

    Attributes:
        folder: The job's; its name is the job's id.
        began: Is told the id of the process that has the job now.
        fresh: Starts a process for it that loads everything itself; false where that fails.
    """

    folder: Path
    surroundings: Surroundings
    began: Callable[[int], None]
    fresh: Callable[[], bool]


class WarmWorkers(Protocol):
    """Processes that load the libraries of the next job before it comes."""

    def warm(self, surroundings: Surroundings) -> None:
        """Begin to load what jobs with these surroundings need, unless that is done."""

    def start(self, launch: Launch) -> bool:
        """Start a job from a warm process, else from a fresh one; false where both fail."""

    def held_bytes(self) -> int:
        """Return the memory that the next job takes over or finds given back."""
