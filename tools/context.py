"""What a capability may use: settings, the store, the clock, and on whose behalf it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from tools.settings import Settings

if TYPE_CHECKING:
    from tools.history.store import Store

Actor = Literal["python", "cli", "chat", "web", "mcp", "demo", "suite"]
PERSON_TYPED_IT: frozenset[Actor] = frozenset({"python", "cli", "demo"})
"""Actors whose arguments a person wrote: no folder jail, no network question."""


def utc_now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Context:
    """Handed to every capability as `ctx`; never part of a schema.

    Attributes:
        settings: This machine and person.
        clock: Gives the present time in UTC; tests replace it.
        actor: Which face calls. Decides what needs asking, never what a tool computes.
        thread_id: Conversation the call belongs to, if any.
        call_id: Key of the tool call; the same key twice must act once.
        network_granted: The person agreed to this one act beyond the machine.
    """

    settings: Settings
    clock: Callable[[], datetime] = field(default=utc_now)
    actor: Actor = "python"
    thread_id: str | None = None
    call_id: str | None = None
    network_granted: bool = False

    @cached_property
    def store(self) -> Store:
        """The history, opened (and migrated) at first use."""
        # sqlite-utils imports pandas, which takes half a second.
        from tools.history.store import Store  # noqa: PLC0415

        return Store.open(self.settings.database, clock=self.clock)

    @property
    def trusts_arguments(self) -> bool:
        """True where a person typed the arguments, false where a brain may have chosen them."""
        return self.actor in PERSON_TYPED_IT

    def with_(self, **changes: Any) -> Context:
        """Return a copy with other values; an open store is shared."""
        copy = replace(self, **changes)
        if "store" in self.__dict__ and not {"settings", "clock"} & changes.keys():
            copy.__dict__["store"] = self.__dict__["store"]
        return copy
