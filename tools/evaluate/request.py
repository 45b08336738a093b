"""Which run to judge on which rows, and whether that was already done."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from tools.context import Context
from tools.datasets.answers import answerable, no_answers
from tools.datasets.manifest import Manifest, read_manifest
from tools.datasets.records import map_file
from tools.errors import BadInput, Conflict, NotFound, Unavailable
from tools.evaluate.judgement import Judgement
from tools.evaluate.report import EvaluationReport, from_judgement
from tools.evaluate.stored import stored_judgement
from tools.evaluate.votes import count_votes, with_people
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED, EvaluationSpec, JobState
from tools.jobs.find import find_job
from tools.jobs.launch import submit
from tools.jobs.resume import resume
from tools.paths import resolve_input

METRICS_GROUP = "luthier.metrics"
"""Entry points of installed business metrics: functions of an answer and what was expected."""
_STOPPED: tuple[JobState, ...] = ("interrupted", "lost", "cancelled")


@dataclass(frozen=True)
class Wish:
    """What a person asks for beyond the run itself.

    Attributes:
        path: Data file to judge on; the run's own held-out rows if None.
        against: Another run to compare with, instead of the base.
        pattern: Regular expression that a good answer contains.
        metric: Installed business metric.
        benchmark: Task file of an established benchmark.
    """

    path: str | None = None
    slice_column: str | None = None
    limit: int | None = None
    against: str | None = None
    pattern: str | None = None
    metric: str | None = None
    benchmark: str | None = None


def evaluate(ctx: Context, job: str, wish: Wish) -> EvaluationReport:
    """Return the judgement where there is one, else start (or resume) the job that makes it.

    Raises:
        NotFound: There is no such run.
        Conflict: The run has no result to judge, or the other run learned something else.
        BadInput: A slice is asked for without a file to take its column from, the file cannot be
            judged on, or the pattern or the metric cannot be used.
        Unavailable: The benchmark needs a part that is not installed.
    """
    training = finished_training(ctx, job)
    _check(wish)
    if wish == Wish():
        at_end = stored_judgement(ctx, training)
        if at_end:
            return _told(ctx, at_end, training, training)
    spec = _spec(ctx, training, wish)
    made = _made_before(ctx, training, spec)
    record = made or submit(
        ctx,
        spec,
        name=f"{training.training.dataset.partition('@')[0]}-eval",
        parent=training.id,
        thread_id=ctx.thread_id,
        predicted=_predicted(training),
    )
    return _report(ctx, record, training)


def _check(wish: Wish) -> None:
    if wish.slice_column and not wish.path:
        raise BadInput(
            "A slice needs a file: the prepared rows carry no other columns.",
            hint="Name the file with `path`; it has to hold that column.",
        )
    if wish.pattern is not None:
        # Late: only who names a pattern needs the library.
        import regex  # noqa: PLC0415

        try:
            regex.compile(wish.pattern)
        except regex.error as error:
            raise BadInput(
                f"The pattern is no regular expression: {error}.",
                hint="Correct it, or put a backslash before signs that are meant literally.",
            ) from error
    if wish.metric is not None:
        known = sorted(point.name for point in entry_points(group=METRICS_GROUP))
        if wish.metric not in known:
            raise BadInput(
                f"No metric {wish.metric!r} is installed; there is: {', '.join(known) or 'none'}.",
                hint=f"Install a package with an entry point of that name in {METRICS_GROUP!r}.",
            )
    if wish.benchmark is not None and find_spec("lm_eval") is None:
        raise Unavailable(
            "Benchmarks need lm-evaluation-harness, which is not installed.",
            hint='Install it with `pip install "luthier[benchmarks]"`, then try again.',
        )


def finished_training(ctx: Context, job: str) -> JobRecord:
    """Return the training run that is meant, given its own id or that of a job made from it.

    Raises:
        NotFound: There is none.
        Conflict: It has not ended well, or its result was deleted.
    """
    latest = job.strip().lower() in {"latest", "last", "newest"}
    record = newest_training(ctx) if latest else find_job(ctx, job)
    if record.kind != "train" and record.parent:
        record = ctx.store.jobs.get(record.parent)
    record.training  # noqa: B018 - raises where the job is of another kind
    if record.forgotten_at:
        raise Conflict(
            f"The files of {record.id} were deleted.", hint="Train it again from its settings."
        )
    if record.state in UNFINISHED:
        raise Conflict(
            f"{record.id} is {record.state}; there is no result yet.",
            hint="Wait until it has ended; it is judged by itself then.",
        )
    if record.state != "succeeded":
        raise Conflict(
            f"{record.id} is {record.state}, so it has no result.",
            hint=f"`luthier show {record.id}` says why; resume it or start it again.",
        )
    return record


def newest_training(ctx: Context) -> JobRecord:
    """Return the newest training run that succeeded.

    Raises:
        NotFound: There is none.
    """
    found = ctx.store.jobs.find(states=["succeeded"], kinds=["train"], limit=1)
    if not found:
        raise NotFound(
            "No training run has finished yet.", hint="Train one first: `luthier train FILE`."
        )
    return found[0]


def result_of(ctx: Context, record: JobRecord) -> Path:
    """Return the folder of a run's adapter or model.

    Raises:
        Conflict: It is no longer there.
    """
    for name in ("adapter", "model"):
        folder = ctx.settings.home / str(record.artifacts.get(name, ""))
        if name in record.artifacts and folder.is_dir():
            return folder
    raise Conflict(
        f"The tuned weights of {record.id} are no longer there.",
        hint="Train it again; `luthier show` tells with which settings.",
    )


def _spec(ctx: Context, training: JobRecord, wish: Wish) -> EvaluationSpec:
    plan = training.training
    result_of(ctx, training)
    manifest = read_manifest(ctx.settings.dataset_folder(plan.dataset))
    if wish.path:
        _look_at(resolve_input(ctx, wish.path), manifest, plan.objective, wish.slice_column)
    return EvaluationSpec(
        job=training.id,
        dataset=plan.dataset,
        split="test" if manifest.splits.get("test") else "validation",
        path=str(resolve_input(ctx, wish.path)) if wish.path else None,
        slice_column=wish.slice_column,
        limit=wish.limit,
        against=_rival(ctx, training, wish.against) if wish.against else None,
        pattern=wish.pattern,
        metric=wish.metric,
        benchmark=str(resolve_input(ctx, wish.benchmark)) if wish.benchmark else None,
        seed=plan.seed,
    )


def _look_at(path: Path, manifest: Manifest, objective: str, column: str | None) -> None:
    """Refuse a file at once that the job could not judge on.

    Raises:
        BadInput: It cannot be read as the training data was, lacks the column to slice by, or none
            of its rows has an answer.
    """
    rows = map_file(path, manifest, columns=(column,) if column else ())
    # Rewards judge what is said; no answer is expected.
    if not any(objective == "grpo" or answerable(row) for row in rows):
        raise no_answers()


def _rival(ctx: Context, training: JobRecord, against: str) -> str:
    other = finished_training(ctx, against)
    result_of(ctx, other)
    if other.id == training.id:
        raise BadInput(f"{training.id} cannot be compared with itself.", hint="Name another run.")
    spoken = {"prompt_completion", "chat", "text"}
    if not {other.training.objective, training.training.objective} <= spoken:
        raise Conflict(
            "Only models that answer in words can be compared with each other on the same rows.",
            hint="Judge each of them against its base, and compare the differences.",
        )
    return other.id


def _made_before(ctx: Context, training: JobRecord, spec: EvaluationSpec) -> JobRecord | None:
    """Return a job that judges or judged exactly this; a file that changed since counts anew.

    One that was stopped or killed goes on from the rows it has scored.
    """
    states: list[JobState] = [*UNFINISHED, "succeeded", *_STOPPED]
    for record in ctx.store.jobs.find(states=states, kinds=["evaluate"], parent=training.id):
        if record.spec != spec:
            continue
        if record.state in UNFINISHED:
            return record
        changed = spec.path and Path(spec.path).stat().st_mtime > record.created_at.timestamp()
        if changed:
            continue
        if record.state in _STOPPED:
            return resume(ctx, record)
        if stored_judgement(ctx, record):
            return record
    return None


def _report(ctx: Context, record: JobRecord, training: JobRecord) -> EvaluationReport:
    judgement = stored_judgement(ctx, record) if record.state == "succeeded" else None
    if judgement:
        return _told(ctx, judgement, record, training)
    where = "the file" if getattr(record.spec, "path", None) else "its held-out rows"
    waits = "is in the queue" if record.state == "queued" else "has started"
    return EvaluationReport(
        job=record.id,
        of_job=training.id,
        state=record.state,
        message=f"{record.id} {waits}: it judges {training.id} against its base on {where}. "
        "The verdict comes by itself.",
    )


def _told(
    ctx: Context, judgement: Judgement, record: JobRecord, training: JobRecord
) -> EvaluationReport:
    """Return the report of a judgement, with what people preferred since it was made."""
    votes = count_votes(ctx, record)
    word, text = with_people(judgement.verdict, judgement.verdict_text, votes)
    judged = judgement.model_copy(update={"verdict": word, "verdict_text": text})
    return from_judgement(judged, job=record.id, of_job=training.id, votes=votes)


def _predicted(training: JobRecord) -> dict[str, float]:
    # Judging holds the model and its logits; training held gradients and optimiser besides.
    known = training.measured.get("memory_gib") or training.predicted.get("memory_gib")
    return {"memory_gib": float(known)} if isinstance(known, int | float) else {}
