"""From a wish to a stored plan that waits for consent."""

from __future__ import annotations

import math
from typing import Any

from tools.advise.figures import Range
from tools.advise.plan import Plan, PlanRequest, compile_plan
from tools.context import Context
from tools.history.approvals import Approval
from tools.history.spec import TrainingSpec, plan_hash
from tools.jobs.reports import PlanReport
from tools.jobs.words import clock

ACTION = "start_training"


def ask_to_start(ctx: Context, request: PlanRequest) -> PlanReport:
    """Compile a plan, store it, and let it wait. The same tool call stores only one.

    Raises:
        ToolError: The data or the model is not usable, or no such run fits.
    """
    plan = compile_plan(ctx, request)
    approval = ctx.store.approvals.request(
        ACTION,
        subject=_subject(plan),
        plan=plan.spec.model_dump(mode="json"),
        card=_card(plan),
        predicted=_predicted(plan),
        thread_id=ctx.thread_id,
        call_id=ctx.call_id,
        key=plan_hash(plan.spec),
    )
    return _report(approval, plan)


def job_name(spec: TrainingSpec) -> str:
    """Return the words that a training job's id is made of."""
    return f"{spec.dataset.partition('@')[0].replace('_', '-')[:28]} {spec.method}"


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


def _card(plan: Plan) -> dict[str, str]:
    spec, memory, splits = plan.spec, plan.memory, plan.manifest.splits
    held_out = sum(count for name, count in splits.items() if name != "train")
    size = f"rank {spec.rank}, alpha {spec.alpha}" if spec.method != "full" else "every weight"
    accumulation = spec.gradient_accumulation
    times = f" × {accumulation}" if accumulation > 1 else ""
    length = f"{spec.max_steps} steps" if spec.max_steps else f"{spec.epochs:g} epochs"
    card = {
        "base": f"{plan.model.name}, {plan.model.size} parameters, {plan.model.licence}",
        "data": f"{plan.manifest.id}: {splits['train']:,} rows to train, {held_out:,} held out",
        "method": f"{spec.method}, {size}",
        "training": (
            f"{length}, learning rate {spec.learning_rate:g}, batch {spec.batch_size}{times}, "
            f"up to {spec.max_length} tokens"
        ),
        "memory": (
            f"{memory.expected_gib:.2f} ({memory.low_gib:.2f}–{memory.high_gib:.2f}) GiB "
            f"of {plan.available_gib:.1f}: {plan.verdict}"
        ),
        "time": (
            f"{clock(plan.duration.expected)} "
            f"({clock(plan.duration.low)}–{clock(plan.duration.high)})"
        ),
        "disk": f"{plan.disk_gib:.2f} GiB",
    }
    if spec.max_minutes:
        card["budget"] = f"stops after {spec.max_minutes:g} minutes with its best state"
    if spec.may_change:
        words = ", ".join(name.replace("_", " ") for name in spec.may_change)
        card["may change"] = f"{words}, only if memory runs out"
    return card


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
