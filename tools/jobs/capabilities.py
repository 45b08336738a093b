"""The capabilities of this room: start, list, show, cancel, resume, forget."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tools.catalog import capability
from tools.context import Context
from tools.datasets.hub import cached, destination
from tools.datasets.locate import wanted_from_hub
from tools.history.spec import Device, Engine, JobState, Method
from tools.jobs.reports import JobsReport, JobStateReport, PlanReport, ShowReport

# What the functions below import late opens the store (pandas) or reads data (duckdb, pyarrow);
# `luthier --help` needs neither.

Job_ = Annotated[
    str,
    Field(description="Id of a job, its number, or `latest`.", min_length=1, max_length=100),
]


def _reaches(arguments: Any, ctx: Context) -> str | None:
    from tools.advise.models import hub_destination  # noqa: PLC0415

    name = wanted_from_hub(ctx, arguments.path)
    if name is not None and not cached(ctx.settings, name):
        return destination(ctx.settings, name)
    return hub_destination(ctx, arguments.model)


@capability(effect="spend", verb="train", positional=("path",), reaches=_reaches, waits=True)
def start_training(
    path: Annotated[
        str,
        Field(
            description="The data: a file, folder, prepared version or Hub name.",
            min_length=1,
            max_length=1000,
        ),
    ],
    goal: Annotated[
        str | None, Field(description="What the person wants, in their words.", max_length=2000)
    ] = None,
    model: Annotated[
        str | None,
        Field(
            description="Base model: `starter`, a folder, or a Hub name; chosen if left out.",
            max_length=300,
        ),
    ] = None,
    method: Annotated[Method | None, Field(description="How to tune; chosen if left out.")] = None,
    rank: Annotated[int | None, Field(description="Rank of the adapter.", ge=1, le=1024)] = None,
    alpha: Annotated[int | None, Field(description="Adapter scale.", ge=1, le=4096)] = None,
    dropout: Annotated[
        float | None, Field(description="Dropout in the adapter.", ge=0, le=0.9)
    ] = None,
    epochs: Annotated[
        float | None, Field(description="Passes over the data.", gt=0, le=1000)
    ] = None,
    max_steps: Annotated[
        int | None, Field(description="Optimiser steps, instead of epochs.", ge=1, le=10_000_000)
    ] = None,
    learning_rate: Annotated[
        float | None, Field(description="Highest learning rate.", gt=0, le=1)
    ] = None,
    batch_size: Annotated[
        int | None, Field(description="Rows in a batch on the device.", ge=1, le=4096)
    ] = None,
    gradient_accumulation: Annotated[
        int | None, Field(description="Batches per optimiser step.", ge=1, le=4096)
    ] = None,
    max_length: Annotated[
        int | None, Field(description="Longest row in tokens.", ge=8, le=1_000_000)
    ] = None,
    weight_decay: Annotated[float | None, Field(description="Weight decay.", ge=0, le=1)] = None,
    eval_fraction: Annotated[
        float | None, Field(description="Share of rows held out, such as 0.2.", gt=0, lt=1)
    ] = None,
    dedupe: Annotated[
        bool | None, Field(description="Remove rows equal to an earlier one; yes if left out.")
    ] = None,
    input_column: Annotated[
        str | None, Field(description="Column that holds the input.", max_length=200)
    ] = None,
    output_column: Annotated[
        str | None, Field(description="Column that holds the answer or label.", max_length=200)
    ] = None,
    template: Annotated[
        str | None, Field(description="Text template over columns.", max_length=8000)
    ] = None,
    minutes: Annotated[
        float | None,
        Field(description="Stop after so many minutes, with the best state.", gt=0, le=100_000),
    ] = None,
    device: Annotated[Device | None, Field(description="Where to train.")] = None,
    engine: Annotated[Engine | None, Field(description="How work is spread over devices.")] = None,
    seed: Annotated[
        int | None, Field(description="Seed of every random choice.", ge=0, le=2**31 - 1)
    ] = None,
    *,
    ctx: Context,
) -> PlanReport:
    """Make a complete training plan and ask for consent; nothing starts before that.

    Prepares the data, chooses what was left open with a reason for each choice, predicts memory
    and time, and refuses what does not fit. With consent exactly this plan is trained, judged
    against its base on held-out rows, and kept in the history.
    """
    from tools.advise.plan import PlanRequest  # noqa: PLC0415
    from tools.jobs.planning import ask_to_start  # noqa: PLC0415

    request = PlanRequest(
        path=path,
        goal=goal,
        model=model,
        method=method,
        engine=engine,
        rank=rank,
        alpha=alpha,
        dropout=dropout,
        epochs=epochs,
        max_steps=max_steps,
        learning_rate=learning_rate,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        max_length=max_length,
        weight_decay=weight_decay,
        eval_fraction=eval_fraction,
        dedupe=dedupe,
        input_column=input_column,
        output_column=output_column,
        template=template,
        minutes=minutes,
        device=device,
        seed=seed,
    )
    return ask_to_start(ctx, request)


@capability(effect="read", verb="jobs")
def list_jobs(
    state: Annotated[JobState | None, Field(description="Only jobs in this state.")] = None,
    limit: Annotated[int, Field(description="Newest so many.", ge=1, le=1000)] = 20,
    *,
    ctx: Context,
) -> JobsReport:
    """List jobs with their state and result, newest first. Read-only."""
    from tools.jobs.showing import list_all  # noqa: PLC0415

    return list_all(ctx, states=[state] if state else None, kinds=None, limit=limit)


@capability(effect="read", verb="show", positional=("job",))
def show_job(job: Job_, *, ctx: Context) -> ShowReport:
    """Show one job: state, progress, figures, events, files, whether it can go on. Read-only."""
    from tools.jobs.find import find_job  # noqa: PLC0415
    from tools.jobs.showing import show_one  # noqa: PLC0415

    return show_one(ctx, find_job(ctx, job))


@capability(effect="write", verb="cancel", positional=("job",))
def cancel_job(job: Job_, *, ctx: Context) -> JobStateReport:
    """Stop a job: a queued one at once, a running one within two steps, keeping a checkpoint."""
    from tools.jobs.find import find_job  # noqa: PLC0415
    from tools.jobs.resume import cancel  # noqa: PLC0415

    record = cancel(ctx, find_job(ctx, job))
    message = f"{record.id} was stopped."
    if record.state == "running":
        message = f"{record.id} stops after its present step."
    elif record.state != "cancelled":
        message = f"{record.id} ended before it could be stopped: it is {record.state}."
    return JobStateReport(job=record.id, state=record.state, message=message)


@capability(effect="write", verb="resume", positional=("job",), waits=True)
def resume_job(job: Job_, *, ctx: Context) -> JobStateReport:
    """Let a stopped training finish its approved plan from its last good checkpoint."""
    from tools.jobs.find import find_job  # noqa: PLC0415
    from tools.jobs.resume import resume  # noqa: PLC0415

    record = resume(ctx, find_job(ctx, job))
    message = f"{record.id} goes on from its last checkpoint."
    if record.state == "queued":
        message = f"{record.id} is in the queue; it goes on from its last checkpoint."
    return JobStateReport(job=record.id, state=record.state, message=message)


@capability(effect="destroy", verb="forget", positional=("job",))
def forget(
    job: Annotated[
        str | None, Field(description="Id of a job, its number, or `latest`.", max_length=100)
    ] = None,
    jobs: Annotated[
        tuple[str, ...], Field(description="Several jobs at once.", max_length=100)
    ] = (),
    path: Annotated[
        str | None,
        Field(description="A prepared dataset, or the source it was made of.", max_length=1000),
    ] = None,
    *,
    ctx: Context,
) -> PlanReport:
    """List what deleting a job's files or a prepared dataset would remove, and ask for consent.

    Only what Luthier made is deleted, never the person's own files; the history keeps its entry.
    """
    from tools.jobs.forgetting import ask_to_forget  # noqa: PLC0415

    named = [job, *jobs] if job else list(jobs)
    return ask_to_forget(ctx, jobs=named, path=path)
