"""Which runs an export is made of: one, or several whose adapters share a base."""

from __future__ import annotations

from collections.abc import Sequence

from tools.context import Context
from tools.errors import BadInput, Conflict, NotFound, Refused
from tools.evaluate.request import finished_training
from tools.history.jobs import JobRecord, slug
from tools.history.spec import AdaptersSpec, ExportFormat
from tools.jobs.find import find_job
from tools.jobs.parts import children
from tools.methods import method

_PLAIN = "LORA"
_DECOMPOSED = "use_dora"


def named_runs(
    ctx: Context, job: str, together: Sequence[str]
) -> tuple[tuple[str, ...], list[JobRecord]]:
    """Return the runs that are meant, and what their adapters are called where they are several.

    Raises:
        NotFound: There is no such run.
        Conflict: One has no result.
        BadInput: One was named twice.
    """
    record = _several(ctx, job)
    found = _adapters(ctx, record) if record else {}
    if not found:
        run = finished_training(ctx, job)
        if not together:
            return (), [run]
        found = {_name(ctx, run): run}
    for wanted in together:
        run = finished_training(ctx, wanted)
        name = _name(ctx, run)
        if run.id in {other.id for other in found.values()}:
            raise BadInput(f"{run.id} was named twice.", hint="Name another run.")
        found[name if name not in found else run.id] = run
    return tuple(found), list(found.values())


def check_together(form: ExportFormat, runs: Sequence[JobRecord]) -> None:
    """Refuse adapters that cannot stand in one model.

    Raises:
        Refused: They differ in their base, or are of a kind that is not exchanged at run time.
    """
    if len(runs) < 2:
        return
    if form != "onnx":
        raise Refused(
            f"Several adapters go together into an ONNX model, not into one of format {form}.",
            hint="Choose `onnx`, or export each run alone.",
            refused_by="preflight",
        )
    bases = {(run.training.model, run.training.model_revision) for run in runs}
    if len(bases) > 1:
        names = " and ".join(sorted(name for name, _ in bases))
        raise Refused(
            f"These adapters were trained on different bases ({names}).",
            hint="Export those of one base together.",
            refused_by="preflight",
        )
    for run in runs:
        row = method(run.training.method)
        if row.peft != _PLAIN or row.config.get(_DECOMPOSED) or run.training.modules_to_save:
            raise Refused(
                f"{run.id} ({row.title}) has more than low-rank weights, so its adapter cannot be "
                "exchanged in a running ONNX model.",
                hint="Export it alone: it is then merged into its base.",
                refused_by="preflight",
            )


def _several(ctx: Context, job: str) -> JobRecord | None:
    try:
        record = find_job(ctx, job)
    except NotFound:
        return None
    return record if isinstance(record.spec, AdaptersSpec) else None


def _adapters(ctx: Context, record: JobRecord) -> dict[str, JobRecord]:
    begun = children(ctx.store, record)
    done = {n: r for n, r in begun.items() if r.state == "succeeded" and not r.forgotten_at}
    assert isinstance(record.spec, AdaptersSpec)
    missing = [named.name for named in record.spec.runs if named.name not in done]
    if missing:
        raise Conflict(
            f"{' and '.join(missing)} of {record.id} is not trained, so they cannot be exported "
            "together.",
            hint=f"Resume it (`luthier resume {record.id}`), or export the others by their own id.",
        )
    return done


def _name(ctx: Context, run: JobRecord) -> str:
    """Return what a run's adapter is called: as in its job of several, else like its data."""
    parent = ctx.store.jobs.get(run.parent) if run.parent else None
    if parent is not None and isinstance(parent.spec, AdaptersSpec):
        for name, child in children(ctx.store, parent).items():
            if child.id == run.id:
                return name
    return slug(run.training.dataset.partition("@")[0])
