"""What a recommendation is made from: the data, the goal, the machine and the wishes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools.advise.aims import Aim, aims_of
from tools.advise.hardware import Machine
from tools.advise.lengths import PIECE_TOKENS
from tools.advise.measured import MeasuredRun
from tools.advise.models import ModelInfo
from tools.context import Context
from tools.datasets.report import DatasetReport
from tools.errors import BadInput
from tools.history.spec import TrainingSpec

_KINDS = (
    ("token_classification", ("token_class", "tagging", "bio_tag")),
    ("ner", ("ner", "named_entit", "entit")),
    ("qa", ("question_answer", "extractive_q")),
    ("ner", ("extract",)),
    ("preference", ("preference", "dpo", "orpo", "rlhf", "chosen", "pairwise", "ranking")),
    ("kto", ("kto", "thumbs", "binary_feedback", "unpaired")),
    ("classification", ("classif", "sentiment", "intent", "label", "moderation")),
    ("summarization", ("summar",)),
    ("translation", ("translat",)),
    ("qa", ("qa", "question", "faq")),
    ("chat", ("chat", "convers", "dialog", "sharegpt", "messages", "instruct", "alpaca")),
    ("text", ("text", "language_model", "pretrain", "pre_train", "corpus", "completion_only")),
)
"""Kinds of task, and what their names contain; the first that fits counts."""
_KNOWN = frozenset({kind for kind, _ in _KINDS} | {"prompt_completion", "tool_calls"})
_DECIDES = frozenset({"preference", "kto", "token_classification"})
"""Formats that say by themselves how they are trained, whatever the task is called."""
_PLAIN_TEXT = frozenset({"text", "raw_text", "language_modeling"})
_STEP = 32


def kind_of(name: str) -> str:
    """Return the kind of task that a name speaks of, such as `text-classification`."""
    plain = re.sub(r"[^a-z]+", "_", name.lower()).strip("_")
    for kind, signs in _KINDS:
        if any(plain == sign or f"_{plain}_".find(f"_{sign}") >= 0 for sign in signs):
            return kind
    return plain


class DataFacts(BaseModel):
    """What matters of a dataset; `--described` takes these by name and looks at nothing else."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: str = "unknown"
    task: str = ""
    rows: int = Field(ge=1, le=10**12)
    p95_tokens: int = Field(default=256, ge=1, le=10_000_000)
    p50_tokens: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    labels: int | list[str | int] | dict[str, int] | None = None
    language: str | None = None

    @property
    def kind(self) -> str:
        """The task, or what the format says of it; verdicts and tags are trained as they are."""
        held = kind_of(self.format)
        return held if held in _DECIDES else kind_of(self.task or self.format)

    @property
    def known(self) -> bool:
        """Whether the task or the format is one of those that Luthier prepares."""
        return self.kind in _KNOWN

    @property
    def row_tokens(self) -> int:
        """Tokens to cut rows at so that ordinary ones are whole; a multiple of 32.

        Plain texts are not cut: the trainer parts them into pieces of this length.
        """
        longest = self.max_tokens or int(1.25 * self.p95_tokens)
        if longest > max(512, 2 * self.p95_tokens):
            longest = self.p95_tokens
        longest = min(longest, PIECE_TOKENS) if self.splits else longest
        return -(-max(16, longest) // _STEP) * _STEP

    @property
    def splits(self) -> bool:
        """Whether long rows are parted into pieces, so that nothing of them is lost."""
        return self.kind in _PLAIN_TEXT

    @property
    def mean_tokens(self) -> float:
        """Tokens of an ordinary row."""
        return float(self.p50_tokens or 0.6 * self.p95_tokens)

    @property
    def label_count(self) -> int:
        """Number of labels; 0 where the answers are free text."""
        return self.labels or 0 if isinstance(self.labels, int | None) else len(self.labels)


@dataclass(frozen=True)
class PastRun:
    """One finished run of this person: what it was and what it gained over its base."""

    job: str
    method: str
    task: str
    verdict: str
    gain: float


@dataclass(frozen=True)
class Situation:
    """Everything the recommender looks at.

    Attributes:
        model: The base model the person named; None leaves it open.
        own_machine: The machine is this one, not a described one.
        budget: The most that may be spent on a machine with a price; None means no limit.
        history, measured: This person's finished runs: what they gained, what they needed.
        time_factor: What this machine's past runs took, relative to the arithmetic.
        preferences: Wishes by name, such as `method`, `engine`, `max_length`, `batch_size`.
    """

    data: DataFacts
    machine: Machine
    goal: str = ""
    model: ModelInfo | None = None
    target: str = "hf"
    licence: str = ""
    own_machine: bool = True
    offline: bool = False
    minutes: float | None = None
    preferences: dict[str, Any] = field(default_factory=dict)
    history: tuple[PastRun, ...] = ()
    measured: tuple[MeasuredRun, ...] = ()
    time_factor: float = 1.0

    @property
    def aims(self) -> frozenset[Aim]:
        """What the goal asks for beside the task, such as little memory."""
        return aims_of(self.goal)


def read_described(text: str | dict[str, Any]) -> DataFacts:
    """Read the JSON object that describes a dataset.

    Raises:
        BadInput: It is not an object, or a field is unknown, missing or out of range.
    """
    try:
        values = json.loads(text) if isinstance(text, str) else text
        if not isinstance(values, dict):
            raise ValueError("it is not a JSON object")
        return DataFacts.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadInput(
            f"The description of the data is not usable: {problems}.",
            hint=f"It takes: {', '.join(DataFacts.model_fields)}; `rows` is needed.",
        ) from error
    except ValueError as error:
        raise BadInput(
            f"The description of the data is not usable: {error}.",
            hint='Write it like {"format": "classification", "rows": 900, "p95_tokens": 120}.',
        ) from error


def facts_of(report: DatasetReport) -> DataFacts:
    """Return the facts of an inspected dataset."""
    lengths = report.token_lengths
    return DataFacts(
        format=report.format,
        task=report.task,
        rows=max(1, report.usable_rows or report.rows),
        p95_tokens=max(1, lengths.p95) if lengths else 256,
        p50_tokens=max(1, lengths.p50) if lengths else None,
        max_tokens=max(1, lengths.max) if lengths else None,
        labels=len(report.label_counts) or None,
    )


def past_runs(ctx: Context, limit: int = 30) -> tuple[PastRun, ...]:
    """Return this person's latest finished training runs that carry a verdict."""
    if not ctx.settings.database.exists():
        return ()
    runs = []
    for job in ctx.store.jobs.find(kinds=["train"], states=["succeeded"], limit=limit):
        spec, metrics = job.spec, job.metrics
        if not isinstance(spec, TrainingSpec) or "verdict" not in metrics:
            continue
        tuned, base = metrics.get("accuracy"), metrics.get("base_accuracy")
        gain = float(tuned) - float(base) if tuned is not None and base is not None else 0.0
        kind = kind_of(spec.task)
        runs.append(PastRun(job.id, spec.method, kind, str(metrics["verdict"]), gain))
    return tuple(runs)


_ALIKE = (
    "model", "dataset", "batch_size", "gradient_accumulation", "max_length", "max_steps", "epochs",
    "gradient_checkpointing", "optimizer", "precision", "batching", "device", "engine",
)  # fmt: skip


def measured_runs(ctx: Context, limit: int = 60) -> tuple[MeasuredRun, ...]:
    """Return what this person's latest finished training runs were measured to need."""
    if not ctx.settings.database.exists():
        return ()
    runs = []
    for job in ctx.store.jobs.find(kinds=["train"], states=["succeeded"], limit=limit):
        spec, found = job.spec, job.measured
        if isinstance(spec, TrainingSpec):
            alike = tuple(getattr(spec, name) for name in _ALIKE)
            peak, seconds = found.get("memory_gib"), found.get("duration_s")
            runs.append(MeasuredRun(job.id, spec.method, alike, peak, seconds))
    return tuple(runs)
