"""The base of everything a capability returns."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from pydantic import BaseModel, ConfigDict


class Report(BaseModel):
    """A typed result. `text()` is what a terminal prints and what a language model reads.

    Text from data rows, logs or models enters `text()` only through
    `tools.datasets.quarantine.untrusted_block`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def text(self) -> str:
        """Return the result in plain words: what it is, what it means, what can be done next."""

    def document(self) -> Any:
        """Return what `--json` prints: an object, or a list where the report is one."""
        return self.model_dump(mode="json")
