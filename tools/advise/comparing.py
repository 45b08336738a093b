"""What sets ranked plans apart: why one is not first, and what would change the answer."""

from __future__ import annotations

from dataclasses import replace

from tools.advise.arrange import Arrangement, Impossible, arrange
from tools.advise.evidence import facts_of_method
from tools.advise.models import ModelInfo
from tools.advise.ranked import RankedPlan
from tools.advise.situation import Situation


def would_change(
    situation: Situation, model: ModelInfo, method: str, found: Arrangement
) -> list[str]:
    """Say what would make another plan the first choice."""
    texts = []
    wished = situation.preferences.get("method")
    if wished == method:
        texts.append(f"You asked for {method}; left open, the ranking alone would decide.")
    if method == "qlora":
        need = arrange(replace(situation, preferences={}), model, "lora")
        if isinstance(need, Impossible) and need.need_gib:
            texts.append(f"With {need.need_gib:.0f} GiB or more, plain LoRA would be the choice.")
        else:
            texts.append("With more memory to spare, plain LoRA would be faster.")
    if method in {"lora", "dora"} and situation.data.rows < 50_000:
        texts.append("With 50,000 rows and more, and room for it, full fine-tuning is worth a try.")
    if method in {"rslora", "full"} and situation.data.rows >= 50_000:
        texts.append("With fewer than 50,000 rows, plain LoRA would be the choice.")
    if found.work.engine in {"zero2", "zero3", "fsdp"}:
        texts.append("With cards that hold the whole model, plain copies (ddp) would be faster.")
    if found.work.checkpointing:
        texts.append(
            "With more memory, gradient checkpointing could be left off: about 25 % faster."
        )
    if found.work.optimizer == "adamw_8bit":
        texts.append("With more memory, AdamW would keep its state in full precision.")
    return texts or ["Another task, or a model that you name, would change the plan."]


def why_not(plan: RankedPlan, first: RankedPlan) -> str:
    """Say in one sentence why a plan does not come first."""
    own, best = facts_of_method(plan.method), facts_of_method(first.method)
    parts = []
    if plan.duration.expected > 1.05 * first.duration.expected:
        ratio = plan.duration.expected / first.duration.expected
        parts.append(f"takes {ratio:.1f} times as long")
    if plan.memory.high_gib > 1.03 * first.memory.high_gib:
        parts.append(
            f"needs up to {plan.memory.high_gib:.1f} GiB against {first.memory.high_gib:.1f}"
        )
    if plan.verdict == "tight" and first.verdict == "fits":
        parts.append("fits only tightly")
    if own.reached and best.reached and (own.accuracy or 0) < (best.accuracy or 0):
        parts.append(f"reached {own.reached} against {best.reached} in the published comparison")
    reasons = "; ".join(parts) or "is weighed lower by the reasons above"
    return f"{plan.method} {reasons}."
