"""Wishes that a compiled run would not honour, refused before its plan is stored.

What concerns method, memory, machine and data was looked at while compiling; here stands what
depends on the objective, the loss and the engine that came of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from tools.errors import BadInput, Refused
from tools.history.spec import TrainingSpec
from tools.methods import method, methods, quantisation_of
from tools.rewards import load_rewards

LOSSES = "luthier.losses"
"""Group of the entry points that offer a loss of one's own."""
_PREFERENCE = frozenset({"dpo", "orpo", "kto"})
_ENGINES_THAT_OFFLOAD = ("zero1", "zero2", "zero3", "fsdp")
Problem = tuple[str, str]


def check_honoured(spec: TrainingSpec, wishes: Mapping[str, Any]) -> None:
    """Refuse a run in which something wished would do nothing, or fail once it runs.

    Args:
        wishes: What was asked for, by the names of `start_training`.

    Raises:
        Refused: Naming all of it (`preflight`).
        BadInput: A reward is unknown or cannot be read.
    """
    if spec.objective == "grpo" and spec.rewards:
        load_rewards(spec.rewards)
    problems = [*_objective(spec, wishes), *_loss(spec, wishes), *_base(spec, wishes)]
    if problems:
        raise Refused(
            " ".join(problem for problem, _ in problems),
            hint=" ".join(hint for _, hint in problems),
            refused_by="preflight",
        )


def offered_losses() -> dict[str, Any]:
    """Return the entry points that offer a loss of one's own, by name."""
    return {point.name: point for point in entry_points(group=LOSSES)}


def unknown_loss(name: str) -> BadInput:
    """Return what is said where no installed package offers a loss."""
    known = ", ".join(sorted(offered_losses())) or "none"
    return BadInput(
        f"No installed package offers a loss named {name!r}.",
        hint=f"Install a package with an entry point in the group {LOSSES}; there now: {known}.",
    )


def _objective(spec: TrainingSpec, wishes: Mapping[str, Any]) -> Iterator[Problem]:
    if "rewards" in wishes and spec.objective != "grpo":
        yield (
            f"Rewards judge the answers of grpo, and this run learns by {spec.objective}.",
            "Leave the rewards out, or choose the objective grpo.",
        )
    if "beta" in wishes and spec.objective not in _PREFERENCE:
        yield (
            f"Beta says how far a preference may move from the base; {spec.objective} has none.",
            "Leave beta out.",
        )


def _loss(spec: TrainingSpec, wishes: Mapping[str, Any]) -> Iterator[Problem]:
    named = spec.loss != "cross_entropy"
    if spec.loss_entry_point and spec.loss_entry_point not in offered_losses():
        error = unknown_loss(spec.loss_entry_point)
        yield error.problem, error.hint
    if spec.loss_entry_point and named:
        yield "A run has one loss, and two were named.", "Leave one of them out."
    if "loss_weight" in wishes and not named:
        yield (
            "Plain cross-entropy has no strength to set.",
            "Name the loss as well: label_smoothing, focal or contrastive.",
        )
    if spec.loss == "label_smoothing" and (spec.loss_weight or 0) >= 1:
        yield (
            f"Smoothing of {spec.loss_weight:g} would leave nothing of the labels.",
            "Choose less than 1; 0.1 is usual.",
        )


def _base(spec: TrainingSpec, wishes: Mapping[str, Any]) -> Iterator[Problem]:
    row = method(spec.method)
    stored = quantisation_of(spec.method, spec.quantization)
    starts = ("default", *methods()["qlora"].starts)
    if stored != "none" and row.peft == "LORA" and spec.initialisation not in starts:
        yield (
            f"The start {spec.initialisation} changes the base's weights, which a quantised base "
            "does not have whole.",
            f"Leave the quantisation out, or start as one of: {', '.join(starts)}.",
        )
    if wishes.get("offload", "none") != "none" and spec.engine not in _ENGINES_THAT_OFFLOAD:
        yield (
            f"The engine {spec.engine} keeps everything on its device.",
            f"Leave the offload out, or choose one of: {', '.join(_ENGINES_THAT_OFFLOAD)}.",
        )
