"""What the brain does with a message: calls, or words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assistant.brains.guided.slots import Args

Offered = Mapping[str, frozenset[str]]


@dataclass
class Plan:
    """What the brain does with a message.

    Attributes:
        calls: Tool calls in their order, as `(name, arguments)`.
        reply: What is said where there are no calls.
        notes: Sentences behind the results.
        memo: What the brain must remember for the next message.
    """

    calls: list[tuple[str, Args]] = field(default_factory=list)
    reply: str = ""
    notes: list[str] = field(default_factory=list)
    memo: dict[str, Any] = field(default_factory=dict)

    def add(self, other: Plan) -> None:
        """Do another plan's calls behind these."""
        self.calls += [call for call in other.calls if call not in self.calls]
        self.notes += other.notes
        if other.reply:
            self.notes.append(other.reply)
        self.memo |= other.memo
