"""One feasible plan in full: its settings, its time, its points and the reasons for them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from tools.advise import defaults
from tools.advise.arrange import Arrangement, Impossible, arrange, chosen_length
from tools.advise.candidates import suggested
from tools.advise.duration import Run, estimate_duration
from tools.advise.evidence import ENGINE_SOURCE, ENGINE_WORDS, PEFT_COMPARISON, facts_of_method
from tools.advise.figures import Range, Reason
from tools.advise.models import ModelInfo
from tools.advise.situation import PastRun, Situation


def settings_of(
    situation: Situation, model: ModelInfo, method: str, found: Arrangement
) -> dict[str, Any]:
    """Return every setting of the run; a wish stands as it was made."""
    rows, work, wish = situation.data.rows, found.work, situation.preferences
    facts = facts_of_method(method)
    rate = defaults.learning_rate(method, model)[0]
    advised = model.recommended
    if facts.rate != 1.0:
        advised = {name: value for name, value in advised.items() if name != "learning_rate"}
    spec: dict[str, Any] = {
        "base_model": model.name,
        "method": method,
        "engine": work.engine,
        "offload": work.offload,
        "objective": work.objective,
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
        "quantization": work.quantized if work.quantized != "none" else None,
        "gradient_checkpointing": work.checkpointing,
    }
    if facts.takes_rank:
        spec |= {
            "rank": work.rank,
            "alpha": wish.get("alpha") or defaults.alpha(method, work.rank),
            "dropout": defaults.dropout(rows, model)[0],
            "target_modules": "all-linear",
            "use_rslora": method == "rslora",
        }
    return spec


def duration_of(
    situation: Situation, model: ModelInfo, method: str, found: Arrangement, spec: dict[str, Any]
) -> Range:
    """Return seconds from start to verdict; 15 % of the rows are held out."""
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
    if found.work.offload != "none":
        reason += "; the state lies in the machine's memory"
    return Reason(engine, reason, ENGINE_SOURCE)


def would_change(situation: Situation, method: str, found: Arrangement) -> list[str]:
    """Say what would make another method the first choice."""
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
