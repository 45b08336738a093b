"""Which models can answer: the base and the tuned model of a run, its newest export, or another."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tools.advise.models import resolve_model
from tools.context import Context
from tools.datasets.template import parse_template
from tools.errors import NotFound
from tools.evaluate.request import finished_training, newest_training, result_of
from tools.history.jobs import JobRecord
from tools.history.spec import ExportSpec, TrainingSpec

_ONNX_ORDER = ("onnx_int4", "onnx_fp16", "onnx_fp32")
_HOLE = re.compile(r"\{\s*([^{}]*?)\s*\}")
_LABEL_TOKENS = 24
_ANSWER_TOKENS = 128


class Target(BaseModel):
    """One model that answers.

    Attributes:
        key: `base`, `tuned`, `onnx_int4`, `onnx_fp32`, `onnx_fp16`.
        folder: Of the adapter, tuned model or ONNX model; None for a base.
        spec: How the base is loaded; not used for ONNX.
        adapter: Which adapter of an ONNX model of several.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    title: str
    kind: Literal["torch", "onnx"]
    folder: str | None = None
    spec: TrainingSpec | None = None
    job: str | None = None
    adapter: str | None = None


def targets_for(ctx: Context, job: str | None, model: str | None) -> list[Target]:
    """Return the models that answer.

    Args:
        job: A training run; None means the newest that succeeded.
        model: `base`, `tuned`, `onnx` (or one of its precisions) of that run, or another model.

    Raises:
        NotFound: There is no such run, export or model.
        Conflict: The run has no result.
    """
    wanted = (model or "").strip().lower()
    if model and wanted not in {"base", "tuned", "onnx", "exported", "starter", *_ONNX_ORDER}:
        return [_other(ctx, model)]
    if wanted == "starter" and job is None:
        return [_other(ctx, model)]
    training = newest_training(ctx) if job is None else finished_training(ctx, job)
    found = targets_of(ctx, training)
    if not wanted:
        return found
    key = {"onnx": "onnx", "exported": "onnx", "starter": "base"}.get(wanted, wanted)
    chosen = [target for target in found if target.key.startswith(key)]
    if not chosen:
        raise NotFound(
            f"{training.id} has no exported model of that kind.",
            hint="Export it first: `luthier export`.",
        )
    return chosen


def targets_of(ctx: Context, training: JobRecord) -> list[Target]:
    """Return base, tuned and the newest ONNX model of a run, the smallest precision first."""
    spec = training.training
    found = [
        Target(key="base", title=spec.model, kind="torch", spec=spec),
        Target(
            key="tuned",
            title=training.id,
            kind="torch",
            folder=str(result_of(ctx, training)),
            spec=spec,
            job=training.id,
        ),
    ]
    for export in ctx.store.jobs.find(states=["succeeded"], kinds=["export"]):
        made = export.spec
        assert isinstance(made, ExportSpec)
        if training.id not in (made.job, *made.together):
            continue
        adapter = dict(zip((made.job, *made.together), made.names, strict=False)).get(training.id)
        for name in _ONNX_ORDER:
            folder = ctx.settings.home / str(export.artifacts.get(name, ""))
            if name in export.artifacts and folder.is_dir():
                target = Target(
                    key=name, title=export.id, kind="onnx", folder=str(folder), job=training.id,
                    adapter=adapter,
                )  # fmt: skip
                return [*found, target]
    return found


def tokens_for(ctx: Context, targets: list[Target]) -> int:
    """Return how long answers may be where nobody said: short for labels."""
    jobs = {target.job for target in targets if target.job}
    if len(jobs) == 1 and ctx.store.jobs.get(jobs.pop()).training.labels:
        return _LABEL_TOKENS
    return _ANSWER_TOKENS


def as_asked(ctx: Context, targets: list[Target], prompt: str) -> str:
    """Return the prompt in the form that the run was trained on, where a template made it."""
    job = next((target.job for target in targets if target.job), None)
    text = ctx.store.jobs.get(job).training.template if job else None
    if not text:
        return prompt
    names = [match[1] for match in _HOLE.finditer(text)]
    template = parse_template(text, names)
    if len(template.inputs) != 1:
        return prompt
    return template.fill({template.inputs[0]: prompt})


def _other(ctx: Context, name: str | None) -> Target:
    info = resolve_model(ctx, name)
    model = str(info.path) if info.source == "local" and info.path else info.name
    return Target(
        key="base",
        title=info.name,
        kind="torch",
        spec=plain_spec(model, info.revision),
    )


def plain_spec(model: str, revision: str | None = None) -> TrainingSpec:
    """Return a spec that says only which model to load."""
    return TrainingSpec(
        path="-",
        dataset="-",
        dataset_fingerprint="-",
        task="chat",
        objective="chat",
        model=model,
        model_revision=revision,
        method="lora",
        learning_rate=1e-4,
    )
