"""Tells whether a message changes the plan spoken of, though its words look like another wish."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.brains.guided.corrections import last_plan
from assistant.brains.guided.patterns import phrase
from assistant.brains.guided.runs import named_jobs
from assistant.brains.guided.slots import (
    Args,
    named_paths,
    relative_values,
    training_values,
)
from assistant.brains.guided.view import View
from assistant.brains.guided.wishes import Wish

_OF_A_RUN = frozenset({"show", "compare", "evaluate", "diagnose", "try", "jobs"})
_LOOSE = _OF_A_RUN | {"inspect", "prepare", "explain", "recommend", "estimate", "hardware", "help"}
_ONLY_OF_TRAINING = frozenset(
    {
        "rank", "alpha", "epochs", "max_steps", "learning_rate", "batch_size", "optimizer", "loss",
        "gradient_accumulation", "eval_steps", "early_stopping_patience", "warmup_ratio", "vary",
        "weight_decay", "loss_weight", "seed", "initialisation", "lr_scheduler", "target_modules",
        "modules_to_save", "trials", "sampler", "rewards", "beta",
    }
)  # fmt: skip


def is_correction(view: View, wishes: Sequence[Wish]) -> bool:
    """Settings for the plan that is spoken of, though the words look like another wish."""
    if last_plan(view) is None or named_jobs(view):
        return False
    values = training_values(view)
    if not wishes or _moves_the_plan(view, wishes[0]) or _sets_the_plan(view, wishes, values):
        return bool(wishes)
    if not values and not named_paths(view):
        return False
    first = wishes[0]
    if first.intent == "export" and "target" in values and not _has_result(view):
        return True
    loose = {
        "prepare": 3.0,
        "evaluate": 2.6,
        "try": 2.6,
        "export": 2.4,
        "inspect": 2.0,
        "show": 3.1,
        "estimate": 3.7,
    }
    if len(wishes) == 1 and first.intent in loose and not first.question and view.waiting:
        figures = set(values) - {"dedupe", "device", "model"}
        if first.score >= 2.4:
            figures -= {"eval_fraction"}
        return first.score < loose[first.intent] and bool(figures)
    return False


def _sets_the_plan(view: View, wishes: Sequence[Wish], values: Args) -> bool:
    """Return whether settings that only a training has are named while a plan waits.

    Whatever else the words resemble: `evaluate every 10 steps, give up after 2 without a gain`.
    """
    if not view.waiting or not _ONLY_OF_TRAINING & values.keys() or named_paths(view):
        return False
    other = _OF_A_RUN if view.trainings else frozenset()
    if any(wish.question or wish.intent not in _LOOSE - other for wish in wishes):
        return False
    return not view.typed.rstrip().endswith("?")


def _moves_the_plan(view: View, wish: Wish) -> bool:
    """`can it have a larger rank?` while a plan waits; `would a larger rank help?` only asks."""
    if not view.waiting or wish.intent not in ("explain", "recommend", "estimate", "diagnose"):
        return False
    asks = wish.question or view.said.plain.endswith("?")
    return bool(
        relative_values(view, last_plan(view) or {})
        and (not asks or phrase("OF_THE_PLAN").match(view.said.plain))
    )


def _has_result(view: View) -> bool:
    return any(job["state"] == "succeeded" for job in view.trainings)
