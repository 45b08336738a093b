"""Exporting several adapters as one ONNX model, each held against its own tuned model.

Not covered: holding fewer than all tuned models in memory at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from tools.errors import Refused
from tools.export.parity import Fidelity
from tools.history.events import GatePassed
from tools.history.spec import ExportSpec
from tools.work.exporting import Exporting, described, onnx_folder, parity_rows, write_manifest
from tools.work.load import load_model, load_tokenizer
from tools.work.multi_adapter import Part, Together, whole
from tools.work.report import Job
from tools.work.template import stop_token_ids, template_hash

Checks = Mapping[str, Exporting]


def write_together(job: Job, spec: ExportSpec, parts: Sequence[Part], partial: Path) -> list[str]:
    """Write one model a precision with all adapters; return the names of the folders.

    Raises:
        Refused: An adapter in the written model does not say what its tuned model says, the
            adapters were trained with different chat templates, or one is no plain LoRA.
    """
    base = job.folder / "base"
    tokenizer = _save_base(job, parts, base)
    work = Together(job, spec, parts, base)
    names = [onnx_folder(precision) for precision in spec.precisions]
    try:
        checks = {part.name: _check_of(job, spec, part) for part in parts}
        work.prepare()
        for precision, name in zip(spec.precisions, names, strict=True):
            way, more = 0, True
            while more:
                more = work.write(partial / name, precision, way)
                job.phase("parity", note=name)
                found = {n: check.read_onnx(partial / name, n) for n, check in checks.items()}
                more = more and not all(fidelity.passes for fidelity in found.values())
                way += 1
            _hold(checks, found)
    finally:
        work.close()
        shutil.rmtree(base, ignore_errors=True)
    job.phase("measure")
    speeds = {n: c.speeds({x: partial / x for x in names}, n) for n, c in checks.items()}
    parities = {n: check.parity.model_copy(update={"passed": True}) for n, check in checks.items()}
    measures = {f"{n}_{k}": v for n, p in parities.items() for k, v in p.measures().items()}
    job.emit(GatePassed(gate="parity", measures=measures))
    job.metrics(
        parity={"passed": True, "measures": measures},
        tokens_per_second={f"{n}_{k}": v for n, own in speeds.items() for k, v in own.items()},
    )
    for name in names:
        document = described(spec, parts[0].training, tokenizer)
        document["adapters"] = {
            part.name: {
                "job": part.job,
                "dataset": part.training.dataset,
                "dataset_fingerprint": part.training.dataset_fingerprint,
                "parity": parities[part.name].model_dump(mode="json"),
                "tokens_per_second": speeds[part.name],
            }
            for part in parts
        }
        write_manifest(partial / name, document)
    return names


def _check_of(job: Job, spec: ExportSpec, part: Part) -> Exporting:
    """Return the tuned model of one run, having read its own held-out rows."""
    tokenizer = load_tokenizer(job, part.training, adapter=part.result)
    rows = parity_rows(job, part.training, spec.parity_rows)
    job.phase("load", note=part.name)
    check = Exporting(job, part.training, tokenizer, rows)
    check.load(part.result)
    return check


def _hold(checks: Checks, found: Mapping[str, Fidelity]) -> None:
    for name, fidelity in found.items():
        try:
            checks[name].hold(fidelity)
        except Refused as error:
            raise Refused(
                f"With the adapter {name}: {error.problem}",
                hint=error.hint,
                refused_by=error.refused_by,
            ) from error


def _save_base(job: Job, parts: Sequence[Part], folder: Path) -> Any:
    """Save the base with the tokenizer of the runs, and return that."""
    every = [load_tokenizer(job, part.training, adapter=part.result) for part in parts]
    if len({template_hash(tokenizer) for tokenizer in every}) > 1:
        raise Refused(
            "These adapters were trained with different chat templates, and one model has one.",
            hint="Export each alone, or train them again on the same base.",
            refused_by="preflight",
        )
    tokenizer = every[0]
    model = load_model(job, whole(parts[0].training), quantised=False)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=stop_token_ids(tokenizer, model),
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return tokenizer
