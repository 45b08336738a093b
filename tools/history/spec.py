"""Frozen, versioned job specifications. A job can be repeated from its spec alone."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

JobKind = Literal["train", "evaluate", "export"]
JobState = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted", "lost"]
UNFINISHED: frozenset[JobState] = frozenset({"queued", "running"})

Method = Literal["full", "lora", "qlora", "dora"]
Engine = Literal["single"]
Objective = Literal["prompt_completion", "chat", "text"]
Precision = Literal["float32", "bfloat16", "float16"]
ExportFormat = Literal["onnx", "merged", "adapter"]
OnnxPrecision = Literal["fp32", "fp16", "int4"]
Device = Literal["cpu", "cuda"]


class Spec(BaseModel):
    """Base of all job specifications."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1


class TrainingSpec(Spec):
    """Everything that decides what a training run does.

    Names follow the arguments of `start_training`. `path` is what the person named; `dataset`
    is the prepared version that is trained on, and `dataset_fingerprint` its content.

    Attributes:
        max_steps: Stop after this many optimiser steps; None means `epochs` decides.
        warmup_ratio: Share of the steps in which the learning rate rises.
        max_minutes: Budget; the run stops with its best checkpoint when it is used up.
        may_change: What may be changed without asking again if memory runs out.
    """

    kind: Literal["train"] = "train"
    goal: str = ""
    path: str
    dataset: str
    dataset_fingerprint: str
    task: str
    objective: Objective
    labels: tuple[str, ...] = ()
    template: str | None = None
    model: str
    model_revision: str | None = None
    method: Method
    engine: Engine = "single"
    device: Device = "cpu"
    rank: int = Field(default=16, ge=1, le=1024)
    alpha: int = Field(default=32, ge=1, le=4096)
    dropout: float = Field(default=0.0, ge=0, le=0.9)
    target_modules: str | tuple[str, ...] = "all-linear"
    epochs: float = Field(default=3.0, gt=0, le=1000)
    max_steps: int | None = Field(default=None, ge=1)
    learning_rate: float = Field(gt=0, le=1)
    lr_scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: float = Field(default=0.05, ge=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    batch_size: int = Field(default=8, ge=1, le=4096)
    gradient_accumulation: int = Field(default=1, ge=1, le=4096)
    max_length: int = Field(default=512, ge=8)
    precision: Precision = "float32"
    gradient_checkpointing: bool = False
    eval_fraction: float = Field(default=0.15, gt=0, lt=1)
    dedupe: bool = True
    eval_steps: int = Field(default=50, ge=1)
    save_steps: int = Field(default=50, ge=1)
    early_stopping_patience: int | None = Field(default=None, ge=1)
    max_minutes: float | None = Field(default=None, gt=0)
    seed: int = 17
    may_change: tuple[str, ...] = ()


class EvaluationSpec(Spec):
    """Judge a finished training run on held-out rows, against its untouched base.

    Attributes:
        path: A data file to judge on instead of the held-out split of the run's dataset.
        slice_column: Column of that file whose values are reported apart.
        limit: Judge at most this many rows; None means all.
    """

    kind: Literal["evaluate"] = "evaluate"
    job: str
    dataset: str
    split: Literal["validation", "test"] = "validation"
    path: str | None = None
    slice_column: str | None = None
    limit: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=32, ge=1)
    seed: int = 17


class ExportSpec(Spec):
    """Turn a finished training run into files that run elsewhere, through the parity gate."""

    kind: Literal["export"] = "export"
    job: str
    format: ExportFormat = "onnx"
    precisions: tuple[OnnxPrecision, ...] = ("int4",)
    device: Device = "cpu"
    parity_rows: int = Field(default=64, ge=1, le=4096)


JobSpec = Annotated[TrainingSpec | EvaluationSpec | ExportSpec, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[TrainingSpec | EvaluationSpec | ExportSpec] = TypeAdapter(JobSpec)


def read_spec(document: str | bytes) -> TrainingSpec | EvaluationSpec | ExportSpec:
    """Read a spec from its JSON document."""
    return _ADAPTER.validate_json(document)


def digest(document: Any) -> str:
    """Return the SHA-256 of a JSON-like value, independent of the order of its keys."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def plan_hash(spec: Spec) -> str:
    """Return the hash that an approval is bound to: every field of the spec."""
    return digest(spec.model_dump(mode="json"))
