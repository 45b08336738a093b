"""Puts the evidence of a run together, lets the rules look at it, and reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tools.catalog import find_capability
from tools.context import Context
from tools.diagnose import (
    compare,
    cures,
    files,
    signs_data,
    signs_fit,
    signs_log,
    signs_loss,
    signs_machine,
    signs_result,
    signs_rows,
    streams,
    words,
)
from tools.diagnose.evidence import Run
from tools.diagnose.names import read_settings_document
from tools.diagnose.ranking import ranked
from tools.diagnose.report import CODES, Cause, Cure, DiagnosisReport, Series
from tools.diagnose.suspicion import Suspicion
from tools.diagnose.titles import TITLES
from tools.errors import BadInput
from tools.history.jobs import JobRecord
from tools.history.spec import TrainingSpec

_ENOUGH_STEPS = 3
RULES: tuple[Callable[[Run], Iterable[Suspicion]], ...] = (
    *signs_log.RULES,
    *signs_loss.RULES,
    *signs_fit.RULES,
    *signs_rows.RULES,
    *signs_data.RULES,
    *signs_result.RULES,
    *signs_machine.RULES,
    *words.RULES,
)


def diagnose(
    ctx: Context,
    *,
    job: str | None = None,
    events: str | None = None,
    spec: str | None = None,
    log: str | None = None,
    data: str | None = None,
    question: str | None = None,
) -> DiagnosisReport:
    """Diagnose a job, or what was given of a run made elsewhere.

    Raises:
        BadInput: Nothing was given, or a file is not what it should be.
        NotFound, NotAllowed: A file or the job is missing, or may not be read.
    """
    if not any((job, events, spec, log, data, (question or "").strip())):
        job = _latest(ctx)
    record = _record(ctx, job) if job else None
    run = run_of_job(ctx, record) if record else Run()
    files.add_files(ctx, run, events=events, spec=spec, log=log, data=data)
    run.question = (question or "")[:8000]
    return report_on(ctx, run, record)


def report_on(ctx: Context | None, run: Run, record: JobRecord | None = None) -> DiagnosisReport:
    """Let the rules look at a run and report, with a cure for every cause.

    Args:
        ctx: Needed to compare a cured run with its sick one; None leaves that out.
    """
    suspicions = [s for rule in RULES for s in rule(run)]
    found = ranked(suspicions)
    causes = tuple(_cause(run, s, record) for s in found)
    healthy: bool | None = False
    if not causes:
        healthy = True if _suffices(run) else None
    asks = words.asks_for(run) if healthy is None or _only_words(run, causes) else ()
    return DiagnosisReport(
        subject=run.subject,
        job=record.id if record else None,
        state=run.state,
        healthy=healthy,
        causes=causes,
        asks=asks,
        usual_cures=words.usual_cures(run) if not causes else (),
        looked_at=run.looked_at(),
        ended_with="" if causes else _last_error(run),
        series=_series(run, causes),
        comparison=compare.with_sick(ctx.store, record) if ctx and record else None,
    )


def _last_error(run: Run) -> str:
    said = [str(failure.get("message") or "") for failure in run.failures]
    return " ".join(said[-1].split())[:300] if said else ""


def run_of_job(ctx: Context, record: JobRecord) -> Run:
    """Return everything the history knows of a job."""
    run = Run(subject=record.id, state=record.state)
    if isinstance(record.spec, TrainingSpec):
        run.spec = read_settings_document(record.spec.model_dump(mode="json"))
    for event in ctx.store.jobs.events(record.id):
        stamped = {"kind": event.kind, "at": event.at.isoformat(), **event.payload}
        streams.add_documents(run, [stamped])
    run.state = record.state
    streams.add_record(run, record.metrics)
    run.timing = {**{k: v for k, v in record.measured.items() if k == "train_s"}, **run.timing}
    if record.error:
        run.failures.append(record.error)
    for change in run.attempts:
        for name, values in (change.get("changes") or {}).items():
            run.spec[name] = values[-1]
    path = ctx.settings.job_folder(record.id) / "log.txt"
    run.log = files.tail(path) if path.is_file() else ""
    return run


def _latest(ctx: Context) -> str:
    found = ctx.store.jobs.find(kinds=["train", "export", "evaluate"], limit=1)
    if not found:
        raise BadInput(
            "There is nothing to diagnose yet.",
            hint="Name a job, or give --events, --log or --question of a run made elsewhere.",
        )
    return found[0].id


def _record(ctx: Context, job: str) -> JobRecord:
    # Late: reconciling needs the locks' library.
    from tools.jobs.find import find_job  # noqa: PLC0415
    from tools.jobs.reconcile import reconcile  # noqa: PLC0415

    reconcile(ctx)
    return ctx.store.jobs.get(find_job(ctx, job).id)


def _cause(run: Run, suspicion: Suspicion, record: JobRecord | None) -> Cause:
    assert suspicion.code in CODES
    cure = cures.cure_of(run, suspicion.code)
    return Cause(
        code=suspicion.code,
        title=TITLES[suspicion.code],
        confidence=round(suspicion.confidence, 3),
        evidence=suspicion.evidence,
        cure=cure.model_copy(update={"arguments": arguments_of(run, cure, record)}),
    )


def arguments_of(run: Run, cure: Cure, record: JobRecord | None) -> dict[str, Any]:
    """Return a complete set of arguments that starts the cured run, or none where it cannot."""
    if cure.capability == "export_model":
        of_job = getattr(record.spec, "job", record.id) if record else None
        return {"job": of_job, "precision": "fp32"} if of_job else {}
    path = run.spec.get("path")
    if not cure.changes or not path or record is None or record.kind != "train":
        return {}
    known = find_capability("start_training").arguments.model_fields
    spec = dict(run.spec) | {name: new for name, (_, new) in cure.changes.items()}
    if spec.get("max_steps"):
        spec.pop("epochs", None)
    arguments = {
        name: value
        for name, value in spec.items()
        if name in known and value is not None and value != "" and value != []
        and name not in _NOT_REPEATED
    }  # fmt: skip
    if str(spec.get("method")) == "full":
        for name in ("rank", "alpha", "dropout", "target_modules"):
            arguments.pop(name, None)
    if arguments.get("target_modules") == "all-linear":
        arguments.pop("target_modules")  # a name of its own in the spec; in a wish, left out
    if spec.get("max_minutes") and "minutes" in known:
        arguments["minutes"] = spec["max_minutes"]
    if "cures" in known:
        arguments["cures"] = record.id
    return arguments


_NOT_REPEATED = frozenset({"labels", "kind", "task", "dataset", "rewards", "nodes", "objective",
                           "modules_to_save", "continues", "cures"})  # fmt: skip


def _suffices(run: Run) -> bool:
    """Whether so much was seen that silence means health."""
    if run.state in ("failed", "lost"):
        return False
    if run.question.strip() and len(run.loss) < _ENOUGH_STEPS:
        return False
    enough = len(run.loss) >= _ENOUGH_STEPS or len(run.eval_loss) >= 2
    return enough or bool(run.judged.get("accuracy") is not None and run.state == "succeeded")


def _only_words(run: Run, causes: tuple[Cause, ...]) -> bool:
    return bool(causes) and not run.steps and not run.log.strip() and not run.failures


def _series(run: Run, causes: tuple[Cause, ...]) -> Series:
    marks = sorted({s for c in causes[:1] for e in c.evidence for s in e.steps})
    return Series(
        loss=run.loss.thinned(),
        eval_loss=run.eval_loss.thinned(),
        memory_gib=run.curve("memory_gib").thinned(100),
        tokens_per_s=run.curve("tokens_per_s").thinned(100),
        marks=tuple(marks),
    )
