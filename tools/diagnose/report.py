"""What a diagnosis says: ranked causes, each with its evidence and a cure."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from tools.datasets.quarantine import disarm, untrusted_block
from tools.reports import Report

Code = Literal[
    "overfitting",
    "underfitting",
    "lr_too_high",
    "lr_too_low",
    "divergence",
    "nan_loss",
    "zero_loss",
    "constant_loss",
    "empty_mask",
    "wrong_mask",
    "untrained_stop",
    "template_mismatch",
    "pad_eos_confusion",
    "truncation",
    "label_noise",
    "leakage",
    "class_collapse",
    "forgetting",
    "eval_shift",
    "oom_gpu",
    "oom_ram",
    "oom_eval",
    "oom_checkpoint",
    "memory_growth",
    "fragmentation",
    "padding_waste",
    "loader_bound",
    "tokenizer_bound",
    "no_mixed_precision",
    "eval_dominates",
    "tiny_batch",
    "disk_full",
    "bad_checkpoint",
    "adapter_not_applied",
    "merge_loss",
    "quantisation_loss",
    "gated_model",
    "driver_mismatch",
]
CODES: tuple[Code, ...] = get_args(Code)
SICK_FROM = 0.5
"""A run is called sick from this confidence on; weaker suspicions are not causes."""
SURE_FROM = 0.6
"""Below it a cause is said as a guess: words alone never reach it."""


class Evidence(BaseModel):
    """One observation that speaks for a cause.

    Attributes:
        text: A sentence of our own, with the figures in it.
        numbers: The figures by name.
        steps: Training steps it was seen at.
        quote: What a log or a person said, word for word: untrusted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    numbers: dict[str, float] = Field(default_factory=dict)
    steps: tuple[int, ...] = ()
    quote: str = ""


class Cure(BaseModel):
    """What to change, as a difference to the plan.

    Attributes:
        changes: Field of the plan → [old, new]; empty where the cure lies outside the plan.
        predicted: The effect to expect.
        why: Why these changes, in the order they matter.
        capability: What `arguments` are for.
        arguments: A complete set of arguments that starts the cured run; empty where the job's
            own data and model are not known here.
        todo: What a person does where no argument can.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    changes: dict[str, tuple[Any, Any]] = Field(default_factory=dict)
    predicted: str
    why: str
    capability: str = "start_training"
    arguments: dict[str, Any] = Field(default_factory=dict)
    todo: str = ""

    def sentence(self) -> str:
        """Return the cure in one sentence."""
        parts = [
            f"{name} {_shown(old)} → {_shown(new)}" for name, (old, new) in self.changes.items()
        ]
        diff = ", ".join(parts)
        if diff and self.todo:
            return f"Change {diff}; and {self.todo[0].lower()}{self.todo[1:]}"
        return f"Change {diff}." if diff else self.todo


class Cause(BaseModel):
    """One named cause."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Code
    title: str
    confidence: float = Field(ge=0, le=1)
    evidence: tuple[Evidence, ...]
    cure: Cure


class Series(BaseModel):
    """The curves for a small plot: `[step, value]` pairs, thinned to what an eye can tell apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    loss: tuple[tuple[int, float], ...] = ()
    eval_loss: tuple[tuple[int, float], ...] = ()
    memory_gib: tuple[tuple[int, float], ...] = ()
    tokens_per_s: tuple[tuple[int, float], ...] = ()
    marks: tuple[int, ...] = ()


class Comparison(BaseModel):
    """A cured run beside the sick one it was started for.

    Attributes:
        worked: True, False, or None where nothing can be compared.
        before, after: The figure that the cure was meant to improve.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sick_job: str
    worked: bool | None
    measure: str = ""
    before: float | None = None
    after: float | None = None
    text: str


class DiagnosisReport(Report):
    """What is wrong with a run, or that nothing is, or that it cannot be told.

    Attributes:
        subject: What was looked at, such as a job's id.
        healthy: True, False, or None where the evidence does not suffice.
        causes: Most likely first; empty where none is backed by evidence.
        asks: What would help to tell, when the evidence does not suffice.
        usual_cures: What usually helps, in order, for a complaint whose cause is not seen.
        looked_at: What evidence there was, such as `60 training losses`.
        ended_with: The last error of a run whose cause is not seen: untrusted text.
    """

    subject: str
    job: str | None = None
    state: str | None = None
    healthy: bool | None
    causes: tuple[Cause, ...] = ()
    asks: tuple[str, ...] = ()
    usual_cures: tuple[str, ...] = ()
    looked_at: tuple[str, ...] = ()
    ended_with: str = ""
    series: Series = Field(default_factory=Series)
    comparison: Comparison | None = None

    def text(self) -> str:
        """Return the finding, its figures, the cure in one sentence, and what to do next."""
        lines = [self._headline()]
        for number, cause in enumerate(self.causes[:3], 1):
            lines += ["", f"{number}. {cause.title} ({cause.confidence:.0%} sure)"]
            for item in cause.evidence[:4]:
                lines.append(f"   {item.text}")
                if item.quote:
                    lines.append(untrusted_block("from the log", [item.quote], max_chars=300))
            lines.append(f"   Cure: {disarm(cause.cure.sentence())} {cause.cure.predicted}")
        if self.ended_with:
            lines += [
                "It ended with:",
                untrusted_block("its error", [self.ended_with], max_chars=300),
            ]
        if self.comparison:
            lines += ["", self.comparison.text]
        if self.looked_at:
            lines += ["", f"Looked at: {', '.join(self.looked_at)}."]
        lines += [f"To tell more: {ask}" for ask in self.asks]
        if self.usual_cures:
            lines += ["", "What usually helps, in this order:"]
            lines += [f"{n}. {cure}" for n, cure in enumerate(self.usual_cures, 1)]
        return "\n".join([*lines, self._next()]).strip()

    def _headline(self) -> str:
        subject = disarm(self.subject)
        if self.causes:
            first = self.causes[0]
            perhaps = "perhaps " if first.confidence < SURE_FROM else ""
            return f"{subject}: {perhaps}{first.title[0].lower()}{first.title[1:]}."
        if self.healthy:
            return f"{subject} looks healthy: nothing in its evidence speaks for a fault."
        subject = subject.replace("This run", "this run")
        return f"The evidence on {subject} does not suffice to name a cause."

    def _next(self) -> str:
        if self.causes and self.causes[0].cure.arguments:
            return "Next: start the cure; it waits for consent like any run."
        if self.causes:
            return "Next: do what the first cure says, then run it again."
        if self.healthy:
            return ""
        asked = "give what is asked above" if self.asks else "read its log to the end"
        return f"Next: {asked}."


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value).replace("_", " ")
