"""Ranked, feasible plans with a source for every choice: a pure function of the situation.

First feasibility (memory, compatibility, licence, deploy target), then ranking by cited evidence
and by this person's own past runs. Memory is judged by the high end of the estimate.
"""

from __future__ import annotations

import math
from dataclasses import replace

from tools.advise.arrange import Arrangement, Impossible, arrange
from tools.advise.candidates import licence_problem, model_problem, reads_too_little, suggested
from tools.advise.clashing import clashes_of
from tools.advise.comparing import why_not, would_change
from tools.advise.evidence import facts_of_method, method_facts
from tools.advise.figures import Reason
from tools.advise.hardware import Gpu, Machine
from tools.advise.matrix import Scenario, scenarios_for
from tools.advise.measured import against_matrix
from tools.advise.models import ModelInfo, catalogue, from_catalogue
from tools.advise.notes import notes_on
from tools.advise.ranked import RankedPlan, Recommendation, Rejected
from tools.advise.settled import settle
from tools.advise.situation import Situation
from tools.advise.wanted import understood, unwished
from tools.advise.weighing import duration_of, weigh

_MOST_SECONDS = 24 * 3600.0
"""A run expected to take longer is not proposed for a model left open; thrice on several cards."""
_TIGHT_SHARE, _LATE_SHARE = 0.3, 0.2
"""How much smaller a model may be than one that fits only tightly, or that takes too long."""
_SERVICE = Machine(
    name="the hosted service", cpu="", cores=8, memory_gib=512, free_memory_gib=512,
    disk_free_gib=None, gpus=(Gpu("a card of the service (assumed)", 78.0, 78.0, (9, 0)),),
)  # fmt: skip


def recommend(situation: Situation) -> Recommendation:
    """Return ranked plans for a situation. Pure: reads nothing but its argument and the tables."""
    result = Recommendation()
    if situation.target == "hosted":
        situation = replace(situation, machine=_SERVICE)
    situation = understood(situation, result)
    models = _models(situation, result)
    result.plans = _first_choice(situation, models, result)
    if not result.plans:
        result.notes.insert(0, _nothing_fits(situation, models, result))
    short = any("lora" in r.what and "GiB even at" in r.reason for r in result.rejected)
    result.matrix = scenarios_for(
        situation.goal, situation.data.kind,
        gpus=len(situation.machine.gpus), aims=situation.aims,
        memory_is_short=short or bool(result.plans and result.plans[0].method == "qlora"),
    )  # fmt: skip
    result.plans = [_cited(plan, result.matrix, situation) for plan in result.plans]
    result.plans = [
        plan if plan is result.plans[0] else replace(plan, why_not=why_not(plan, result.plans[0]))
        for plan in result.plans
    ]
    result.nearest = [_cited(plan, result.matrix, situation) for plan in result.nearest]
    result.notes += [*situation.machine.notes, *notes_on(situation, result)]
    return result


def _models(situation: Situation, result: Recommendation) -> list[ModelInfo]:
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


def _first_choice(
    situation: Situation, models: list[ModelInfo], result: Recommendation
) -> list[RankedPlan]:
    """Return the plans of the best model that has any.

    The first that reads whole rows, is done in time and leaves room is taken at once; where none
    does all of that, whole rows count most, then time, then room. For time and room alone no model
    is taken that is much smaller than the one that would do.
    """
    best: list[RankedPlan] = []
    least = (True, True, True)
    for model in models:
        plans = _plans_for(situation, model, result)
        if not plans:
            continue
        minutes = situation.minutes or math.inf
        lacks = (
            reads_too_little(model, situation),
            plans[0].duration.expected > 60 * minutes,
            plans[0].verdict != "fits",
        )
        if not best or (lacks < least and _may_replace(model, best[0].model, lacks, least)):
            best, least = plans, lacks
        if situation.model in models or not any(lacks):
            break
    return best


def _may_replace(
    model: ModelInfo, other: ModelInfo, lacks: tuple[bool, ...], least: tuple[bool, ...]
) -> bool:
    share = model.parameters / other.parameters
    if lacks[0] != least[0]:
        return True
    return share >= (_LATE_SHARE if lacks[1] != least[1] else _TIGHT_SHARE)


def _plans_for(situation: Situation, model: ModelInfo, result: Recommendation) -> list[RankedPlan]:
    """Return the plans for one model, best first; what was rejected goes into the result."""
    wished = situation.preferences.get("method")
    tried = {run.method for run in situation.history if run.task == situation.data.kind}
    light = {"ia3"} if "few_params" in situation.aims else set()
    without = unwished(situation.goal)
    plans, rejected = [], []
    for method, facts in method_facts().items():
        if not facts.proposed and method not in {wished, *tried, *light}:
            continue
        if method in without:
            if method == wished:
                result.notes.append(f"{method} was asked for and refused at once: it is left out.")
            rejected.append(Rejected(method, "you asked to do without it", "your goal"))
            continue
        found = _one(situation, model, method)
        if isinstance(found, Rejected) and method == wished:
            result.notes.append(f"{method} was asked for, but with {model.name} it {found.reason}.")
        if isinstance(found, Rejected) and _clashed(found) and "engine" in situation.preferences:
            rejected.append(found)
            found = _one(_without_engine(situation), model, method)
        if isinstance(found, RankedPlan):
            plans.append(replace(found, score=found.score + 1) if method == wished else found)
        else:
            rejected.append(found)
    plans.sort(key=lambda plan: -plan.score)
    if situation.model is None and plans:
        most = _MOST_SECONDS * (3 if len(situation.machine.gpus) > 1 else 1)
        reason = f"would take more than {most / _MOST_SECONDS:g} × 24 hours here"
        slow = [plan for plan in plans if plan.duration.expected > most]
        rejected += [Rejected(plan.method, reason, plan.duration.basis) for plan in slow]
        plans = [plan for plan in plans if plan not in slow]
        if wished in {plan.method for plan in slow}:
            result.notes.append(f"{wished} was asked for, but with {model.name} it {reason}.")
    rejected += _not_proposed({wished, *tried, *light}) if plans else []
    if plans or model == situation.model:
        result.rejected += rejected
    elif rejected:
        first = rejected[-1] if _clashed(rejected[0]) else rejected[0]
        reason = f"with {first.what} it {first.reason}"
        result.rejected.append(Rejected(model.name, reason, first.source))
    return plans


def _clashed(found: Rejected) -> bool:
    return found.source.startswith("compatibility table: ")


def _without_engine(situation: Situation) -> Situation:
    kept = {name: value for name, value in situation.preferences.items() if name != "engine"}
    return replace(situation, preferences=kept)


def _one(situation: Situation, model: ModelInfo, method: str) -> RankedPlan | Rejected:
    facts = facts_of_method(method)
    if not facts.merges and situation.target.partition("-")[0] in {"onnx", "gguf"}:
        reason = f"cannot be merged into the weights, which {situation.target} needs"
        return Rejected(method, reason, "compatibility table")
    if situation.target == "hosted" and method != "lora":
        reason = "is not what a hosted service does: it trains with its own LoRA"
        return Rejected(method, reason, "compatibility table")
    found = arrange(situation, model, method)
    if isinstance(found, Impossible):
        return Rejected(method, found.reason, found.source)
    spec, settings = settle(situation, model, method, found)
    duration = duration_of(situation, model, method, found, spec)
    score, why = weigh(situation, model, method, found, duration)
    why += [
        Reason(
            "risk", f"{clash.reason}; safer: {clash.instead}", f"{clash.source} ({clash.versions})"
        )
        for clash in clashes_of(found.work, target=situation.target)
        if clash.level == "warn"
    ]
    return RankedPlan(
        model=model,
        method=method,
        engine=found.work.engine,
        spec=spec,
        memory=found.memory,
        available_gib=found.available_gib,
        duration=duration,
        why=(*why, *settings),
        score=score,
        would_change=tuple(would_change(situation, model, method, found)),
    )


def _not_proposed(tried: set[object]) -> list[Rejected]:
    """Say of the methods that are not everyday ones how they did, and that they can be had."""
    compared, unknown = [], []
    for name, facts in method_facts().items():
        if facts.proposed or name in tried:
            continue
        if facts.accuracy is None:
            unknown.append(name)
            continue
        reached = f"reached {facts.reached} against LoRA's .478"
        better = facts.accuracy > 0.478
        reason = f"{reached}, but few tools load it; ask for it by name" if better else reached
        compared.append(Rejected(name, reason, facts.source))
    if unknown:
        reason = "no published comparison is known here; ask for one by name"
        compared.append(Rejected(", ".join(unknown), reason, "data/evidence.toml"))
    return compared


def _nothing_fits(situation: Situation, models: list[ModelInfo], result: Recommendation) -> str:
    """Say that nothing does, and plan the nearest that would: the largest model that fits."""
    clash = next((r for r in result.rejected if "what works: " in r.reason), None)
    if situation.model is None and clash:
        return f"Nothing goes together here. What works: {clash.reason.partition('works: ')[2]}."
    if not models:
        reason = f"none meets both the licence {situation.licence or 'any'} and the target "
        reason += situation.target
        result.rejected.append(Rejected("every listed model", reason, "data/models.toml"))
    if situation.model is None or not models:
        return (
            "Nothing in the catalogue meets all these needs; loosen the licence, the target or the "
            "memory, or use the starter model."
        )
    named = situation.model
    others = [from_catalogue(entry) for entry in catalogue()]
    others = [
        m
        for m in others
        if m.parameters < named.parameters
        and m.has_chat_template >= named.has_chat_template
        and model_problem(m, situation) is None
        and not reads_too_little(m, situation)
    ]
    said = f"No way to tune {named.name} fits on {situation.machine.name}."
    for other in sorted(others, key=lambda m: -m.parameters):
        tried = (arrange(situation, other, method) for method in ("qlora", "lora"))
        if any(isinstance(found, Arrangement) for found in tried):
            plans = _plans_for(replace(situation, model=other), other, Recommendation())
            result.nearest = plans[:1]
            return f"{said} The largest listed model that does is {other.name} ({other.size})."
    return f"{said} No listed model does either; it takes more memory, or shorter rows."


def _cited(plan: RankedPlan, rows: list[Scenario], situation: Situation) -> RankedPlan:
    """Add what the matrix says of this plan, in both revisions, and what own runs say of that."""
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
        own = against_matrix(situation.measured, row.id, plan.method, cell.revised)
        reasons += [own] if own else []
    if any(row.id == "multi-gpu" for row in rows) and plan.engine not in {"single", "ddp"}:
        row = next(row for row in rows if row.id == "multi-gpu")
        column = "zero" if plan.engine.startswith("zero") else "deepspeed"
        text = f"the matrix says {row.cells[column]} for “{row.title.lower()}”: the engine's part"
        reasons.append(Reason(plan.engine, text, row.cite([column])))
    return replace(plan, why=(*plan.why, *reasons))
