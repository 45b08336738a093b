"""Ranked, feasible plans with a source for every choice: a pure function of the situation.

First feasibility (memory, compatibility, licence, deploy target), then ranking by cited evidence
and by this person's own past runs. Memory is judged by the high end of the estimate.
"""

from __future__ import annotations

import math
from dataclasses import replace

from tools.advise.arrange import Arrangement, Impossible, arrange
from tools.advise.candidates import licence_problem, model_problem, suggested
from tools.advise.evidence import facts_of_method, method_facts
from tools.advise.figures import Reason
from tools.advise.hardware import Gpu, Machine
from tools.advise.matrix import Scenario, scenarios_for
from tools.advise.models import ModelInfo
from tools.advise.ranked import RankedPlan, Recommendation, Rejected
from tools.advise.situation import Situation
from tools.advise.weighing import duration_of, settings_of, weigh, would_change

_MOST_SECONDS = 24 * 3600.0
"""A run expected to take longer than this is not proposed for a model left open."""
_GOAL_METHODS = {
    "full": ("full fine", "full-fine", "every weight", "all weights", "full parameter"),
    "dora": ("dora",), "qlora": ("qlora", "4-bit", "4 bit"), "ia3": ("ia3",),
    "rslora": ("rslora", "rank-stabili", "rank stabili"), "adalora": ("adalora",),
    "prompt_tuning": ("prompt tuning", "soft prompt"), "prefix_tuning": ("prefix tuning",),
}  # fmt: skip


_SERVICE = Machine(
    name="the hosted service", cpu="", cores=8, memory_gib=512, free_memory_gib=512,
    disk_free_gib=None, gpus=(Gpu("a card of the service (assumed)", 78.0, 78.0, (9, 0)),),
)  # fmt: skip


def recommend(situation: Situation) -> Recommendation:
    """Return ranked plans for a situation. Pure: reads nothing but its argument and the tables."""
    result = Recommendation()
    if situation.target == "hosted":
        situation = replace(situation, machine=_SERVICE)
    wished = _wished_method(situation)
    models = _models(situation, wished, result)
    fallback: list[RankedPlan] = []
    for model in models:
        plans = _plans_for(situation, model, wished, result)
        if plans and (situation.model or plans[0].verdict == "fits"):
            result.plans = plans
            break
        fallback = fallback or plans
    result.plans = result.plans or fallback
    result.plans.sort(key=lambda plan: -plan.score)
    short = any(r.what == "lora" and "memory" in r.reason for r in result.rejected)
    result.matrix = scenarios_for(
        situation.goal, situation.data.kind,
        gpus=len(situation.machine.gpus),
        memory_is_short=short or bool(result.plans and result.plans[0].method == "qlora"),
    )  # fmt: skip
    result.plans = [_cited(plan, result.matrix) for plan in result.plans]
    result.notes += list(situation.machine.notes)
    if result.plans and result.plans[0].duration.expected > 2 * _MOST_SECONDS:
        days = result.plans[0].duration.expected / _MOST_SECONDS
        result.notes.append(
            f"This would take about {days:.0f} days here; a graphics card or a smaller model would "
            "make it hours."
        )
    if situation.target == "hosted" and result.plans:
        result.notes.append(
            "The service trains on its own machines; figures are for a card of 80 GB."
        )
    if not result.plans:
        result.notes.insert(0, _nothing_fits(situation, models))
    return result


def _wished_method(situation: Situation) -> str | None:
    wished = situation.preferences.get("method")
    if wished:
        return str(wished)
    goal = situation.goal.lower()
    named = [m for m, words in _GOAL_METHODS.items() if any(word in goal for word in words)]
    return named[0] if len(named) == 1 else None


def _models(situation: Situation, wished: str | None, result: Recommendation) -> list[ModelInfo]:
    """Return the models to try, best first; what the needs rule out is told."""
    if situation.model is None:
        return suggested(situation)
    model = situation.model
    problem = model_problem(model, situation)
    if problem is None:
        return [model]
    source = "licence" if licence_problem(model, situation.licence) else "compatibility table"
    result.rejected.append(Rejected(model.name, problem, source))
    near = [m for m in suggested(situation) if m.billions <= 1.5 * model.billions + 0.5]
    others = near or suggested(situation)
    if others:
        nearest = min(others, key=lambda m: abs(math.log(m.parameters / model.parameters)))
        what = "licence" if source == "licence" else situation.target
        result.notes.append(
            f"{model.name} is out: {problem}. The nearest that meets {what} is {nearest.name}."
        )
        return [nearest, *others]
    return []


def _plans_for(
    situation: Situation, model: ModelInfo, wished: str | None, result: Recommendation
) -> list[RankedPlan]:
    """Return the plans for one model, best first; what was rejected goes into the result."""
    plans, rejected = [], []
    for method, facts in method_facts().items():
        if not facts.proposed and method != wished:
            continue
        found = _one(situation, model, method)
        if isinstance(found, RankedPlan):
            plans.append(found)
        else:
            rejected.append(found)
    if wished and plans:
        asked = [plan for plan in plans if plan.method == wished]
        if asked:
            plans = [replace(p, score=p.score + (1 if p.method == wished else 0)) for p in plans]
        else:
            result.notes.append(_wish_not_possible(wished, model, rejected))
    slow = situation.model is None and plans and plans[0].duration.expected > _MOST_SECONDS
    if slow:
        result.rejected.append(
            Rejected(model.name, "would take more than a day here", plans[0].duration.basis)
        )
        return []
    ranked = sorted(plans, key=lambda plan: -plan.score)
    rejected += _not_proposed(wished) if plans else []
    result.rejected += rejected if (plans or situation.model) else rejected[:1]
    return ranked


def _one(situation: Situation, model: ModelInfo, method: str) -> RankedPlan | Rejected:
    facts = facts_of_method(method)
    if not facts.merges and situation.target.partition("-")[0] in {"onnx", "gguf"}:
        reason = f"cannot be merged into the weights, which {situation.target} needs"
        return Rejected(method, reason, "compatibility table")
    if situation.target == "hosted" and method != "lora":
        return Rejected(method, "hosted services train with their own LoRA", "compatibility table")
    found = arrange(situation, model, method)
    if isinstance(found, Impossible):
        return Rejected(method, found.reason, "memory estimate")
    spec = settings_of(situation, model, method, found)
    duration = duration_of(situation, model, method, found, spec)
    score, why = weigh(situation, model, method, found, duration)
    return RankedPlan(
        model=model,
        method=method,
        engine=found.work.engine,
        spec=spec,
        memory=found.memory,
        available_gib=found.available_gib,
        duration=duration,
        why=tuple(why),
        score=score,
        would_change=tuple(would_change(situation, method, found)),
    )


def _not_proposed(wished: str | None) -> list[Rejected]:
    """Say of the methods that are not everyday ones how they did, and that they can be had."""
    compared, unknown = [], []
    for name, facts in method_facts().items():
        if facts.proposed or name == wished:
            continue
        if facts.accuracy is None:
            unknown.append(name)
            continue
        reached = f"reached .{round(1000 * facts.accuracy):03d} against LoRA's .478"
        better = facts.accuracy > 0.478
        reason = f"{reached}, but few tools load it; ask for it by name" if better else reached
        compared.append(Rejected(name, reason, facts.source))
    if unknown:
        reason = "no published comparison is known here; ask for one by name"
        compared.append(Rejected(", ".join(unknown), reason, "data/evidence.toml"))
    return compared


def _wish_not_possible(wished: str, model: ModelInfo, rejected: list[Rejected]) -> str:
    for item in rejected:
        if item.what == wished:
            return f"{wished} was asked for, but with {model.name} it {item.reason}."
    return f"{wished} was asked for, but Luthier does not know this method."


def _nothing_fits(situation: Situation, models: list[ModelInfo]) -> str:
    if situation.model is not None and models:
        for other in sorted(suggested(replace(situation, model=None)), key=lambda m: -m.parameters):
            if other.parameters < situation.model.parameters:
                found = arrange(situation, other, "qlora")
                if isinstance(found, Arrangement):
                    return (
                        f"No way to tune {situation.model.name} fits on {situation.machine.name}. "
                        f"The largest listed model that does is {other.name} ({other.size})."
                    )
    return (
        "Nothing in the catalogue meets all these needs; loosen the licence, the target or the "
        "memory, or use the starter model."
    )


def _cited(plan: RankedPlan, rows: list[Scenario]) -> RankedPlan:
    """Add what the matrix says of this plan, both revisions where they differ."""
    column = facts_of_method(plan.method).matrix
    reasons = []
    for row in rows[:3]:
        cell = row.cells[column]
        text = f"the matrix says {cell.revised} for “{row.title.lower()}”"
        if cell.changed:
            text += f" in the revised edition ({cell.original} in the original)"
        if plan.method == "full":
            text = "the matrix compares adapters and engines; it has no column for full tuning"
        reasons.append(Reason(plan.method, text, row.cite([column])))
    return replace(plan, why=(*plan.why, *reasons))
