"""Several adapters on one base: from a wish to one plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tools.advise.figures import MemoryEstimate, Range
from tools.advise.plan import Plan
from tools.context import Context
from tools.errors import BadInput, Refused
from tools.history.jobs import slug
from tools.history.spec import AdaptersSpec, NamedRun
from tools.jobs.arguments import named_data
from tools.jobs.cards import adapters_card
from tools.jobs.compiling import compile_run
from tools.methods import method

_OF_THE_FIRST = ("input_column", "output_column", "template")
"""Wishes about the columns of `path`; other data has columns of its own."""
_SHARED = ("model", "method", "target_modules", "quantization")
"""What all adapters have from the first, so that they stand beside each other on one base."""
_ALONE = ("continues", "cures")


def plan_adapters(
    ctx: Context, given: Mapping[str, Any], others: Sequence[str]
) -> tuple[Plan, AdaptersSpec, str, dict[str, str]]:
    """Compile one plan that trains an adapter on each of several data sets.

    Args:
        given: The wishes for the first, and for all what does not concern columns.
        others: `DATA` or `NAME=DATA` of each further adapter; with the data of the first, its name.

    Returns:
        A plan with the figures of all, the spec, its subject and its card.

    Raises:
        ToolError: One of the runs is not possible, or they cannot share a base.
    """
    _check_wishes(given)
    wishes = dict(given)
    if "minutes" in wishes:
        wishes["minutes"] = wishes["minutes"] / (1 + len(others))
    named = [named_data(text) for text in others]
    own = next((name for name, data in named if data == wishes["path"] and name), "")
    further = [(name, data) for name, data in named if data != wishes["path"]]
    if not further:
        raise BadInput(
            "Several adapters need several data sets; only one was named.",
            hint="Name the data of each further adapter, or leave `adapters` out.",
        )
    first = compile_run(ctx, wishes)
    if not method(first.spec.method).peft:
        raise Refused(
            f"{first.spec.method} tuning changes the whole model, so it leaves no adapter to stand "
            "beside others.",
            hint="Choose a method with an adapter, such as lora.",
            refused_by="preflight",
        )
    shared = {name: getattr(first.spec, name) for name in _SHARED}
    if first.spec.quantization == "none":
        del shared["quantization"]
    common = {k: v for k, v in wishes.items() if k not in _OF_THE_FIRST} | shared
    found = [(own, first)]
    found += [(name, compile_run(ctx, common | {"path": data})) for name, data in further]
    plans = _by_name(found)
    spec = AdaptersSpec(runs=tuple(NamedRun(name=n, run=p.spec) for n, p in plans.items()))
    whole = _together(plans)
    return whole, spec, _subject(plans), adapters_card(whole, plans)


def _check_wishes(given: Mapping[str, Any]) -> None:
    tied = [name for name in _ALONE if name in given]
    if tied:
        raise BadInput(
            f"`{tied[0]}` is about one run, and several adapters are several.",
            hint="Start that run alone.",
        )


def _by_name(found: Sequence[tuple[str, Plan]]) -> dict[str, Plan]:
    plans: dict[str, Plan] = {}
    for wished, plan in found:
        name = slug(wished or plan.manifest.id.partition("@")[0])
        if name in plans:
            raise BadInput(
                f"Two adapters would be called {name}.",
                hint="Name them apart, as in `tone=tone.csv`.",
            )
        plans[name] = plan
    return plans


def _together(plans: Mapping[str, Plan]) -> Plan:
    """Return the first plan with the figures of all: they run one after the other."""
    every = list(plans.values())
    memory: MemoryEstimate = max((p.memory for p in every), key=lambda m: m.high_gib)
    duration = Range(
        sum(p.duration.low for p in every),
        sum(p.duration.expected for p in every),
        sum(p.duration.high for p in every),
        f"{len(every)} runs, one after the other; the first: {every[0].duration.basis}",
    )
    why = list({(r.choice, r.reason): r for p in every for r in p.why}.values())
    warnings = [f"{name}: {w}" for name, plan in plans.items() for w in plan.warnings]
    return replace(
        every[0],
        memory=memory,
        duration=duration,
        disk_gib=sum(p.disk_gib for p in every),
        why=why,
        warnings=warnings,
    )


def _subject(plans: Mapping[str, Plan]) -> str:
    first = next(iter(plans.values()))
    names = list(plans)
    words = f"{', '.join(names[:-1])} and {names[-1]}"
    return f"Tune {len(names)} adapters on {first.model.name}: {words}."
