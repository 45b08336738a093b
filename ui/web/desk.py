"""What the pages share: settings, the store, and the assistant once it is warm.

Nothing here outlives a request that the store does not hold: closing the page or killing the app
loses nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol

from assistant.events import NoticeTold, TurnEvent
from tools.catalog import find_capability, load_catalog
from tools.context import Context
from tools.errors import ToolError, Unavailable
from tools.history.store import Store
from tools.reports import Report
from tools.settings import Settings

_LOG = logging.getLogger(__name__)
_WARM_S = 180.0
"""Seconds a message waits for the assistant; warm in a few, more on a machine that is busy."""


class AssistantLike(Protocol):
    """What the chat page needs of an assistant (`assistant.agent.Assistant` has it)."""

    def turn(self, thread_id: str, text: str, files: Sequence[str] = ()) -> Iterator[TurnEvent]:
        """Answer a message."""

    def decide(
        self, thread_id: str, approval_id: str, granted: bool, by: str
    ) -> Iterator[TurnEvent]:
        """Grant or decline a waiting plan."""

    def history(self, thread_id: str) -> list[TurnEvent]:
        """Read a conversation back."""

    def notices(self, thread_id: str) -> list[NoticeTold]:
        """Claim what happened meanwhile and add it to the conversation."""


class Desk:
    """One per app.

    Args:
        assistant: Use this one instead of warming the real one; for tests.
    """

    def __init__(self, settings: Settings, assistant: AssistantLike | None = None) -> None:
        self.settings = settings
        self.ctx = Context(settings, actor="web")
        self._future: Future[AssistantLike] = Future()
        self._busy: set[str] = set()
        self._mutex = threading.Lock()
        self._given = assistant
        if assistant is not None:
            self._future.set_result(assistant)

    @property
    def store(self) -> Store:
        """The history."""
        return self.ctx.store

    @property
    def assistant(self) -> AssistantLike:
        """The assistant; waits until it is warm.

        Raises:
            ToolError: The brain in the settings cannot be used, or is not ready yet.
        """
        try:
            return self._future.result(timeout=_WARM_S)
        except TimeoutError as error:
            raise Unavailable(
                "The assistant is still starting.", hint="Wait a moment and send it again."
            ) from error

    @property
    def is_warm(self) -> bool:
        """True where asking the assistant does not wait for imports."""
        return self._future.done()

    def warm(self) -> None:
        """Import the agent and the catalogue in the background, after the page is served."""
        if not self._future.done():
            threading.Thread(target=self._warm, name="warm", daemon=True).start()

    def replace_settings(self, settings: Settings) -> None:
        """Go on with other settings; the assistant is made anew, unless one was given."""
        self.settings = settings
        self.ctx = Context(settings, actor="web")
        if self._given is not None:
            return
        self._future = Future()
        self.warm()

    def call(self, capability: str, **arguments: Any) -> Report:
        """Call a capability as this page does: with a person's click, within a chat's limits."""
        return find_capability(capability).call(self.ctx, arguments)

    @contextmanager
    def turn_in(self, thread_id: str) -> Iterator[None]:
        """Mark a conversation as busy, so that no notice is slipped into a running turn."""
        with self._mutex:
            self._busy.add(thread_id)
        try:
            yield
        finally:
            with self._mutex:
                self._busy.discard(thread_id)

    def is_busy(self, thread_id: str) -> bool:
        """True while a turn runs in this conversation."""
        return thread_id in self._busy

    def _warm(self) -> None:
        future, settings = self._future, self.settings
        try:
            # LangChain takes about a second to import: the page is served first.
            from assistant.agent import Assistant  # noqa: PLC0415

            load_catalog()
            future.set_result(Assistant(settings, actor="web"))
        except ToolError as error:
            future.set_exception(error)
        except BaseException as error:
            _LOG.exception("the assistant could not start")
            future.set_exception(error)
            raise
