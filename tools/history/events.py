"""What a worker tells while it lives: one closed list of event kinds.

Events are appended with a growing `seq`; faces read them with a cursor. The fields of each kind
are the attributes of its class, so that streams made elsewhere can be checked and read.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Event(BaseModel):
    """Base of all events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def payload(self) -> dict[str, Any]:
        """Fields without the kind."""
        return self.model_dump(mode="json", exclude={"kind"})


class StateChanged(Event):
    """The job entered another state."""

    kind: Literal["state"] = "state"
    state: str
    reason: str = ""


class PhaseStarted(Event):
    """The worker began a part of its work, such as `load`, `probe`, `train`, `evaluate`."""

    kind: Literal["phase"] = "phase"
    phase: str
    note: str = ""


class Progress(Event):
    """How far the present phase is."""

    kind: Literal["progress"] = "progress"
    phase: str
    done: int
    total: int
    eta_s: float | None = None


class StepMetrics(Event):
    """Measured at a training step. Memory is this process's resident size (or GPU allocation)."""

    kind: Literal["metrics"] = "metrics"
    step: int
    epoch: float
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens_per_s: float | None = None
    memory_gib: float | None = None


class AttemptChanged(Event):
    """Something was changed beside the frozen spec; `changes` is field → [old, new]."""

    kind: Literal["attempt"] = "attempt"
    number: int
    changes: dict[str, list[Any]]
    reason: str


class GatePassed(Event):
    """A gate looked and said yes, with what it measured."""

    kind: Literal["gate"] = "gate"
    gate: str
    measures: dict[str, Any]


class CheckpointSaved(Event):
    """A validated checkpoint lies at `folder` (relative to the job's folder)."""

    kind: Literal["checkpoint"] = "checkpoint"
    step: int
    folder: str


class SampleGenerated(Event):
    """One generation, for the eye. Prompt and answer are untrusted text."""

    kind: Literal["sample"] = "sample"
    prompt: str
    answer: str
    stopped: bool


class Warned(Event):
    """Something a person should know; the job goes on."""

    kind: Literal["warning"] = "warning"
    code: str
    message: str


class Failed(Event):
    """The job ended without its result."""

    kind: Literal["error"] = "error"
    message: str
    hint: str
    refused_by: str | None = None


AnyEvent = (
    StateChanged
    | PhaseStarted
    | Progress
    | StepMetrics
    | AttemptChanged
    | GatePassed
    | CheckpointSaved
    | SampleGenerated
    | Warned
    | Failed
)
EVENT: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="kind")])
"""Reads and checks an event from its JSON-like form."""
