"""Which run to export as what: everything that can be refused before a worker starts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.advise.models import resolve_model
from tools.context import Context
from tools.errors import Refused
from tools.evaluate.request import result_of
from tools.export.report import ExportReport
from tools.export.runs import check_together, named_runs
from tools.export.targets import check_device, choose_precisions, why_not_onnx
from tools.history.jobs import JobRecord
from tools.history.spec import (
    UNFINISHED,
    Device,
    ExportFormat,
    ExportSpec,
    OnnxPrecision,
    TrainingSpec,
)
from tools.jobs.launch import submit
from tools.methods import method

_GIB = 2**30
_HEADS = frozenset({"sequence_classification", "token_classification"})
_LIBRARIES_GIB = 0.8
"""torch, transformers and onnxruntime, twice: the builder is a process of its own."""
_COPIES_IN_MEMORY = 2.5
_COPIES_ON_DISK = 2.5
_NOT_MADE = {
    "gguf": "Export `merged` and convert that folder with llama.cpp's convert_hf_to_gguf.py, "
    "or export `onnx`."
}


def export(
    ctx: Context,
    job: str,
    *,
    form: str,
    precision: OnnxPrecision | None,
    device: Device | None,
    together: Sequence[str] = (),
) -> ExportReport:
    """Return the export where it was made before, else start the job that makes it.

    Args:
        together: Further runs whose adapters go into the same model. Of a job of several adapters
            all go into one.

    Raises:
        Refused: That format, precision, device or architecture is not possible here.
        Conflict: The run has no result to export.
    """
    if form in _NOT_MADE:
        raise Refused(
            f"Luthier does not write {form.upper()} files.",
            hint=_NOT_MADE[form],
            refused_by="preflight",
        )
    chosen: ExportFormat = form  # type: ignore[assignment]
    where: Device = device or "cpu"
    check_device(where)
    precisions = choose_precisions(chosen, precision, where)
    names, runs = named_runs(ctx, job, together)
    training = runs[0]
    plan = training.training
    for run in runs:
        _check_kind(run.training, result_of(ctx, run), chosen)
    result = result_of(ctx, training)
    check_together(chosen, runs)
    spec = ExportSpec(
        job=training.id,
        together=tuple(run.id for run in runs[1:]),
        names=names,
        format=chosen,
        precisions=precisions,
        device=where,
    )
    made = _made_before(ctx, training, spec)
    if made is None:
        parameters = _check_model(ctx, plan, result, chosen)
        _check_disk(ctx, parameters, chosen)
        weights_gib = 4 * parameters / _GIB
        copies = _COPIES_IN_MEMORY + len(spec.together)
        made = submit(
            ctx,
            spec,
            name=f"{plan.dataset.partition('@')[0]}-{chosen}",
            parent=training.id,
            thread_id=ctx.thread_id,
            predicted={"memory_gib": round(_LIBRARIES_GIB + copies * weights_gib, 2)},
        )
    return report_on(ctx, made)


def report_on(ctx: Context, record: JobRecord) -> ExportReport:
    """Return how an export job stands."""
    spec = record.spec
    assert isinstance(spec, ExportSpec)
    what = " and ".join(spec.precisions) if spec.format == "onnx" else spec.format
    of = f"{', '.join(spec.names)} as one model" if spec.together else spec.job
    messages = {
        "queued": f"{record.id} is in the queue: it exports {of} ({what}).",
        "running": f"{record.id} has started: it exports {of} ({what}), checks it against "
        "the tuned model, and keeps it only if it says the same.",
        "succeeded": f"{of} is exported and checked ({what}).",
    }
    done = record.state == "succeeded"
    return ExportReport(
        job=record.id,
        of_job=spec.job,
        state=record.state,
        format=spec.format,
        precisions=spec.precisions,
        device=spec.device,
        message=messages.get(record.state, f"{record.id} is {record.state}."),
        artifacts={n: str(ctx.settings.home / str(p)) for n, p in record.artifacts.items()},
        parity=record.metrics.get("parity") if done else None,
        tokens_per_second=record.metrics.get("tokens_per_second") if done else None,
    )


def _made_before(ctx: Context, training: JobRecord, spec: ExportSpec) -> JobRecord | None:
    states = [*UNFINISHED, "succeeded"]
    for record in ctx.store.jobs.find(states=states, kinds=["export"], parent=training.id):
        folders = [ctx.settings.home / str(path) for path in record.artifacts.values()]
        there = record.state in UNFINISHED or (folders and all(f.is_dir() for f in folders))
        if record.spec == spec and there:
            return record
    return None


def _check_kind(plan: TrainingSpec, result: Path, form: ExportFormat) -> None:
    """Refuse what no file can be made of, or none that the parity gate can look at."""
    if plan.objective in _HEADS:
        raise Refused(
            "A model with a head of classes answers with a class, and exports are of models that "
            "answer in words.",
            hint=f"Load {result} with transformers as it is, or train the labels as answers.",
            refused_by="preflight",
        )
    row = method(plan.method)
    if not row.merges and form != "adapter":
        raise Refused(
            f"{row.title} does not fold into the weights, so there is no {form} model of it.",
            hint="Export `adapter` instead, or train with LoRA.",
            refused_by="preflight",
        )


def _check_model(ctx: Context, plan: TrainingSpec, result: Path, form: ExportFormat) -> int:
    """Return the number of parameters; refuse an architecture the builder does not know."""
    whole = result / "config.json"
    if whole.is_file():
        config: dict[str, Any] = json.loads(whole.read_text(encoding="utf-8"))
    else:
        config = {}
    # The person agreed to this model when the run was planned; it is on this machine since.
    info = resolve_model(ctx.with_(actor="python"), plan.model)
    problem = why_not_onnx(config or info.config) if form == "onnx" else None
    if problem:
        raise Refused(
            problem,
            hint="Export `merged` instead: a folder that transformers, vLLM and others read.",
            refused_by="preflight",
        )
    return info.parameters


def _check_disk(ctx: Context, parameters: int, form: ExportFormat) -> None:
    copies = 0.1 if form == "adapter" else 1.0 if form == "merged" else _COPIES_ON_DISK
    needs = 4 * parameters * copies / _GIB
    free = shutil.disk_usage(ctx.settings.home).free / _GIB
    if needs > free:
        raise Refused(
            f"The export needs about {needs:.1f} GiB of disk space; {free:.1f} are free.",
            hint="Free some space, or point LUTHIER_HOME at a larger disk.",
            refused_by="disk",
        )
