"""What a comparison of base and tuned model found: the document every face shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tools.evaluate.figures import Difference, Estimate, LabelScore, Word


class SliceResult(BaseModel):
    """The primary measure on the rows that share one value of a column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    value: str
    n: int
    base: Estimate
    tuned: Estimate
    tfidf: Estimate | None = None
    difference: Difference


class RowSample(BaseModel):
    """One row whose answer changed. Prompt and answers are untrusted text, already cut.

    Attributes:
        row: Number of the row in its source.
        change: Change of the primary measure on this row; more is better.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: int
    prompt: str
    expected: str
    base: str
    tuned: str
    change: float


class Samples(BaseModel):
    """Where tuning helped most and where it hurt most."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gains: tuple[RowSample, ...] = ()
    regressions: tuple[RowSample, ...] = ()


_PREFIXES = {"tuned": "", "base": "base_", "tfidf": "tfidf_", "word_list": "word_list_"}
_ALWAYS_SLICED = frozenset({"label", "length", "language"})


class Judgement(BaseModel):
    """Base against tuned on the same rows.

    Attributes:
        n: Rows that were judged.
        excluded: Rows left out because the model was trained on them.
        near_duplicates: Rows that nearly repeat one that was trained on; they are judged.
        truncated: Rows whose prompt was cut to fit the model's context.
        primary: The measure that the verdict rests on.
        metrics: Model (`base`, `tuned`, `tfidf`, `majority`) → measure → estimate.
        baseline: What the tuned model is compared with: `base`, or the id of another run.
        confusion: Rows by expected label, columns by the tuned model's, as in `confusion_labels`.
        forgetting: General text, in nats per token; below zero the tuned model lost some of it.
        base_reused: The base's scores come from an earlier evaluation of the same rows.
        chose_checkpoint: The same rows chose which checkpoint was kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    split: str | None
    path: str | None
    n: int
    excluded: int = 0
    near_duplicates: int = 0
    truncated: int = 0
    primary: str
    metrics: dict[str, dict[str, Estimate]]
    baseline: str = "base"
    difference: Difference | None
    differences: tuple[Difference, ...] = ()
    slices: tuple[SliceResult, ...] = ()
    labels: tuple[LabelScore, ...] = ()
    confusion_labels: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    forgetting: Difference | None = None
    base_reused: bool = False
    samples: Samples = Field(default_factory=Samples)
    chose_checkpoint: bool = False
    notes: tuple[str, ...] = ()
    verdict: Word
    verdict_text: str
    seconds: float = 0.0

    def flat(self) -> dict[str, Any]:
        """Return the figures under the names that a job's `metrics` carry."""
        values: dict[str, Any] = {
            "n": self.n,
            "verdict": self.verdict,
            "verdict_text": self.verdict_text,
        }
        for model, prefix in _PREFIXES.items():
            for name, estimate in self.metrics.get(model, {}).items():
                key = prefix + ("eval_loss" if name == "loss" else name)
                values[key] = estimate.value
                if name in ("accuracy", self.primary) and estimate.low is not None:
                    values[f"{key}_low"], values[f"{key}_high"] = estimate.low, estimate.high
        if "majority" in self.metrics:
            values["majority_share"] = self.metrics["majority"]["accuracy"].value
        if self.difference:
            values["difference"] = self.difference.model_dump(mode="json")
        if self.forgetting:
            values["forgetting"] = self.forgetting.model_dump(mode="json")
        values["near_duplicates"] = self.near_duplicates
        values["excluded"] = self.excluded
        values["primary"] = self.primary
        for part in self.slices:
            if part.column in _ALWAYS_SLICED:
                continue
            values.setdefault("slices", {})[part.value] = {
                "n": part.n,
                "base": part.base.value,
                "tuned": part.tuned.value,
                "tfidf": part.tfidf.value if part.tfidf else None,
            }
        for name, rows in (
            ("gains", self.samples.gains),
            ("regressions", self.samples.regressions),
        ):
            values[name] = [row.model_dump(mode="json") for row in rows]
        return values


def worst_and_best(
    samples: Sequence[RowSample], each: int = 3
) -> tuple[tuple[RowSample, ...], tuple[RowSample, ...]]:
    """Return the largest gains and the largest losses, at most `each` of both."""
    ranked = sorted(samples, key=lambda sample: sample.change)
    losses = tuple(s for s in ranked[:each] if s.change < 0)
    gains = tuple(s for s in reversed(ranked[-each:]) if s.change > 0)
    return gains, losses
