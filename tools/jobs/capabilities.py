"""The capabilities of this room: start, list, show, cancel, resume, forget, report."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tools.catalog import capability
from tools.context import Context
from tools.datasets.hub import cached, destination
from tools.datasets.locate import wanted_from_hub
from tools.history.spec import JobState
from tools.jobs import arguments as wish
from tools.jobs.reports import (
    JobsReport,
    JobStateReport,
    PlanReport,
    ShowReport,
    WrittenReport,
)

# What the functions below import late opens the store (pandas) or reads data (duckdb, pyarrow);
# `luthier --help` needs neither.

Job_ = Annotated[
    str,
    Field(description="Id of a job, its number, or `latest`.", min_length=1, max_length=100),
]


def _reaches(arguments: Any, ctx: Context) -> str | None:
    from tools.advise.models import hub_destination  # noqa: PLC0415

    for data in (arguments.path, *(wish.named_data(text)[1] for text in arguments.adapters)):
        name = wanted_from_hub(ctx, data)
        if name is not None and not cached(ctx.settings, name):
            return destination(ctx.settings, name)
    return hub_destination(ctx, arguments.model)


@capability(effect="spend", verb="train", positional=("path",), reaches=_reaches, waits=True)
def start_training(
    path: wish.Data,
    goal: wish.Goal = None,
    model: wish.Model = None,
    method: wish.MethodName = None,
    objective: wish.Task = None,
    rank: wish.Rank = None,
    alpha: wish.Alpha = None,
    dropout: wish.Dropout = None,
    target_modules: wish.TargetModules = (),
    modules_to_save: wish.ModulesToSave = (),
    initialisation: wish.Initialisation = None,
    quantization: wish.Quantised = None,
    epochs: wish.Epochs = None,
    max_steps: wish.MaxSteps = None,
    learning_rate: wish.LearningRate = None,
    lr_scheduler: wish.Scheduler = None,
    warmup_ratio: wish.Warmup = None,
    weight_decay: wish.WeightDecay = None,
    optimizer: wish.OptimizerName = None,
    batch_size: wish.BatchSize = None,
    gradient_accumulation: wish.Accumulation = None,
    batching: wish.BatchingWay = None,
    max_length: wish.MaxLength = None,
    gradient_checkpointing: wish.Checkpointing = None,
    activation_offload: wish.ActivationOffload = None,
    attention: wish.Attention = None,
    loss: wish.LossName = None,
    loss_weight: wish.LossWeight = None,
    loss_entry_point: wish.LossEntryPoint = None,
    beta: wish.Beta = None,
    rewards: wish.Rewards = (),
    eval_fraction: wish.EvalFraction = None,
    dedupe: wish.Dedupe = None,
    input_column: wish.InputColumn = None,
    output_column: wish.OutputColumn = None,
    template: wish.Template = None,
    minutes: wish.Minutes = None,
    trials: wish.Trials = None,
    sampler: wish.Sampler = None,
    vary: wish.Vary = (),
    adapters: wish.Adapters = (),
    device: wish.DeviceName = None,
    engine: wish.EngineName = None,
    processes: wish.Processes = None,
    nodes: wish.Nodes = None,
    offload: wish.OffloadWhat = None,
    early_stopping_patience: wish.Patience = None,
    eval_steps: wish.EvalSteps = None,
    probe: wish.Probe = None,
    target: wish.Target = None,
    seed: wish.Seed = None,
    continues: wish.Continues = None,
    cures: wish.Cures = None,
    *,
    ctx: Context,
) -> PlanReport:
    """Make a complete training plan and ask for consent; nothing starts before that.

    Prepares the data, chooses what was left open with a reason for each choice, predicts memory
    and time, and refuses what does not fit. With consent exactly this plan is trained, judged
    against its base on held-out rows, and kept in the history. With `trials` the plan is a
    search: so many variants of the run, one after the other, within `minutes`. With `adapters` it
    trains several adapters on one base, one after the other, to be used or exported together.
    """
    # First of all, so that it holds the arguments and nothing else.
    wishes = dict(locals())
    from tools.jobs.planning import ask_to_start  # noqa: PLC0415

    del wishes["ctx"]
    return ask_to_start(ctx, wishes)


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
    reason = ctx.store.jobs.events(record.id, kinds=["attempt"])[-1].payload["reason"]
    how = f"from its last checkpoint ({reason})" if record.kind == "train" else f"({reason})"
    message = f"{record.id} goes on {how}."
    if record.state == "queued":
        message = f"{record.id} is in the queue; it goes on {how}."
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


@capability(effect="write", verb="report", positional=("job",))
def write_report(job: Job_ = "latest", *, ctx: Context) -> WrittenReport:
    """Write a one-page report on a finished run for others to read, and its model card."""
    from tools.jobs.find import find_job  # noqa: PLC0415
    from tools.jobs.pages import write_pages  # noqa: PLC0415

    return write_pages(ctx, find_job(ctx, job))
