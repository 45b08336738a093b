"""What `evaluate_model` returns."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tools.datasets.quarantine import disarm, untrusted_block
from tools.evaluate.ballot import Tally
from tools.evaluate.figures import Difference, Estimate, LabelScore
from tools.evaluate.judgement import Judgement, RowSample, Samples, SliceResult
from tools.reports import Report

_SHOWN_LABELS = 12


class EvaluationReport(Report):
    """A judgement, or the job that is making one.

    Attributes:
        job: The job to wait for: the evaluation's own, or the training run's where it was judged
            at its end.
        of_job: The training run that is judged.
        metrics: Model (`base`, `tuned`, `tfidf`, `majority`) → measure → value, low, high.
        difference: Tuned minus base in the primary measure, with interval and p.
    """

    job: str
    of_job: str
    state: str
    message: str = ""
    path: str | None = None
    split: str | None = None
    task: str | None = None
    n: int | None = None
    excluded: int = 0
    near_duplicates: int = 0
    primary: str | None = None
    metrics: dict[str, dict[str, Estimate]] = Field(default_factory=dict)
    baseline: str = "base"
    difference: Difference | None = None
    differences: tuple[Difference, ...] = ()
    slices: tuple[SliceResult, ...] = ()
    labels: tuple[LabelScore, ...] = ()
    confusion_labels: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    forgetting: Difference | None = None
    base_reused: bool = False
    samples: Samples = Samples()
    notes: tuple[str, ...] = ()
    votes: Tally | None = None
    verdict: str | None = None
    verdict_text: str | None = None

    def text(self) -> str:
        """Return the verdict, the figures, and what changed most."""
        if self.verdict is None:
            return self.message
        lines = [f"{self.of_job}: {self.verdict}. {self.verdict_text}", ""]
        lines += _figures(self.metrics)
        if self.difference:
            d = self.difference
            lines.append(
                f"difference in {_name(d.metric)} {d.value:+.3f} "
                f"({d.low:+.3f} to {d.high:+.3f}, p = {d.p:.3g})"
            )
        # The table of labels below says more than slices by label.
        lines += [_slice(part) for part in self.slices if part.column != "label"]
        if self.labels:
            lines += ["", "label: rows, precision, recall, F1 of the tuned model"]
            lines += [
                f"  {disarm(s.label)[:40]}: {s.n}, {s.precision:.2f}, {s.recall:.2f}, {s.f1:.2f}"
                for s in self.labels[:_SHOWN_LABELS]
            ]
        lines += [f"Note: {disarm(note)}" for note in self.notes]
        for title, rows in (
            ("best gains", self.samples.gains),
            ("worst regressions", self.samples.regressions),
        ):
            if rows:
                lines += ["", untrusted_block(title, [_sample(row) for row in rows])]
        return "\n".join(lines)


def from_judgement(
    judgement: Judgement,
    *,
    job: str,
    of_job: str,
    state: str = "succeeded",
    votes: Tally | None = None,
) -> EvaluationReport:
    """Return the report of a finished judgement."""
    shared = set(EvaluationReport.model_fields) & set(Judgement.model_fields)
    values: dict[str, Any] = {name: getattr(judgement, name) for name in shared}
    return EvaluationReport(job=job, of_job=of_job, state=state, votes=votes, **values)


def _figures(metrics: dict[str, dict[str, Estimate]]) -> list[str]:
    lines = []
    names = list(dict.fromkeys(name for of in metrics.values() for name in of))
    for name in names:
        parts = [f"{m} {_value(of[name])}" for m, of in metrics.items() if name in of]
        lines.append(f"{_name(name)}: {', '.join(parts)}")
    return lines


def _value(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _slice(part: SliceResult) -> str:
    where = f"{disarm(part.column)[:40]} = {disarm(part.value)[:40]}"
    simple = f", tfidf {part.tfidf.value:.3f}" if part.tfidf else ""
    return f"{where} ({part.n} rows): base {_value(part.base)}, tuned {_value(part.tuned)}{simple}"


def _sample(row: RowSample) -> str:
    return f"{row.prompt} | expected: {row.expected} | base: {row.base} | tuned: {row.tuned}"


def _name(metric: str) -> str:
    return metric.replace("_", " ")
