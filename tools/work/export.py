"""From a tuned run to files that run elsewhere, kept only where they say what it says.

    exports/<job id>/onnx_fp32/  onnx_int4/  |  merged/  |  adapter/     manifest.json in each

Everything is written into a hidden folder first and moved into place at the end: an export that
fails, is stopped or is killed leaves nothing behind that looks like one.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from tools.export.parity import Parity, check_fidelity
from tools.history.events import GatePassed
from tools.history.spec import UNFINISHED, ExportSpec, TrainingSpec
from tools.methods import method
from tools.work.evaluate import result_folder
from tools.work.exporting import (
    Exporting,
    described,
    onnx_folder,
    parity_rows,
    write_manifest,
)
from tools.work.load import load_tokenizer
from tools.work.memory import memory_peak_gib
from tools.work.multi_adapter import Part
from tools.work.report import Job
from tools.work.together import write_together

_PARTIAL = ".partial-"


def run(job: Job) -> dict[str, Any]:
    """Export what an `ExportSpec` names, through the parity gate.

    Raises:
        Refused: The exported model does not say what the tuned one says; nothing is kept.
        Conflict: The run's result is gone.
    """
    spec = job.spec
    assert isinstance(spec, ExportSpec)
    began = time.monotonic()
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(job.settings.worker_threads or torch.get_num_threads())
    parts = [_part(job, *named) for named in _named(spec)]
    exports = job.settings.home / "exports"
    exports.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(job, exports)
    partial, final = exports / f"{_PARTIAL}{job.id}", exports / job.id
    partial.mkdir()
    try:
        if spec.together:
            names = write_together(job, spec, parts, partial)
        else:
            names = _write(job, spec, parts[0].training, parts[0].result, partial)
        partial.replace(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(job.folder / "builder-cache", ignore_errors=True)
    for name in names:
        job.artifact(name, final / name)
    job.measure(
        duration_s=round(time.monotonic() - began, 1),
        memory_gib=round(memory_peak_gib("cpu"), 3),
    )
    return {"notice": _notice(job, spec, names)}


def _named(spec: ExportSpec) -> list[tuple[str, str]]:
    """Return name and run of each adapter; a single one needs no name."""
    runs = (spec.job, *spec.together)
    return list(zip(spec.names or runs, runs, strict=True))


def _part(job: Job, name: str, run_id: str) -> Part:
    record = job.store.jobs.get(run_id)
    return Part(name, run_id, record.training, result_folder(job, record.artifacts, run_id))


def _write(
    job: Job, spec: ExportSpec, training: TrainingSpec, result: Path, partial: Path
) -> list[str]:
    """Write and check everything that was asked for; return the names of the folders."""
    tokenizer = load_tokenizer(job, training, adapter=result)
    work = Exporting(job, training, tokenizer, parity_rows(job, training, spec.parity_rows))
    job.phase("load", note=training.model)
    work.load(result)
    merged = partial / "merged"
    if method(training.method).merges:
        job.phase("merge")
        work.merge(result, merged, half=spec.format == "merged" and "fp16" in spec.precisions)
    names = {"adapter": ["adapter"], "merged": ["merged"]}.get(spec.format, [])
    if spec.format == "onnx":
        for precision in spec.precisions:
            name = onnx_folder(precision)
            job.phase("export", note=name)
            work.export(merged, partial / name, precision, spec.device)
            names.append(name)
    if spec.format == "adapter":
        shutil.copytree(result, partial / "adapter")
        tokenizer.save_pretrained(partial / "adapter")
        if not method(training.method).merges:
            work.read_copy(partial / "adapter")
    if spec.format != "merged":
        shutil.rmtree(merged, ignore_errors=True)
    job.phase("measure")
    speeds = work.speeds({name: partial / name for name in names if name.startswith("onnx")})
    parity = work.parity.model_copy(update={"passed": True})
    _tell(job, parity, speeds)
    for name in names:
        document = described(spec, training, tokenizer)
        document |= {"parity": parity.model_dump(mode="json"), "tokens_per_second": speeds}
        write_manifest(partial / name, document)
    return names


def _tell(job: Job, parity: Parity, speeds: dict[str, float]) -> None:
    for fidelity in parity.compared:
        check_fidelity(fidelity)
    measures = parity.measures()
    job.emit(GatePassed(gate="parity", measures=measures))
    job.metrics(
        parity={"passed": True, "measures": measures},
        tokens_per_second=speeds,
    )


def _clear_leftovers(job: Job, exports: Path) -> None:
    """Delete hidden folders of exports that were killed; those still at work keep theirs."""
    alive = {r.id for r in job.store.jobs.find(states=UNFINISHED, kinds=["export"])} - {job.id}
    for folder in exports.glob(f"{_PARTIAL}*"):
        if folder.name.removeprefix(_PARTIAL) not in alive:
            shutil.rmtree(folder, ignore_errors=True)


def _notice(job: Job, spec: ExportSpec, names: list[str]) -> str:
    what = " and ".join(name.replace("_", " ") for name in names)
    of, models = spec.job, "the tuned model"
    if spec.together:
        of, models = f"{len(spec.names)} adapters ({', '.join(spec.names)})", "each tuned model"
    return (
        f"{job.id} finished: {what} of {of}, checked against {models}. "
        "Next: try it, or take the folder to where it shall run."
    )
