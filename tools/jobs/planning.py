"""From a wish to a stored plan that waits for consent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tools.advise.figures import Range
from tools.advise.plan import Plan
from tools.context import Context
from tools.errors import BadInput
from tools.history.approvals import Approval
from tools.history.spec import AdaptersSpec, SearchSpec, StartedSpec, plan_hash
from tools.jobs.adapters import plan_adapters
from tools.jobs.cards import plan_card
from tools.jobs.compiling import SEARCH, compile_run, plan_search
from tools.jobs.reports import PlanReport
from tools.jobs.standby import get_ready

ACTION = "start_training"


def ask_to_start(ctx: Context, wishes: Mapping[str, Any]) -> PlanReport:
    """Compile a plan, store it, and let it wait. The same tool call stores only one.

    Args:
        wishes: Arguments of `start_training` by name; None or empty means: choose.

    Raises:
        ToolError: The data or the model is not usable, or no such run fits.
    """
    given = {name: value for name, value in wishes.items() if value not in (None, ())}
    search = {name: given.pop(name) for name in SEARCH if name in given}
    others = given.pop("adapters", ())
    if search and others:
        raise BadInput(
            "A search and several adapters cannot be one job.",
            hint="Search on one data set first, then train the adapters with what it found.",
        )
    if others:
        return _store(ctx, *plan_adapters(ctx, given, others))
    if search:
        return _store(ctx, *plan_search(ctx, given, search))
    plan = compile_run(ctx, given)
    return _store(ctx, plan, plan.spec, _subject(plan), plan_card(plan))


def job_name(spec: StartedSpec) -> str:
    """Return the words that the id of a training, a search or several adapters is made of."""
    if isinstance(spec, AdaptersSpec):
        return f"{' '.join(named.name for named in spec.runs)[:28]} adapters"
    run = spec.base if isinstance(spec, SearchSpec) else spec
    what = "search" if isinstance(spec, SearchSpec) else run.method
    return f"{run.dataset.partition('@')[0].replace('_', '-')[:28]} {what}"


def _store(
    ctx: Context,
    plan: Plan,
    spec: StartedSpec,
    subject: str,
    card: dict[str, str],
) -> PlanReport:
    approval = ctx.store.approvals.request(
        ACTION,
        subject=subject,
        plan=spec.model_dump(mode="json"),
        card=card,
        predicted=_predicted(plan),
        thread_id=ctx.thread_id,
        call_id=ctx.call_id,
        key=plan_hash(spec),
    )
    if approval.state == "waiting":
        get_ready(ctx, spec, plan.memory.expected_gib)
    return _report(approval, plan)


def _report(approval: Approval, plan: Plan) -> PlanReport:
    return PlanReport(
        state=approval.state,
        action=ACTION,
        approval_id=approval.id,
        plan_hash=approval.plan_hash,
        subject=approval.subject,
        plan=approval.plan,
        estimate={
            "memory_gib": plan.memory.as_dict() | {"basis": plan.memory.basis},
            "duration_s": _range(plan.duration),
            "disk_gib": round(plan.disk_gib, 3),
            "available_gib": round(plan.available_gib, 2),
            "verdict": plan.verdict,
        },
        card=approval.card,
        why=tuple({"choice": r.choice, "reason": r.reason, "source": r.source} for r in plan.why),
        warnings=tuple(plan.warnings),
    )


def _subject(plan: Plan) -> str:
    spec, splits = plan.spec, plan.manifest.splits
    return (
        f"Tune {plan.model.name} with {spec.method} on {splits['train']:,} rows of "
        f"{plan.manifest.id.partition('@')[0]}."
    )


def _predicted(plan: Plan) -> dict[str, Any]:
    return {
        "memory_gib": round(plan.memory.expected_gib, 3),
        "memory_gib_low": round(plan.memory.low_gib, 3),
        "memory_gib_high": round(plan.memory.high_gib, 3),
        "duration_s": round(plan.duration.expected, 1),
        "duration_s_low": round(plan.duration.low, 1),
        "duration_s_high": round(plan.duration.high, 1),
        "disk_gib": round(plan.disk_gib, 3),
    }


def _range(value: Range) -> dict[str, Any]:
    def rounded(number: float) -> float | None:
        return round(number, 1) if math.isfinite(number) else None

    return {
        "low": rounded(value.low),
        "expected": rounded(value.expected),
        "high": rounded(value.high),
        "basis": value.basis,
    }
