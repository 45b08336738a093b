"""What happens when a person says something, decides, comes back, or simply waits."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from assistant.events import NoticeTold, TextDelta, TurnEvent, UserSaid
from tools.errors import NotFound, ToolError
from tools.history.approvals import Approval
from ui.web.desk import Desk
from ui.web.messages import Transcript
from ui.web.security import keep_uploads

_THREAD_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FRAME_S = 0.06
"""Text that streams is drawn at most this often."""


@dataclass(frozen=True)
class Mark:
    """What a page has drawn; it looks again once the store or the conversations changed.

    Attributes:
        conversations: Time and size of the conversations' files: a look that reads nothing.
        ready: The assistant was warm and free, so that what waited to be told was told.
        events: Length of the conversation that is drawn; None where that is not known.
    """

    thread_id: str
    pulse: tuple[int, int, int, int]
    conversations: tuple[int, ...]
    ready: bool = False
    events: int | None = None


def new_thread() -> str:
    """Return the id of a new conversation."""
    return secrets.token_hex(8)


def known_thread(text: str | None) -> str:
    """Return the conversation an address names, or a new one where it names none."""
    return text if text and _THREAD_ID.fullmatch(text) else new_thread()


def read_back(desk: Desk, thread_id: str) -> Transcript:
    """Return a conversation as it is stored; empty where it is new."""
    return Transcript(desk.ctx, stored_events(desk, thread_id))


def stored_events(desk: Desk, thread_id: str) -> list[TurnEvent]:
    """Return what was shown in a conversation; does not wait for the assistant where it is new."""
    known = any(thread.id == thread_id for thread in desk.store.threads(limit=500))
    return desk.assistant.history(thread_id) if known else []


def look_again(desk: Desk, drawn: Mark) -> tuple[Mark, Transcript | None]:
    """Return what is there now, and the conversation where it is longer than what is drawn."""
    seen = mark(desk, drawn.thread_id)  # first: what changes meanwhile is seen the next time
    collect_notices(desk, drawn.thread_id)
    events = stored_events(desk, drawn.thread_id) if desk.is_warm else []
    if len(events) == drawn.events:
        return replace(seen, events=drawn.events), None
    return replace(seen, events=len(events)), Transcript(desk.ctx, events)


def say(desk: Desk, thread_id: str, text: str, uploads: Sequence[str] = ()) -> Iterator[Transcript]:
    """Answer a message; yields the conversation as it grows."""
    view = Transcript(desk.ctx)
    try:
        view = read_back(desk, thread_id)
        files = tuple(str(path) for path in keep_uploads(desk.settings, uploads))
        said = text.strip() or "Look at this file."
        view.add(UserSaid(text=said, files=files))
        yield view
        with desk.turn_in(thread_id):
            yield from _follow(view, desk.assistant.turn(thread_id, said, files))
    except ToolError as error:
        view.problem(error.problem, error.hint)
    view.refresh_approvals()
    yield view


def decide(desk: Desk, thread_id: str, approval_id: str, granted: bool) -> Iterator[Transcript]:
    """Grant or decline the plan the person saw; yields the conversation as it grows."""
    view = read_back(desk, thread_id)
    try:
        with desk.turn_in(thread_id):
            yield from _follow(
                view, desk.assistant.decide(thread_id, approval_id, granted, by="button")
            )
    except ToolError as error:
        view.problem(error.problem, error.hint)
    view.refresh_approvals()
    yield view


def waiting_plan(desk: Desk, thread_id: str) -> Approval | None:
    """Return the newest plan that waits in this conversation."""
    waiting = desk.store.approvals.waiting(thread_id)
    return waiting[0] if waiting else None


def collect_notices(desk: Desk, thread_id: str) -> list[NoticeTold]:
    """Move what happened meanwhile into the conversation, and return it."""
    if not desk.is_warm or desk.is_busy(thread_id):
        return []
    try:
        return desk.assistant.notices(thread_id)
    except NotFound:
        return []


def mark(desk: Desk, thread_id: str) -> Mark:
    """Return the mark of what a page drawn now would show. One query."""
    database = desk.settings.threads_database
    looks: list[int] = []
    for path in (database, database.with_name(database.name + "-wal")):
        if path.exists():
            stat = path.stat()
            looks += [stat.st_mtime_ns, stat.st_size]
    ready = desk.is_warm and not desk.is_busy(thread_id)
    return Mark(thread_id, desk.store.pulse(), tuple(looks), ready)


def _follow(view: Transcript, events: Iterable[TurnEvent]) -> Iterator[Transcript]:
    drawn = 0.0
    for event in events:
        view.add(event)
        now = time.monotonic()
        if not isinstance(event, TextDelta) or now - drawn >= _FRAME_S:
            drawn = now
            yield view
