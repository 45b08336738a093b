"""Frozen, versioned job specifications. A job can be repeated from its spec alone."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

JobKind = Literal["train", "search", "adapters", "evaluate", "export"]
JobState = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted", "lost"]
PARENTS: frozenset[JobKind] = frozenset({"search", "adapters"})
"""Kinds whose work is done by training runs of their own, under the one consent."""
UNFINISHED: frozenset[JobState] = frozenset({"queued", "running"})

Method = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$", max_length=40)]
"""A row of `data/methods.toml`: `full`, `lora`, `qlora`, `dora`, `ia3`, `prompt_tuning`, …"""
Engine = Literal["single", "ddp", "zero1", "zero2", "zero3", "fsdp"]
MAY_CHANGE = (
    "batch_size",
    "gradient_accumulation",
    "gradient_checkpointing",
    "optimizer",
    "attention",
    "activation_offload",
)
"""What the memory ladder may change without asking: none of these changes the objective."""
Objective = Literal[
    "prompt_completion",
    "chat",
    "text",
    "dpo",
    "kto",
    "orpo",
    "sequence_classification",
    "token_classification",
    "grpo",
]
Loss = Literal["cross_entropy", "label_smoothing", "focal", "contrastive"]
Quantization = Literal["none", "nf4", "nf4-dq", "int8"]
Optimizer = Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "adafactor", "sgd"]
Batching = Literal["grouped", "packed", "padded"]
Offload = Literal["none", "optimizer", "parameters"]
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
        quantization: How the frozen base is stored; `none` leaves it to the method's own row.
        initialisation: How a new adapter starts, in PEFT's words (`default`, `pissa`, …).
        modules_to_save: Modules trained whole beside the adapter.
        loss_weight: Strength of the named loss: smoothing, focal gamma or margin; None its default.
        loss_entry_point: Name of an installed `luthier.losses` entry point, instead of `loss`.
        beta: How far a preference objective may move from the base; None its usual value.
        rewards: Names of shipped reward functions, for `grpo`.
        batching: How rows share a batch: by similar length, packed end to end, or as they come.
        processes: Processes on this node; `nodes` machines hold as many each.
        probe: Whether a few real steps are tried first.
        cures: Id of the job whose trouble this run is meant to cure.
        continues: Id of the job whose tuned weights are the start.
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
    quantization: Quantization = "none"
    initialisation: str = Field(default="default", max_length=40)
    modules_to_save: tuple[str, ...] = ()
    optimizer: Optimizer = "adamw"
    attention: Literal["auto", "eager", "sdpa", "flash"] = "auto"
    activation_offload: bool = False
    batching: Batching = "packed"
    loss: Loss = "cross_entropy"
    loss_weight: float | None = Field(default=None, ge=0, le=100)
    loss_entry_point: str | None = Field(default=None, max_length=200)
    beta: float | None = Field(default=None, gt=0, le=100)
    rewards: tuple[str, ...] = ()
    processes: int = Field(default=1, ge=1, le=1024)
    nodes: int = Field(default=1, ge=1, le=1024)
    offload: Offload = "none"
    probe: bool = True
    cures: str | None = Field(default=None, max_length=100)
    continues: str | None = Field(default=None, max_length=100)


class Between(BaseModel):
    """A range of a setting; `log` spreads its values evenly over orders of magnitude."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float
    log: bool = False


class SearchSpec(Spec):
    """Try several variants of one training run, each a child job that inherits the approval.

    Attributes:
        base: The run that is varied; its own values are the first variant.
        space: Field of the run → the values it may take, or a range. `batch_size` means rows per
            optimiser step: the micro-batch never grows beyond that of `base`.
        max_minutes: Budget of the whole search; no trial starts, or goes on, after it.
    """

    kind: Literal["search"] = "search"
    base: TrainingSpec
    space: dict[str, Between | tuple[float, ...] | tuple[str, ...]]
    trials: int = Field(default=10, ge=1, le=1000)
    max_minutes: float | None = Field(default=None, gt=0)
    sampler: Literal["tpe", "random"] = "tpe"
    seed: int = 17


class NamedRun(BaseModel):
    """One adapter of several: what it is called, and the run that trains it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern="^[a-z0-9][a-z0-9_-]*$", max_length=40)
    run: TrainingSpec


class AdaptersSpec(Spec):
    """Train several adapters on one base, each a child job that inherits the approval.

    Attributes:
        runs: In the order in which they are trained; all have the same base.
    """

    kind: Literal["adapters"] = "adapters"
    runs: tuple[NamedRun, ...] = Field(min_length=2, max_length=20)


class EvaluationSpec(Spec):
    """Judge a finished training run on held-out rows, against its untouched base.

    Attributes:
        path: A data file to judge on instead of the held-out split of the run's dataset.
        slice_column: Column of that file whose values are reported apart.
        limit: Judge at most this many rows; None means all.
        against: Another training run to compare with, instead of the untouched base.
        pattern: Regular expression that a good answer contains.
        metric: Name of an installed entry point in the group `luthier.metrics`.
        benchmark: Task file for lm-evaluation-harness, instead of rows of one's own.
    """

    kind: Literal["evaluate"] = "evaluate"
    job: str
    dataset: str
    split: Literal["validation", "test"] = "validation"
    path: str | None = None
    slice_column: str | None = None
    limit: int | None = Field(default=None, ge=1)
    against: str | None = None
    pattern: str | None = Field(default=None, max_length=1000)
    metric: str | None = Field(default=None, max_length=200)
    benchmark: str | None = None
    batch_size: int = Field(default=32, ge=1)
    seed: int = 17


class ExportSpec(Spec):
    """Turn a finished training run into files that run elsewhere, through the parity gate.

    Attributes:
        together: Further runs on the same base, whose adapters go into the same model.
        names: What the adapters are called in it: that of `job` first.
    """

    kind: Literal["export"] = "export"
    job: str
    together: tuple[str, ...] = Field(default=(), max_length=19)
    names: tuple[str, ...] = Field(default=(), max_length=20)
    format: ExportFormat = "onnx"
    precisions: tuple[OnnxPrecision, ...] = ("int4",)
    device: Device = "cpu"
    parity_rows: int = Field(default=64, ge=1, le=4096)


AnySpec = TrainingSpec | SearchSpec | AdaptersSpec | EvaluationSpec | ExportSpec
StartedSpec = TrainingSpec | SearchSpec | AdaptersSpec
"""What `start_training` plans."""
_ADAPTER: TypeAdapter[AnySpec] = TypeAdapter(Annotated[AnySpec, Field(discriminator="kind")])


def run_of(spec: AnySpec) -> AnySpec:
    """Return the run that a spec is about: the one a search varies, the first of several adapters.

    Any other spec is returned itself.
    """
    if isinstance(spec, AdaptersSpec):
        return spec.runs[0].run
    return spec.base if isinstance(spec, SearchSpec) else spec


def runs_of(spec: StartedSpec) -> tuple[TrainingSpec, ...]:
    """Return every run that a plan was made for: of a search the one it varies."""
    if isinstance(spec, AdaptersSpec):
        return tuple(named.run for named in spec.runs)
    return (spec.base,) if isinstance(spec, SearchSpec) else (spec,)


def read_spec(document: str | bytes) -> AnySpec:
    """Read a spec from its JSON document."""
    return _ADAPTER.validate_json(document)


def digest(document: Any) -> str:
    """Return the SHA-256 of a JSON-like value, independent of the order of its keys."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def plan_hash(spec: Spec) -> str:
    """Return the hash that an approval is bound to: every field of the spec."""
    return digest(spec.model_dump(mode="json"))
