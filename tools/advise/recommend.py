"""Ranked, feasible plans with a source for every choice: a pure function of the situation.

First feasibility (memory, compatibility, licence, deploy target), then ranking by cited evidence
and by this person's own past runs. Memory is judged by the high end of the estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from tools.advise import defaults
from tools.advise.arrange import Arrangement, Impossible, arrange, chosen_length
from tools.advise.candidates import licence_problem, model_problem, suggested, target_problem
from tools.advise.duration import Run, estimate_duration
from tools.advise.evidence import ENGINE_SOURCE, ENGINE_WORDS, METHODS, PEFT_COMPARISON
from tools.advise.figures import MemoryEstimate, Range, Reason, Verdict
from tools.advise.hardware import Gpu, Machine
from tools.advise.matrix import Scenario, scenarios_for
from tools.advise.models import ModelInfo
from tools.advise.situation import PastRun, Situation

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


@dataclass(frozen=True)
class RankedPlan:
    """One feasible way, complete enough to run."""

    model: ModelInfo
    method: str
    engine: str
    spec: dict[str, Any]
    memory: MemoryEstimate
    available_gib: float
    duration: Range
    why: tuple[Reason, ...]
    score: float
    would_change: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Whether it fits comfortably."""
        return self.memory.verdict(self.available_gib)


@dataclass(frozen=True)
class Rejected:
    """What was looked at and not proposed, with the reason."""

    what: str
    reason: str
    source: str


@dataclass
class Recommendation:
    """Plans in order, what was rejected, the matrix rows cited, and plain notes."""

    plans: list[RankedPlan] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    matrix: list[Scenario] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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
    for method in METHODS:
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
    shown = [p for p in ranked if METHODS[p.method].accuracy >= 0.45 or p.method == wished]
    if plans:
        rejected += [_runner_up(plan) for plan in ranked if plan not in shown]
    result.rejected += rejected if (plans or situation.model) else rejected[:1]
    return shown


def _one(situation: Situation, model: ModelInfo, method: str) -> RankedPlan | Rejected:
    facts = METHODS[method]
    if not facts.merges and situation.target.partition("-")[0] in {"onnx", "gguf"}:
        reason = f"cannot be merged into the weights, which {situation.target} needs"
        return Rejected(method, reason, "compatibility table")
    if situation.target == "hosted" and method != "lora":
        return Rejected(method, "hosted services train with their own LoRA", "compatibility table")
    found = arrange(situation, model, method)
    if isinstance(found, Impossible):
        return Rejected(method, found.reason, "memory estimate")
    spec = _spec(situation, model, method, found)
    duration = _duration(situation, model, method, found, spec)
    score, why = _score(situation, model, method, found, duration)
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
        would_change=tuple(_would_change(situation, method, found)),
    )


def _spec(
    situation: Situation, model: ModelInfo, method: str, found: Arrangement
) -> dict[str, Any]:
    """Return every setting of the run; a wish stands as it was made."""
    rows, work, wish = situation.data.rows, found.work, situation.preferences
    kind = "lora" if method in {"rslora", "adalora"} else method
    rate = defaults.learning_rate(kind, model)[0]
    if method in {"ia3", "prompt_tuning", "prefix_tuning"}:
        rate = 5e-3
    advised = model.recommended
    spec: dict[str, Any] = {
        "base_model": model.name,
        "method": method,
        "engine": work.engine,
        "offload": work.offload,
        "objective": "answers only" if situation.data.kind != "text" else "all tokens",
        "learning_rate": wish.get("learning_rate") or advised.get("learning_rate") or rate,
        "lr_scheduler": "cosine",
        "warmup_ratio": 0.05,
        "weight_decay": defaults.weight_decay(method, rows, model)[0],
        "optimizer": "adamw",
        "batch_size": work.batch,
        "gradient_accumulation": found.accumulation,
        "effective_batch": work.batch * found.accumulation * work.gpus,
        "max_length": chosen_length(situation, model),
        "epochs": wish.get("epochs") or advised.get("epochs") or defaults.epochs(rows, model)[0],
        "max_steps": wish.get("max_steps"),
        "early_stopping_patience": None if rows < 50 else 3,
        "precision": work.precision,
        "quantization": "nf4-dq" if METHODS[method].quantised else None,
        "gradient_checkpointing": work.checkpointing,
    }
    if METHODS[method].adapter and METHODS[method].merges and method != "ia3":
        spec |= {
            "rank": work.rank,
            "alpha": wish.get("alpha") or (work.rank if method == "rslora" else 2 * work.rank),
            "dropout": defaults.dropout(rows, model)[0],
            "target_modules": "all-linear",
            "use_rslora": method == "rslora",
        }
    return spec


def _duration(
    situation: Situation, model: ModelInfo, method: str, found: Arrangement, spec: dict[str, Any]
) -> Range:
    data, work = situation.data, found.work
    rows = math.ceil(0.85 * data.rows)
    per_step = spec["effective_batch"]
    steps = spec["max_steps"] or math.ceil(spec["epochs"] * math.ceil(rows / per_step))
    width = min(spec["max_length"], 1.2 * data.mean_tokens)
    run = Run(
        shape=model.shape,
        method=method,
        tokens=steps * per_step * width / work.gpus,
        micro_steps=steps * found.accumulation,
        eval_tokens=6 * 0.15 * data.rows * width / work.gpus,
        checkpointing=work.checkpointing,
        device=work.device,
    )
    return estimate_duration(run, situation.machine, correction=situation.time_factor)


def _score(
    situation: Situation, model: ModelInfo, method: str, found: Arrangement, duration: Range
) -> tuple[float, list[Reason]]:
    """Points on the scale of the method comparison's accuracy, each with its reason."""
    facts = METHODS[method]
    score = facts.accuracy - 0.02 * (facts.time - 1.0)
    why = [Reason(method, f"trains {facts.trains}", facts.source)]
    if found.memory.verdict(found.available_gib) == "tight":
        score -= 0.04
        why.append(Reason("memory", "it fits, but tightly", "memory estimate"))
    else:
        high = f"at most {found.memory.high_gib:.1f} of {found.available_gib:.1f} GiB"
        why.append(Reason("memory", f"fits: {high}", "memory estimate"))
    if method == "full":
        much = situation.data.rows >= 50_000
        language = situation.data.kind in {"text", "raw_text", "language_modeling"}
        score += 0.03 * much + 0.02 * (much and language)
        if not much:
            score -= 0.02
            why.append(Reason("full", "with few rows every weight overfits", defaults.PRACTICE))
    if method == "rslora" and situation.data.rows < 50_000:
        score -= 0.02
        why.append(Reason("rslora", "a high rank is not needed for so few rows", PEFT_COMPARISON))
    if situation.minutes and duration.expected > 60 * situation.minutes:
        score -= 0.1
        longer = f"expected to take longer than the {situation.minutes:g} minutes there are"
        why.append(Reason("time", longer, duration.basis))
    score += _own_history(situation, method, why)
    why.append(_engine_reason(situation, found))
    return score, why


def _own_history(situation: Situation, method: str, why: list[Reason]) -> float:
    """The person's own runs on this kind of task: from five runs on they decide."""
    same = [r for r in situation.history if r.method == method and r.task == situation.data.kind]
    if not same:
        return 0.0
    good = [run for run in same if run.verdict in {"ship", "promising"}]
    weight = min(1.0, len(same) / 5)
    share = len(good) / len(same)
    reason = f"{len(good)} of your {len(same)} past runs like this were worth it"
    why.append(Reason(method, reason, _jobs(same)))
    return 0.2 * weight * (share - 0.5)


def _jobs(runs: list[PastRun]) -> str:
    return "your runs: " + ", ".join(run.job for run in runs[:3])


def _engine_reason(situation: Situation, found: Arrangement) -> Reason:
    engine = found.work.engine
    count = len(situation.machine.gpus)
    if engine == "single":
        reason = "there is one device" if count < 2 else "one card is enough"
    elif engine == "ddp":
        reason = f"each of the {count} cards holds the whole model; least communication"
    else:
        reason = f"{ENGINE_WORDS[engine]}; a whole copy would not fit on one card"
    if found.work.offload:
        reason += "; the state lies in the machine's memory"
    return Reason(engine, reason, ENGINE_SOURCE)


def _would_change(situation: Situation, method: str, found: Arrangement) -> list[str]:
    texts = []
    if method == "qlora":
        need = arrange(replace(situation, preferences={}), _model_of(situation, found), "lora")
        if isinstance(need, Impossible) and need.need_gib:
            texts.append(f"With {need.need_gib:.0f} GiB or more, plain LoRA would be the choice.")
    if method == "lora" and situation.data.rows < 50_000:
        texts.append("With 50,000 rows and more, and room for it, full fine-tuning is worth a try.")
    if found.work.checkpointing:
        texts.append(
            "With more memory, gradient checkpointing could be left off: about 25 % faster."
        )
    return texts


def _model_of(situation: Situation, found: Arrangement) -> ModelInfo:
    model = situation.model or suggested(situation)[0]
    return replace(model, shape=found.work.shape, parameters=found.work.shape.parameters)


def _runner_up(plan: RankedPlan) -> Rejected:
    facts = METHODS[plan.method]
    reason = f"fits, but reached .{round(1000 * facts.accuracy):03d} against LoRA's .478"
    return Rejected(plan.method, reason, facts.source)


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
    column = METHODS[plan.method].matrix
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


__all__ = ["RankedPlan", "Recommendation", "Rejected", "recommend", "target_problem"]
