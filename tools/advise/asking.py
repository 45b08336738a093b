"""From the arguments of `recommend_method` to a situation, and to its report."""

from __future__ import annotations

from typing import Any

from tools.advise import ledger
from tools.advise.machine_asked import machine_of
from tools.advise.models import STARTER, catalogue_entry, hub_destination, resolve_model
from tools.advise.naming import is_size
from tools.advise.recommend import recommend
from tools.advise.reports import RecommendationReport
from tools.advise.situation import (
    DataFacts,
    Situation,
    facts_of,
    measured_runs,
    past_runs,
    read_described,
)
from tools.context import Context
from tools.datasets.inspect import inspect_file
from tools.errors import BadInput


def model_destination(model: str | None, ctx: Context) -> str | None:
    """Return what would be contacted; models of the catalogue are sized without the Hub."""
    if model is None or catalogue_entry(model):
        return None
    return hub_destination(ctx, model)


def recommend_for(
    ctx: Context,
    *,
    path: str | None,
    described: str | dict[str, Any] | None,
    goal: str | None,
    model: str | None,
    memory_gb: float | None,
    hardware: str | None,
    target: str | None,
    licence: str | None,
    minutes: float | None,
    preferences: dict[str, Any],
) -> RecommendationReport:
    """Look at what was given and recommend.

    Raises:
        BadInput: Both a file and a description were given, or one of them is not usable.
    """
    if path and described:
        raise BadInput(
            "Both a data file and a description were given.", hint="Give one of the two."
        )
    machine = machine_of(ctx, hardware=hardware, memory_gb=memory_gb)
    own = not (hardware or memory_gb)
    notes = []
    if described:
        data = read_described(described)
    elif path:
        report = inspect_file(ctx, path, model=None, sample_rows=0)
        data = facts_of(report)
        if report.objective is None:
            notes.append(f"This data cannot be trained on as it is. {report.next_step}".strip())
    else:
        data = DataFacts(format="unknown", task=_task_of(goal or ""), rows=1_000)
        notes.append("No data was named; 1,000 rows of ordinary length are assumed.")
    base = resolve_model(ctx, model, needs_weights=False) if model else None
    if base and model and is_size(model):
        notes.append(f"{model} is taken as {base.name}; name another of that size if you mean it.")
    longest = preferences.get("max_length")
    if base and longest and longest > base.context_length:
        raise BadInput(
            f"{base.name} reads at most {base.context_length} tokens, not {longest}.",
            hint=f"Use max_length {base.context_length} or less, or a model with a longer context.",
        )
    if base is None and path and own and not machine.gpus and not licence:
        base = resolve_model(ctx, STARTER, needs_weights=False)
        notes.append(
            "Planned with the shipped starter model, which runs here at once. For real use name a "
            "base model, such as Qwen/Qwen2.5-0.5B-Instruct; `luthier models` lists what fits."
        )
    situation = Situation(
        data=data,
        machine=machine,
        goal=goal or "",
        model=base,
        target=target or "hf",
        licence=licence or "",
        own_machine=own,
        offline=ctx.settings.network == "never",
        minutes=minutes,
        preferences=preferences,
        history=past_runs(ctx),
        measured=measured_runs(ctx) if own else (),
        time_factor=ledger.correction(ctx, ledger.DURATION) if own else 1.0,
    )
    found = recommend(situation)
    found.notes += notes
    return RecommendationReport.of(found, machine)


def _task_of(goal: str) -> str:
    """Guess the kind of task from a goal in words, where there is no data to look at."""
    words = goal.lower()
    for task, signs in (
        ("classification", ("classif", "sort", "label", "sentiment", "categor", "intent")),
        ("summarization", ("summar",)),
        ("translation", ("translat",)),
        ("qa", ("question", "faq", "answer")),
        ("chat", ("chat", "bot", "assistant", "dialog")),
    ):
        if any(sign in words for sign in signs):
            return task
    return ""
