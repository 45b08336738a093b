"""What a person may wish for a training run, and the plan that comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from tools.advise.figures import MemoryEstimate, Range, Reason, Verdict
from tools.datasets.manifest import Manifest
from tools.history.spec import (
    Batching,
    Device,
    Engine,
    Loss,
    Objective,
    Offload,
    Optimizer,
    Quantization,
    TrainingSpec,
)

if TYPE_CHECKING:
    from tools.advise.hardware import Machine
    from tools.advise.models import ModelInfo


class PlanRequest(BaseModel):
    """Every optional wish of `start_training`; None means: choose. `path` is the data.

    What is named like a field of `TrainingSpec` means what it means there.

    Attributes:
        target: Where the tuned model will run: `onnx-cpu`, `onnx-cuda`, `gguf`, `hf`, `hosted`.
        processes: Processes that share the work; with an engine for several, one per card.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    goal: str | None = None
    model: str | None = None
    method: str | None = None
    engine: Engine | None = None
    objective: Objective | None = None
    rank: int | None = Field(default=None, ge=1, le=1024)
    alpha: int | None = Field(default=None, ge=1, le=4096)
    dropout: float | None = Field(default=None, ge=0, le=0.9)
    target_modules: str | tuple[str, ...] | None = None
    modules_to_save: tuple[str, ...] | None = None
    initialisation: str | None = Field(default=None, max_length=40)
    quantization: Quantization | None = None
    epochs: float | None = Field(default=None, gt=0, le=1000)
    max_steps: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0, le=1)
    lr_scheduler: Literal["cosine", "linear", "constant"] | None = None
    warmup_ratio: float | None = Field(default=None, ge=0, le=1)
    weight_decay: float | None = Field(default=None, ge=0, le=1)
    optimizer: Optimizer | None = None
    batch_size: int | None = Field(default=None, ge=1, le=4096)
    gradient_accumulation: int | None = Field(default=None, ge=1, le=4096)
    batching: Batching | None = None
    max_length: int | None = Field(default=None, ge=8)
    gradient_checkpointing: bool | None = None
    attention: Literal["auto", "eager", "sdpa", "flash"] | None = None
    activation_offload: bool | None = None
    loss: Loss | None = None
    loss_weight: float | None = Field(default=None, ge=0, le=100)
    loss_entry_point: str | None = Field(default=None, max_length=200)
    beta: float | None = Field(default=None, gt=0, le=100)
    rewards: tuple[str, ...] | None = None
    early_stopping_patience: int | None = Field(default=None, ge=1, le=1000)
    eval_steps: int | None = Field(default=None, ge=1)
    eval_fraction: float | None = Field(default=None, gt=0, lt=1)
    dedupe: bool | None = None
    input_column: str | None = None
    output_column: str | None = None
    template: str | None = None
    minutes: float | None = Field(default=None, gt=0)
    target: str | None = None
    device: Device | None = None
    processes: int | None = Field(default=None, ge=1, le=1024)
    nodes: int | None = Field(default=None, ge=1, le=1024)
    offload: Offload | None = None
    probe: bool | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Plan:
    """A complete, feasible run: what will be done, what it costs, and why each choice.

    Attributes:
        duration: Seconds from start to verdict.
        disk_gib: Space the run needs at its peak.
        available_gib: Memory that the run may use on its device.
        why: One reason for each choice that was not the person's own.
        warnings: What a person should know before saying yes.
    """

    spec: TrainingSpec
    manifest: Manifest
    memory: MemoryEstimate
    duration: Range
    disk_gib: float
    why: list[Reason]
    warnings: list[str]
    available_gib: float
    model: ModelInfo
    machine: Machine

    @property
    def verdict(self) -> Verdict:
        """`fits` or `tight`; a plan that does not fit is refused instead."""
        return self.memory.verdict(self.available_gib)
