"""What speaks for one feasible plan: its time, its points and the reasons for them."""

from __future__ import annotations

import math
from typing import Any

from tools.advise import defaults
from tools.advise.arrange import Arrangement
from tools.advise.duration import Run, estimate_duration
from tools.advise.evidence import ENGINE_SOURCE, ENGINE_WORDS, PEFT_COMPARISON, facts_of_method
from tools.advise.figures import Range, Reason
from tools.advise.models import ModelInfo
from tools.advise.situation import PastRun, Situation

_MUCH = 50_000
"""Rows from which full tuning and high ranks are worth a try."""


def duration_of(
    situation: Situation, model: ModelInfo, method: str, found: Arrangement, spec: dict[str, Any]
) -> Range:
    """Return seconds from start to verdict; 15 % of the rows are held out."""
    data, work = situation.data, found.work
    pieces = max(1.0, data.mean_tokens / spec["max_length"]) if data.splits else 1.0
    rows = math.ceil(0.85 * data.rows * pieces)
    per_step = spec["effective_batch"]
    steps = spec["max_steps"] or math.ceil(spec["epochs"] * math.ceil(rows / per_step))
    width = min(spec["max_length"], 1.2 * data.mean_tokens)
    run = Run(
        shape=model.shape,
        method=method,
        tokens=steps * per_step * width / work.gpus,
        micro_steps=steps * found.accumulation,
        eval_tokens=6 * 0.15 * data.rows * pieces * width / work.gpus,
        checkpointing=work.checkpointing,
        device=work.device,
        trained_share=work.trained_share,
        width=width,
    )
    return estimate_duration(run, situation.machine, correction=situation.time_factor)


def weigh(
    situation: Situation, model: ModelInfo, method: str, found: Arrangement, duration: Range
) -> tuple[float, list[Reason]]:
    """Points on the scale of the method comparison's accuracy, each with its reason."""
    facts = facts_of_method(method)
    score = (facts.accuracy or 0.2) - 0.02 * (facts.time - 1.0)
    why = [Reason(method, f"trains {facts.trains}", facts.source)]
    if found.memory.verdict(found.available_gib) == "tight":
        score -= 0.04
        why.append(Reason("memory", "it fits, but tightly", "memory estimate"))
    else:
        high = f"at most {found.memory.high_gib:.1f} of {found.available_gib:.1f} GiB"
        why.append(Reason("memory", f"fits: {high}", "memory estimate"))
    score += _by_rows(situation, method, why)
    score += _by_aims(situation, method, found, why)
    if method == "qlora" and found.work.device == "cpu":
        score -= 0.03
        slow = "on a processor 4-bit products take about two and a half times as long"
        why.append(Reason("qlora", slow, "measured on tiny models here"))
    if found.work.offload != "none":
        score -= 0.05
        slow = "keeps state in the machine's memory: it moves over the bus at every step"
        why.append(Reason("offload", slow, "ZeRO-Offload, arXiv 2101.06840"))
    if situation.minutes and duration.expected > 60 * situation.minutes:
        score -= 0.1
        longer = f"expected to take longer than the {situation.minutes:g} minutes there are"
        why.append(Reason("time", longer, duration.basis))
    score += _own_history(situation, method, why)
    why.append(_engine_reason(situation, found))
    return score, why


def _by_rows(situation: Situation, method: str, why: list[Reason]) -> float:
    """Full tuning and high ranks pay with many rows; fewer than some hundred overfit anything."""
    rows, kind = situation.data.rows, situation.data.kind
    much = rows >= _MUCH
    if method == "full":
        if not much:
            why.append(Reason("full", "with few rows every weight overfits", defaults.PRACTICE))
            return -0.02
        return 0.03 + 0.02 * (kind in {"text", "raw_text", "language_modeling"})
    if method == "rslora" and not much and "quality" not in situation.aims:
        why.append(Reason("rslora", "a high rank is not needed for so few rows", PEFT_COMPARISON))
        return -0.02
    return 0.0


def _by_aims(situation: Situation, method: str, found: Arrangement, why: list[Reason]) -> float:
    """What the goal asks for beside the task moves the ranking by the figures of the plan."""
    aims, points = situation.aims, 0.0
    facts = facts_of_method(method)
    if "memory" in aims:
        points -= 0.04 * math.log2(max(0.25, found.memory.expected_gib))
        need = f"you asked for little memory: about {found.memory.expected_gib:.1f} GiB"
        why.append(Reason("memory", need, "memory estimate"))
    if aims & {"cost", "speed"}:
        points -= 0.08 * (facts.time - 1.0)
        text = f"you asked for little cost: a step takes {facts.time:g} times LoRA's"
        why.append(Reason("cost", text, facts.source))
    if "few_params" in aims:
        trained = max(1, found.work.trained_parameters)
        points -= 0.02 * math.log10(trained)
        share = f"trains {trained:,} parameters, {trained / found.work.shape.parameters:.3%} of all"
        why.append(Reason("parameters", share, "counted from the model's config"))
    if "several" in aims:
        points -= 0.0 if facts.adapter else 0.1
        one = "leaves the base as it is, so adapters for several tasks share and swap on it"
        many = "makes a whole model for every task, where adapters would share one base"
        text = one if facts.adapter else many
        why.append(Reason(method, text, "good practice: method (guide)"))
    if "quality" in aims:
        points += _by_quality(situation, method, why)
    return points


def _by_quality(situation: Situation, method: str, why: list[Reason]) -> float:
    if method == "full":
        why.append(Reason("full", "good practice where quality is all", defaults.PRACTICE))
        return 0.04 if situation.data.rows >= _MUCH else 0.0
    if method != "rslora":
        return 0.0
    text = (
        "good practice is full tuning where quality is all; this departs from it, because the "
        "published comparison saw rank-stabilised rank 64 at .513 above full tuning's .472"
    )
    if situation.data.rows >= _MUCH:
        text = "rank 64 reached .513 in the published comparison, above LoRA's .478"
    why.append(Reason("rslora", text, PEFT_COMPARISON))
    return 0.03


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
    return 0.4 * weight * (share - 0.5)


def _jobs(runs: list[PastRun]) -> str:
    return "your runs: " + ", ".join(run.job for run in runs[:3])


def _engine_reason(situation: Situation, found: Arrangement) -> Reason:
    engine = found.work.engine
    count = len(situation.machine.gpus)
    asked = situation.preferences.get("engine") == engine
    if engine == "single":
        reason = "there is one device" if count < 2 else "one card is enough"
    elif engine == "ddp":
        reason = f"each of the {count} cards holds the whole model; least communication"
    elif asked:
        reason = f"you asked for it; {ENGINE_WORDS[engine]}"
    else:
        reason = f"{ENGINE_WORDS[engine]}; a whole copy would not fit on one card"
    if found.work.offload != "none":
        reason += "; the state lies in the machine's memory"
    return Reason(engine, reason, ENGINE_SOURCE)
