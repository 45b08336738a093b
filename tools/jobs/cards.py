"""What a person is shown of a plan: label → text."""

from __future__ import annotations

from collections.abc import Mapping

from tools.advise.plan import Plan
from tools.history.spec import SearchSpec, TrainingSpec
from tools.jobs.space import space_in_words
from tools.jobs.words import clock
from tools.methods import method

_USUAL: tuple[tuple[str, object, str], ...] = (
    ("loss", "cross_entropy", "loss {}"),
    ("optimizer", "adamw", "optimiser {}"),
    ("lr_scheduler", "cosine", "{} schedule"),
    ("batching", "grouped", "{} batches"),
    ("gradient_checkpointing", False, "activations recomputed"),
    ("activation_offload", False, "activations offloaded"),
)
"""Field, what goes without saying, and what is said where it is something else."""


def plan_card(plan: Plan) -> dict[str, str]:
    """Return the card of one run."""
    spec, memory, splits = plan.spec, plan.memory, plan.manifest.splits
    held_out = sum(count for name, count in splits.items() if name != "train")
    card = {
        "base": f"{plan.model.name}, {plan.model.size} parameters, {plan.model.licence}",
        "data": f"{plan.manifest.id}: {splits['train']:,} rows to train, {held_out:,} held out",
        "method": _method(spec),
        "training": _training(spec),
    }
    if spec.engine != "single" or spec.processes * spec.nodes > 1:
        card["engine"] = _engine(spec)
    card |= {
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
    if not spec.probe:
        card["probe"] = "left out: the long run starts untried"
    if spec.continues:
        card["start"] = f"from the tuned weights of {spec.continues}"
    return card


def adapters_card(whole: Plan, plans: Mapping[str, Plan]) -> dict[str, str]:
    """Return the card of several adapters: what all share, and each with its own data."""
    card = plan_card(whole)
    each = {name: plan_card(plan) for name, plan in plans.items()}
    lines = {
        name: f"{own['data']}; {own['method']}; {own['training']}; {own['time']}"
        for name, own in each.items()
    }
    budget = whole.spec.max_minutes
    shared = ("engine", "memory", "time", "disk", "may change")
    kept: dict[str, str] = {label: card[label] for label in shared if label in card}
    if budget:
        kept["budget"] = f"each stops after {budget:g} minutes with its best state"
    if not whole.spec.probe:
        kept["probe"] = card["probe"]
    return {
        "base": card["base"],
        "adapters": f"{len(plans)}, one after the other, each judged against the base",
        **lines,
        **kept,
    }


def search_card(plan: Plan, spec: SearchSpec) -> dict[str, str]:
    """Return the card of a search: that of its base run, and what is tried."""
    budget = f"at most {spec.max_minutes:g} minutes" if spec.max_minutes else "no time limit"
    how = "guided by the trials before (TPE)" if spec.sampler == "tpe" else "chosen at random"
    card = plan_card(plan)
    card.pop("budget", None)
    return card | {
        "trials": f"{spec.trials}, {budget}, {how}; the first is the plan as it stands",
        "varied": space_in_words(spec.space),
        "stopped early": "trials whose validation loss is worse than half of the others'",
    }


def _method(spec: TrainingSpec) -> str:
    how = method(spec.method)
    parts = [spec.method]
    if not how.peft:
        parts.append("every weight")
    parts += [f"{name} {getattr(spec, name)}" for name in ("rank", "alpha") if how.takes(name)]
    if spec.quantization != "none":
        parts.append(f"base in {spec.quantization}")
    if spec.initialisation != "default":
        parts.append(f"starts as {spec.initialisation}")
    if spec.modules_to_save:
        parts.append(f"whole: {', '.join(spec.modules_to_save)}")
    return ", ".join(parts)


def _training(spec: TrainingSpec) -> str:
    times = f" × {spec.gradient_accumulation}" if spec.gradient_accumulation > 1 else ""
    length = f"{spec.max_steps} steps" if spec.max_steps else f"{spec.epochs:g} epochs"
    said = [
        words.format(str(getattr(spec, name)).replace("_", " "))
        for name, usual, words in _USUAL
        if getattr(spec, name) != usual
    ]
    return ", ".join(
        [
            length,
            f"learning rate {spec.learning_rate:g}",
            f"batch {spec.batch_size}{times}",
            f"up to {spec.max_length} tokens",
            *said,
        ]
    )


def _engine(spec: TrainingSpec) -> str:
    machines = f" on {spec.nodes} machines" if spec.nodes > 1 else ""
    offload = f", {spec.offload} in the machine's own memory" if spec.offload != "none" else ""
    return f"{spec.engine}, {spec.processes} processes{machines}{offload}"
