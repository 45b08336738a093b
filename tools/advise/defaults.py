"""Good settings by method and model size, each with the reason and the source that is cited."""

from __future__ import annotations

import math

from tools.advise.evidence import PEFT_COMPARISON, facts_of_method
from tools.advise.figures import Reason
from tools.advise.models import ModelInfo

PRACTICE = "good practice (guide: good-practice)"
QLORA_PAPER = "QLoRA, arXiv 2305.14314, §B.2"
LORA_PAPER = "LoRA, arXiv 2106.09685, §7"
GENTLE_PAPER = "DPO, arXiv 2305.18290, appendix B: 1e-6 for every weight"
_GENTLE = frozenset({"dpo", "kto", "orpo", "grpo"})
"""Objectives that start from a model which answers, and compare or reward its answers."""
CARD = "the starter model's card"
_MANY_ROWS = 20_000
_LEAST_STEPS, _MOST_EPOCHS = 120, 20.0
"""Measured on the shipped FAQ of 114 rows: held-out loss 6.66 at first, 5.16 after 24 steps of 16
rows, 1.66 after 160."""
TINY = 50_000_000
"""Below this many parameters a model is tuned with far larger steps than the literature's."""


def learning_rate(
    method: str, model: ModelInfo, objective: str = "prompt_completion"
) -> tuple[float, Reason]:
    """Return the peak learning rate of AdamW with a cosine schedule."""
    n = model.parameters
    facts = facts_of_method(method)
    if objective in _GENTLE and n >= TINY:
        rate = 0.1 * learning_rate(method, model)[0]
        why = f"{objective.upper()} moves a model that writes well already: a tenth of the usual"
        return rate, Reason(f"learning rate {rate:g}", why, GENTLE_PAPER)
    if method != "full" and facts.rate != 1.0:
        rate = facts.rate * learning_rate("lora", model)[0]
        why = f"{facts.title} trains {facts.trains}: {facts.rate:g} times LoRA's steps"
        return rate, Reason(f"learning rate {rate:g}", why, facts.rate_source)
    if method == "full":
        rate = 1e-3 if n < TINY else 1e-4 if n < 5e8 else 2e-5 if n < 4e9 else 1e-5
        why = "every weight moves, so the steps are small"
        source = PRACTICE if n >= TINY else "measured on tiny models here"
    elif n < TINY:
        rate, why = 3e-3, "an adapter on a model this small needs large steps to move it"
        source = "measured on tiny models here"
    elif n < 1e9:
        rate, source = 5e-4, QLORA_PAPER
        why = "above good practice's 1e-5 to 1e-4: adapters on small models take larger steps"
    else:
        rate = 2e-4 if n <= 13.5e9 else 1e-4
        why = "above good practice's 1e-5 to 1e-4, because only the adapter is trained"
        if rate <= 1e-4:
            why = "the upper end of good practice's 1e-5 to 1e-4"
        source = QLORA_PAPER
    return rate, Reason(f"learning rate {rate:g}", why, source)


def card_epochs_do(rows: int, epochs: float, objective: str) -> bool:
    """Return whether the epochs of a model's card suit other data than that of the card."""
    return rows <= _MANY_ROWS and epochs >= min(_MOST_EPOCHS, _least_epochs(rows, objective))


def _least_epochs(rows: int, objective: str) -> float:
    """Return the epochs of a tiny model that make the steps without which it learns nothing."""
    return 0.0 if objective in _GENTLE else math.ceil(_LEAST_STEPS / math.ceil(rows / 16))


def epochs(
    rows: int, model: ModelInfo, objective: str = "prompt_completion"
) -> tuple[float, Reason]:
    """Return how often the data is read: less often the more of it there is."""
    if model.parameters < TINY:
        least = min(_MOST_EPOCHS, _least_epochs(rows, objective))
        if least > 4:
            why = "few rows: so many passes make the steps that a tiny model needs to learn them"
            return least, Reason(f"{least:g} epochs", why, "measured on tiny models here")
        count, why = 4.0, "a model this small learns slowly and forgets little"
        if rows > _MANY_ROWS:
            count, why = 2.0, "there is enough data to read it twice"
        return count, Reason(f"{count:g} epochs", why, "measured on tiny models here")
    if rows < 1_000:
        count, why = 3.0, "few rows: more passes would learn them by heart"
    elif rows < 10_000:
        count, why = 3.0, "three passes are the usual start for a few thousand rows"
    elif rows < 50_000:
        count, why = 2.0, "two passes over this much data are enough to judge by"
    else:
        count, why = 1.0, "with this much data one pass is enough"
    return count, Reason("1 epoch" if count == 1 else f"{count:g} epochs", why, PRACTICE)


def rank(rows: int, model: ModelInfo) -> tuple[int, Reason]:
    """Return the adapter's rank; alpha is twice that."""
    if model.parameters >= TINY and rows < 500:
        return 8, Reason("rank 8", "few rows: a smaller adapter overfits less", LORA_PAPER)
    return 16, Reason(
        "rank 16", "enough for most tasks; higher ranks rarely gain and cost memory", LORA_PAPER
    )


def rank_reason(method: str, rank: int, rows: int, *, few: bool = False) -> Reason:
    """Say why a rank was chosen that nobody asked for."""
    if few:
        text = "as few trained parameters as you asked for: very low ranks were enough there"
    elif method == "rslora":
        return Reason(
            f"rank {rank}",
            "rank stabilisation is what makes a high rank pay: .513 against .478 at rank 32",
            PEFT_COMPARISON,
        )
    elif rank < 16:
        text = "few rows: a smaller adapter overfits less"
    else:
        text = "enough for most tasks; higher ranks rarely gain and cost memory"
    return Reason(f"rank {rank}", text, LORA_PAPER)


def alpha(method: str, rank: int) -> int:
    """Return the adapter's scale: twice the rank, or the rank where its root divides it."""
    return rank if method == "rslora" else 2 * rank


def dropout(rows: int, model: ModelInfo) -> tuple[float, Reason]:
    """Return the adapter's dropout."""
    if model.parameters < TINY:
        return 0.0, Reason("no dropout", "tiny adapters gain nothing from it", "measured here")
    if rows < 2_000:
        return 0.1, Reason("dropout 0.1", "few rows: it guards against overfitting", PRACTICE)
    return 0.05, Reason("dropout 0.05", "a light guard against overfitting", QLORA_PAPER)


def weight_decay(method: str, rows: int, model: ModelInfo) -> tuple[float, Reason]:
    """Return AdamW's weight decay."""
    if model.parameters >= TINY and (method == "full" or rows < 2_000):
        return 0.01, Reason("weight decay 0.01", "guards against overfitting", PRACTICE)
    return 0.0, Reason("no weight decay", "the adapter is small already", QLORA_PAPER)


def effective_batch(rows: int) -> int:
    """Return how many rows one optimiser step should see: 16, fewer where rows are few."""
    size = 16
    while size > 1 and rows / size < 8:
        size //= 2
    return size


def evaluation_every(steps: int, steps_per_epoch: int) -> int:
    """Return after how many steps to evaluate: twice an epoch, at most about ten times a run."""
    return max(1, min(max(steps_per_epoch // 2, steps // 10), max(1, steps // 2)))
