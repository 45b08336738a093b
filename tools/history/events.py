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


class RunSetup(Event):
    """What is trained, on what: told once, after loading.

    Attributes:
        parameters, trained_parameters: Weights of the whole model, and those that are trained.
        memory_limit_gib: What the run may use at most on its device.
        bfloat16: Whether the device computes in bfloat16.
        template_hash: Of the chat template that rows are rendered with.
        pad_token_id, stop_token_ids: What fills gaps, and what ends an answer.
        loader_workers: Processes that prepare batches beside the training.
    """

    kind: Literal["setup"] = "setup"
    model: str = ""
    parameters: int | None = None
    trained_parameters: int | None = None
    context_tokens: int | None = None
    device: str = "cpu"
    gpu: str | None = None
    gpus: int = 0
    cpu_cores: int | None = None
    memory_limit_gib: float | None = None
    bfloat16: bool | None = None
    driver: str | None = None
    cuda: str | None = None
    template_hash: str | None = None
    pad_token_id: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    loader_workers: int | None = None


class DataSeen(Event):
    """What the rows look like to the trainer: told once, before the first step. Shares are 0..1.

    Attributes:
        overlap_rows: Held-out rows whose input is also trained on.
        conflicting_rows: Training rows whose very input stands there with another answer too.
        answer_in_input_share: Rows whose input already holds its own label, and no other.
        predictable: Accuracy of counting words (TF-IDF), out of fold, on the training labels.
        doubtful_share: Rows whose label that simple model contradicts with confidence.
        majority_share: Rows with the most frequent label.
        unseen_words_share: Words of held-out inputs that no training input has; beside it the
            same for training rows held out at random, as a yardstick.
        eval_majority_share, eval_predictable: As above, of the held-out rows.
        trained_token_share: Tokens that count in the loss, of those after a row's first.
        prompts_trained_share, answers_trained_share: Of the tokens of questions, and of answers,
            those that count in the loss; 0 and 1 where only answers are to be learned.
        tokens_longest: Of the longest row, before rows were cut to the limit.
        truncated_share: Rows that were longer than the limit.
        answers_cut_share: Rows that lost a part of their answer.
        stop_trained_share: Rows whose answer ends with a token that stops the model.
        padding_share: Padding in the batches as they are formed.
        tokenize_s: Seconds it took to turn rows into tokens.
    """

    kind: Literal["data"] = "data"
    rows: int | None = None
    eval_rows: int | None = None
    overlap_rows: int | None = None
    conflicting_rows: int | None = None
    answer_in_input_share: float | None = None
    predictable: float | None = None
    eval_predictable: float | None = None
    doubtful_share: float | None = None
    majority_share: float | None = None
    label_counts: dict[str, int] = Field(default_factory=dict)
    eval_label_counts: dict[str, int] = Field(default_factory=dict)
    unseen_words_share: float | None = None
    expected_unseen_words_share: float | None = None
    tokens_p50: float | None = None
    tokens_p95: float | None = None
    tokens_longest: int | None = None
    eval_tokens_p50: float | None = None
    trained_token_share: float | None = None
    prompts_trained_share: float | None = None
    answers_trained_share: float | None = None
    truncated_share: float | None = None
    answers_cut_share: float | None = None
    stop_trained_share: float | None = None
    padding_share: float | None = None
    tokenize_s: float | None = None


class StepMetrics(Event):
    """Measured at a training step. Memory is this process's resident size (or GPU allocation).

    Attributes:
        not_finite: Names of the quantities that were not a number, and stand as null.
        eval_s: Seconds that this evaluation took.
        step_s: Seconds per optimiser step since the last such event.
        padding_share: Padding among the tokens of the batches since then.
        data_wait_share: Share of that time spent waiting for the next batch.
        memory_reserved_gib: What the allocator holds, used or not.
        memory_limit_gib: What there is.
        gpu_utilization: 0..1.
        cpu_utilization: 0..1, this process on all cores since the last such event.
        host_memory_gib: This process's resident size beside the GPU.
    """

    kind: Literal["metrics"] = "metrics"
    step: int
    epoch: float
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens_per_s: float | None = None
    memory_gib: float | None = None
    not_finite: tuple[str, ...] = ()
    eval_accuracy: float | None = None
    eval_s: float | None = None
    step_s: float | None = None
    padding_share: float | None = None
    data_wait_share: float | None = None
    memory_reserved_gib: float | None = None
    memory_limit_gib: float | None = None
    gpu_utilization: float | None = None
    cpu_utilization: float | None = None
    host_memory_gib: float | None = None


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
    """One generation, for the eye. Prompt and answer are untrusted text.

    Attributes:
        step: Training step it was made after; 0 or null before training.
        stopped: It ended by itself, not by reaching its longest length.
    """

    kind: Literal["sample"] = "sample"
    prompt: str
    answer: str
    stopped: bool
    step: int | None = None
    tokens: int | None = None


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


class Timed(Event):
    """Where the time of the run went, in seconds; told at its end."""

    kind: Literal["timing"] = "timing"
    load_s: float | None = None
    tokenize_s: float | None = None
    train_s: float | None = None
    data_wait_s: float | None = None
    eval_s: float | None = None
    save_s: float | None = None


class Judged(Event):
    """The tuned model on held-out rows against its base; told at the end.

    Attributes:
        excluded: Held-out rows left out because they were trained on.
        predictions, expected: How often each label was said, and should have been.
        answers_stopped_share: Generated answers that ended by themselves.
        general_loss, base_general_loss: Loss per token on general text that has nothing to do
            with the task: what tuning made the model forget; `general_loss_rise` where only
            their difference is known.
        adapter_effect: Largest difference of logits between tuned model and base, relative to
            their spread; 0 means that tuning has no effect.
        template_hash: Of the chat template that the rows were judged with.
    """

    kind: Literal["judged"] = "judged"
    n: int | None = None
    excluded: int | None = None
    accuracy: float | None = None
    base_accuracy: float | None = None
    macro_f1: float | None = None
    majority_share: float | None = None
    tfidf_accuracy: float | None = None
    eval_loss: float | None = None
    base_eval_loss: float | None = None
    predictions: dict[str, int] = Field(default_factory=dict)
    expected: dict[str, int] = Field(default_factory=dict)
    answers_stopped_share: float | None = None
    general_loss: float | None = None
    base_general_loss: float | None = None
    general_loss_rise: float | None = None
    adapter_effect: float | None = None
    template_hash: str | None = None


class TrialChanged(Event):
    """A trial of a search started or ended.

    Attributes:
        state: `running`, `finished`, `stopped early`, `failed` or `out of time`.
        value: Its lowest validation loss so far.
        values: What was varied → the value it has.
    """

    kind: Literal["trial"] = "trial"
    number: int
    job: str
    state: str
    value: float | None = None
    values: dict[str, Any] = Field(default_factory=dict)


AnyEvent = (
    StateChanged
    | PhaseStarted
    | Progress
    | RunSetup
    | DataSeen
    | StepMetrics
    | AttemptChanged
    | GatePassed
    | CheckpointSaved
    | SampleGenerated
    | Warned
    | Failed
    | Timed
    | Judged
    | TrialChanged
)
EVENT: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="kind")])
"""Reads and checks an event from its JSON-like form."""
