"""What the advice capabilities return."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tools.advise.figures import Range, Reason, Verdict
from tools.advise.hardware import Machine
from tools.advise.ranked import RankedPlan, Recommendation
from tools.datasets.quarantine import disarm, shorten
from tools.reports import Report

_NO_DATA = ConfigDict(frozen=True, extra="forbid")


class ReasonShown(BaseModel):
    """A choice, why, and where that comes from."""

    model_config = _NO_DATA

    choice: str
    reason: str
    source: str

    @classmethod
    def of(cls, reason: Reason) -> ReasonShown:
        """Copy a reason."""
        return cls(choice=reason.choice, reason=reason.reason, source=reason.source)


class PlanShown(BaseModel):
    """One ranked plan."""

    model_config = _NO_DATA

    method: str
    engine: str
    base_model: str
    model_size_b: float
    licence: str
    spec: dict[str, Any]
    why: list[ReasonShown]
    estimate: dict[str, Any]
    verdict: Verdict
    available_gib: float
    duration_s: dict[str, float]
    would_change: list[str]
    why_not: str = ""

    @classmethod
    def of(cls, plan: RankedPlan) -> PlanShown:
        """Describe a ranked plan."""
        return cls(
            method=plan.method,
            engine=plan.engine,
            base_model=plan.model.name,
            model_size_b=round(plan.model.billions, 4),
            licence=plan.model.licence,
            spec=plan.spec,
            why=[ReasonShown.of(reason) for reason in plan.why],
            estimate={**plan.memory.as_dict(), "basis": plan.memory.basis},
            verdict=plan.verdict,
            available_gib=math.ceil(100 * plan.available_gib) / 100,
            duration_s=rounded(plan.duration),
            would_change=list(plan.would_change),
            why_not=plan.why_not,
        )

    def line(self) -> str:
        """Return the plan in one line."""
        low, high = self.estimate["low"], self.estimate["high"]
        engine = "" if self.engine == "single" else f" with {self.engine}"
        return (
            f"{self.method}{engine} on {shorten(disarm(self.base_model), 80)}: "
            f"{low:.1f}–{high:.1f} GiB of {self.available_gib:.1f} ({self.verdict}), "
            f"{duration_words(self.duration_s)}"
        )

    def reasons(self) -> list[str]:
        """Return the main settings, the reasons for the choice, and what would change it."""
        spec = self.spec
        rank = f"rank {spec['rank']}, " if "rank" in spec else ""
        epochs = "1 epoch" if spec["epochs"] == 1 else f"{spec['epochs']:g} epochs"
        lines = [
            f"   {rank}learning rate {spec['learning_rate']:g}, {epochs}, "
            f"{spec['effective_batch']} rows a step, up to {spec['max_length']} tokens a row"
        ]
        lines += [f"   - {r.choice}: {r.reason} [{r.source}]" for r in self.why if self._main(r)]
        return lines + [f"   {text}" for text in self.would_change]

    def settings(self) -> list[str]:
        """Return the reason for every single setting."""
        return [f"   - {r.choice}: {r.reason} [{r.source}]" for r in self.why if not self._main(r)]

    def _main(self, reason: ReasonShown) -> bool:
        """Whether a reason is for the choice of the plan, not for one of its settings."""
        about = {
            self.method,
            self.engine,
            "memory",
            "cost",
            "time",
            "parameters",
            "offload",
            "risk",
        }
        return reason.choice in about


class RecommendationReport(Report):
    """Ranked plans, what was rejected, and the matrix rows cited with both revisions.

    Attributes:
        nearest: Where nothing that was asked for fits: the nearest that does, never in `plans`.
    """

    plans: list[PlanShown]
    nearest: list[PlanShown] = Field(default_factory=list)
    rejected: list[dict[str, str]]
    matrix: list[dict[str, Any]]
    notes: list[str]
    hardware: str

    @classmethod
    def of(cls, found: Recommendation, machine: Machine) -> RecommendationReport:
        """Describe a recommendation."""
        return cls(
            plans=[PlanShown.of(plan) for plan in found.plans],
            nearest=[PlanShown.of(plan) for plan in found.nearest],
            rejected=[
                {"what": r.what, "reason": r.reason, "source": r.source} for r in found.rejected
            ],
            matrix=[row.document() for row in found.matrix],
            notes=found.notes,
            hardware=machine.summary(),
        )

    def text(self) -> str:
        """Return the advice in plain words."""
        lines = [f"For {self.hardware}:"]
        if not self.plans:
            lines.append("No plan fits.")
        for plan in self.plans[:1]:
            lines += [f"1. {plan.line()}", *plan.reasons()]
        for number, plan in enumerate(self.plans[1:3], start=2):
            lines += [f"{number}. {plan.line()}", f"   Not first: {plan.why_not}"]
        lines += [f"Nearest that fits: {plan.line()}" for plan in self.nearest]
        lines += [f"Not {r['what']}: {r['reason']} [{r['source']}]" for r in self.rejected[:4]]
        lines += [self._matrix_line(row) for row in self.matrix[:3]]
        lines += self.notes
        if self.plans:
            lines += ["Each setting of the first plan, and why:", *self.plans[0].settings()]
        return "\n".join(lines)

    @staticmethod
    def _matrix_line(row: dict[str, Any]) -> str:
        changed = row["changed"]
        differ = (
            f"; the editions differ on {', '.join(changed)}" if changed else "; both editions agree"
        )
        return f"Matrix row {row['id']} ({row['title'].lower()}){differ}."


class EstimateReport(Report):
    """What a run needs, part by part, with its band."""

    model: str
    method: str
    engine: str
    hardware: str
    memory_gib: dict[str, Any]
    available_gib: float
    verdict: Verdict
    basis: str
    settings: dict[str, Any]
    duration_s: dict[str, float] | None = None
    disk_gib: float | None = None
    cost: dict[str, Any] | None = None
    solution: dict[str, Any] | None = None
    next_step: str = ""
    notes: list[str] = Field(default_factory=list)

    def text(self) -> str:
        """Return the estimate in plain words."""
        m = self.memory_gib
        parts = sorted(m["parts"].items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name} {value:.2f}" for name, value in parts if value >= 0.005)
        lines = [
            f"{self.method} on {shorten(disarm(self.model), 80)}: {m['low']:.2f}–{m['high']:.2f} "
            f"GiB, expected {m['expected']:.2f}; {self.verdict} in {self.available_gib:.1f} GiB "
            f"({self.hardware}).",
            f"By part (GiB): {shown}.",
        ]
        if self.duration_s:
            lines.append(f"Time: {duration_words(self.duration_s)}.")
        if self.disk_gib:
            lines.append(f"Disk: about {self.disk_gib:.2f} GiB.")
        if self.cost:
            lines.append(
                f"Cost: {self.cost['low']:.2f}–{self.cost['high']:.2f} {self.cost['unit']}."
            )
        if self.solution:
            lines.append(str(self.solution["text"]))
        lines.append(f"Basis: {self.basis}.")
        return "\n".join([*lines, *self.notes, *([self.next_step] if self.next_step else [])])


class AccuracyReport(Report):
    """Predicted against measured on this machine."""

    quantities: dict[str, dict[str, Any]]

    def text(self) -> str:
        """Return the ledger in plain words."""
        if not any(q["runs"] for q in self.quantities.values()):
            return "No finished run has been measured here yet; the first one starts the ledger."
        lines = []
        for name, quantity in self.quantities.items():
            if not quantity["runs"]:
                continue
            lines.append(
                f"{name}: {len(quantity['runs'])} runs, mean error "
                f"{quantity['mean_error']:.1%}, next estimates × {quantity['correction']:.2f}"
            )
            lines += [
                f"  {run['job']}: predicted {run['predicted']:.2f}, measured {run['measured']:.2f}"
                for run in quantity["runs"][-5:]
            ]
        return "\n".join(lines)


def rounded(duration: Range) -> dict[str, Any]:
    """Return a duration in whole seconds with its basis."""
    return {
        "low": round(duration.low),
        "expected": round(duration.expected),
        "high": round(duration.high),
    }


def duration_words(seconds: dict[str, Any]) -> str:
    """Return a duration as people say it, such as `about 4 minutes (2 to 9)`."""
    expected = seconds["expected"]
    for unit, size in (("hours", 3600), ("minutes", 60), ("seconds", 1)):
        if expected >= 1.5 * size or size == 1:
            low, middle, high = (seconds[k] / size for k in ("low", "expected", "high"))
            digits = 1 if size == 3600 and middle < 10 else 0
            return f"about {middle:.{digits}f} {unit} ({low:.{digits}f} to {high:.{digits}f})"
    return "a moment"
