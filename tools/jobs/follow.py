"""Following a job from any face: its events with a cursor, until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from tools.context import Context
from tools.history.jobs import EventRecord, JobRecord
from tools.history.spec import UNFINISHED
from tools.jobs.reconcile import reconcile

_LOOK_EVERY_S = 0.2
_RECONCILE_EVERY_S = 2.0


def follow(
    ctx: Context, job_id: str, *, after: int = 0, timeout_s: float | None = None
) -> Iterator[EventRecord]:
    """Give a job's events as they come, from the cursor `after` on, until the job has ended.

    Args:
        timeout_s: Stop following after this long; the job itself goes on. None means never.

    Raises:
        NotFound: There is no such job.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    next_look = 0.0
    while True:
        if time.monotonic() >= next_look:
            reconcile(ctx)
            next_look = time.monotonic() + _RECONCILE_EVERY_S
        # State before events: the last events of a job are written before its state.
        ended = ctx.store.jobs.get(job_id).state not in UNFINISHED
        for event in ctx.store.jobs.events(job_id, after=after):
            after = event.seq
            yield event
        if ended or (deadline is not None and time.monotonic() >= deadline):
            return
        time.sleep(_LOOK_EVERY_S)


def wait(
    ctx: Context,
    job_id: str,
    *,
    on_event: Callable[[EventRecord], None] | None = None,
    timeout_s: float | None = None,
) -> JobRecord:
    """Wait until a job has ended, or until `timeout_s` is over, and return how it stands."""
    for event in follow(ctx, job_id, timeout_s=timeout_s):
        if on_event:
            on_event(event)
    return ctx.store.jobs.get(job_id)
