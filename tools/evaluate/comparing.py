"""Runs side by side: where their plans differ, how they were judged, and what that says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from tools.context import Context
from tools.datasets.quarantine import disarm
from tools.errors import BadInput
from tools.history.jobs import JobRecord
from tools.history.spec import TrainingSpec
from tools.jobs.find import find_job
from tools.reports import Report

_NOT_A_SETTING = frozenset({"kind", "schema_version", "path", "goal", "may_change", "cures"})
_MORE_IS_BETTER = (
    "accuracy", "macro_f1", "entity_f1", "token_f1", "exact_match", "sentence_chrf", "chrf", "bleu",
    "rougeL", "preference_win_rate", "preference_margin", "reward",
)  # fmt: skip
_LESS_IS_BETTER = ("eval_loss", "perplexity")
_SHOWN = 12


class Compared(BaseModel):
    """One run in a comparison.

    Attributes:
        metrics: Its figures on its own held-out rows.
        minutes, memory_gib: What it took; None where it was not measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    state: str
    data: str
    metrics: dict[str, float]
    verdict: str | None = None
    minutes: float | None = None
    memory_gib: float | None = None


class ComparisonReport(Report):
    """Several runs side by side.

    Attributes:
        differences: Setting → its value in each run, in the order of `runs`.
        same_rows: Whether all were judged on the same held-out rows.
        better: The run that is better beyond what chance explains, or None.
        measure: What `better` was judged by.
        conclusion: What can be said, and what cannot.
    """

    runs: tuple[Compared, ...]
    differences: dict[str, tuple[Any, ...]]
    same_rows: bool
    better: str | None = None
    measure: str | None = None
    conclusion: str

    def text(self) -> str:
        """Return what differs, the figures, and the conclusion."""
        lines = [f"{' and '.join(disarm(run.job) for run in self.runs)} side by side:"]
        for name, values in list(self.differences.items())[:_SHOWN]:
            shown = " / ".join(disarm(_plain(value))[:60] for value in values)
            lines.append(f"  {name.replace('_', ' ')}: {shown}")
        if not self.differences:
            lines.append("  their settings are the same")
        names = dict.fromkeys(name for run in self.runs for name in run.metrics)
        for name in names:
            shown = " / ".join(_plain(run.metrics.get(name)) for run in self.runs)
            lines.append(f"  {name.replace('_', ' ')}: {shown}")
        for name, unit in (("minutes", "min"), ("memory_gib", "GiB")):
            taken = [getattr(run, name) for run in self.runs]
            if any(value is not None for value in taken):
                lines.append(f"  {name}: {' / '.join(_plain(v) for v in taken)} {unit}")
        return "\n".join([*lines, self.conclusion])


def compare(ctx: Context, names: Sequence[str]) -> ComparisonReport:
    """Lay training runs side by side.

    Raises:
        BadInput: Fewer than two runs are named, or one is no training.
        NotFound: A name means no run.
    """
    records = list({r.id: r for r in (find_job(ctx, name) for name in names)}.values())
    if len(records) < 2:
        raise BadInput(
            "A comparison needs two different runs.", hint="Name two: `luthier compare 7 6`."
        )
    for record in records:
        if not isinstance(record.spec, TrainingSpec):
            raise BadInput(
                f"{record.id} is no single training run.",
                hint="Compare training runs; `luthier jobs` lists them.",
            )
    same = len({record.training.dataset_fingerprint for record in records}) == 1
    better, measure, conclusion = _conclude(records, same)
    return ComparisonReport(
        runs=tuple(_row(record) for record in records),
        differences=_differences(records),
        same_rows=same,
        better=better,
        measure=measure,
        conclusion=conclusion,
    )


def _row(record: JobRecord) -> Compared:
    figures = {
        name: float(record.metrics[name])
        for name in (*_MORE_IS_BETTER, *_LESS_IS_BETTER)
        if isinstance(record.metrics.get(name), int | float)
    }
    seconds = record.measured.get("duration_s")
    return Compared(
        job=record.id,
        state=record.state,
        data=record.training.path,
        metrics=figures,
        verdict=record.metrics.get("verdict"),
        minutes=round(seconds / 60, 1) if seconds else None,
        memory_gib=record.measured.get("memory_gib"),
    )


def _differences(records: Sequence[JobRecord]) -> dict[str, tuple[Any, ...]]:
    specs = [record.training.model_dump(mode="json") for record in records]
    return {
        name: tuple(spec[name] for spec in specs)
        for name in specs[0]
        if name not in _NOT_A_SETTING and any(spec[name] != specs[0][name] for spec in specs)
    }


Conclusion = tuple[str | None, str | None, str]


def _conclude(records: Sequence[JobRecord], same: bool) -> Conclusion:
    """Return the better run, what it was judged by, and what can be said."""
    judge = f"`luthier evaluate {records[0].id} --against {records[1].id}`"
    unjudged = [r.id for r in records if r.state != "succeeded" or not r.metrics]
    if unjudged:
        return None, None, f"{', '.join(unjudged)} has no judgement, so none can be called better."
    if not same:
        said = "They were judged on different rows, so their figures cannot be laid against each "
        return None, None, f"{said}other. {judge} judges both on the same rows."
    for name in _MORE_IS_BETTER:
        if all(isinstance(r.metrics.get(f"{name}_low"), int | float) for r in records):
            return _by_interval(records, name, judge)
    for name in _LESS_IS_BETTER:
        if all(isinstance(r.metrics.get(name), int | float) for r in records):
            first = min(records, key=lambda r: float(r.metrics[name]))
            said = f"{first.id} has the lower {name.replace('_', ' ')}; whether that is more than"
            return None, name, f"{said} chance, {judge} tells."
    return None, None, "They share no measure, so none can be called better."


def _by_interval(records: Sequence[JobRecord], name: str, judge: str) -> Conclusion:
    """Call one better only where the interval of its figure lies above that of the next."""
    first, second = sorted(records, key=lambda r: -float(r.metrics[name]))[:2]
    words = name.replace("_", " ")
    if first.metrics[f"{name}_low"] > second.metrics[f"{name}_high"]:
        said = f"{first.id} is better: the interval of its {words} lies above that of {second.id}."
        return first.id, name, said
    said = f"By {words} they cannot be told apart on these rows: the intervals overlap."
    return None, name, f"{said} {judge} compares them row by row."


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, int | float) else str(value)
