"""From the arguments of `start_training` to a compiled run or search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tools.advise.figures import Range
from tools.advise.plan import Plan, PlanRequest, compile_plan
from tools.context import Context
from tools.errors import BadInput, Conflict
from tools.history.jobs import JobRecord
from tools.history.spec import SearchSpec
from tools.jobs.cards import search_card
from tools.jobs.find import find_job
from tools.jobs.honoured import check_honoured
from tools.jobs.space import default_space, largest, read_space, space_in_words, variants_of

SEARCH = ("trials", "sampler", "vary")
"""Arguments that make a plan a search."""
_TIES = ("continues", "cures")
_SHAPE = ("model", "method", "rank", "alpha", "target_modules", "modules_to_save", "quantization")
"""What a run that continues another has from it: its adapter fits nothing else."""
_USUAL_TRIALS = 10


def compile_run(ctx: Context, given: Mapping[str, Any]) -> Plan:
    """Compile one run; `given` holds only what was wished.

    Raises:
        ToolError: It is not possible, or contradicts the run that it continues.
    """
    wishes = dict(given)
    if wishes.get("target_modules") == ("all-linear",):
        wishes["target_modules"] = "all-linear"
    ties = {name: find_job(ctx, wishes.pop(name)) for name in _TIES if name in wishes}
    if "continues" in ties:
        wishes = _as_before(ties["continues"], wishes)
    plan = compile_plan(ctx, PlanRequest(**wishes))
    check_honoured(plan.spec, given)
    changes = {name: record.id for name, record in ties.items()}
    return replace(plan, spec=plan.spec.model_copy(update=changes)) if changes else plan


def plan_search(
    ctx: Context, given: Mapping[str, Any], search: Mapping[str, Any]
) -> tuple[Plan, SearchSpec, str, dict[str, str]]:
    """Compile a search.

    Returns:
        The plan of its largest variant, the search, its subject and its card.

    Raises:
        ToolError: It cannot be varied like that, or a variant would not fit.
    """
    wishes = dict(given)
    minutes = wishes.pop("minutes", None)
    base = compile_run(ctx, wishes)
    space = read_space(search.get("vary", ())) or default_space(base.spec)
    spec = SearchSpec(
        base=base.spec,
        space=space,
        trials=search.get("trials") or min(_USUAL_TRIALS, max(2, variants_of(space))),
        max_minutes=minutes,
        sampler=search.get("sampler", "tpe"),
        seed=base.spec.seed,
    )
    # Every variant must fit, so the hungriest decides; it is refused like any other plan.
    variants = [{"rank": v.rank, "method": v.method} for v in largest(base.spec, space)]
    plans = [compile_run(ctx, wishes | variant) for variant in variants]
    hungriest = max(plans, key=lambda plan: plan.memory.high_gib)
    whole, warnings = _in_time(base.duration, spec)
    plan = replace(
        base,
        memory=hungriest.memory,
        duration=whole,
        warnings=[*base.warnings, *warnings],
        disk_gib=base.disk_gib * 2,
    )
    rows = f"{plan.manifest.splits['train']:,} rows of {plan.manifest.id.partition('@')[0]}"
    words = space_in_words(space)
    subject = f"Try {spec.trials} ways to tune {plan.model.name} on {rows}: {words}."
    return plan, spec, subject, search_card(plan, spec)


def _in_time(each: Range, spec: SearchSpec) -> tuple[Range, list[str]]:
    """Return how long all trials take within the budget, and what to know of it."""
    budget_s = spec.max_minutes * 60 if spec.max_minutes else math.inf
    whole = Range(
        min(budget_s, each.low),
        min(budget_s, each.expected * spec.trials),
        min(budget_s, each.high * spec.trials),
        f"{spec.trials} trials; one: {each.basis}",
    )
    if each.expected * spec.trials <= budget_s:
        return whole, []
    fit = max(1, int(budget_s // max(1.0, each.expected)))
    return whole, [
        f"About {fit} of the {spec.trials} trials fit into {spec.max_minutes:g} minutes."
    ]


def _told(names: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    return [f"{name.replace('_', ' ')} {_in_words(values[name])}" for name in names]


def _in_words(value: Any) -> str:
    return ", ".join(value) or "none" if isinstance(value, tuple) else str(value)


def _as_before(record: JobRecord, wishes: dict[str, Any]) -> dict[str, Any]:
    """Take over what must be equal in a run that goes on from another's weights."""
    before = record.training
    if record.state != "succeeded" or record.forgotten_at:
        raise Conflict(
            f"{record.id} left no tuned weights to continue from: it is {record.state}.",
            hint="Name a finished training run; `luthier jobs` lists them.",
        )
    shape = {name: getattr(before, name) for name in _SHAPE}
    other = [name for name in _SHAPE if name in wishes and wishes[name] != shape[name]]
    if other:
        raise BadInput(
            f"A run that continues {record.id} keeps its {', '.join(_told(other, shape))}: "
            "the tuned weights fit nothing else.",
            hint="Leave that out, or start a new run that continues nothing.",
        )
    if before.quantization == "none":
        del shape["quantization"]
    return {name: value for name, value in shape.items() if value != ()} | wishes
