"""Which job a person means."""

from __future__ import annotations

from tools.context import Context
from tools.errors import NotFound
from tools.history.jobs import JobRecord
from tools.history.spec import JobKind

LATEST = frozenset({"latest", "last", "newest", "the last one"})


def find_job(ctx: Context, text: str, *, kind: JobKind | None = None) -> JobRecord:
    """Return the job named by its id, its number (`7`, `#7`), the start of its id, or `latest`.

    Raises:
        NotFound: No job or more than one is meant.
    """
    name = text.strip().strip("\"'")
    jobs = ctx.store.jobs.find(kinds=[kind] if kind else None)
    if name.lower() in LATEST and jobs:
        return jobs[0]
    number = name.removeprefix("#")
    found = [
        job
        for job in jobs
        if job.id == name.lower() or (number.isdigit() and job.number == int(number))
    ]
    found = found or [job for job in jobs if name and job.id.startswith(name.lower())]
    if len(found) == 1:
        return found[0]
    if not found:
        return ctx.store.jobs.get(name)
    raise NotFound(
        f"{name} can mean {', '.join(job.id for job in found[:5])}.", hint="Name one of them."
    )
