"""From a wish to a frozen plan that fits, or to a refusal with its reason and the next step."""

from __future__ import annotations

import math

from tools.advise import feasible, ledger
from tools.advise.choices import choose
from tools.advise.draft import Draft
from tools.advise.figures import MemoryEstimate, Range, Reason
from tools.advise.hardware import this_machine
from tools.advise.lengths import measure_lengths
from tools.advise.models import resolve_model
from tools.advise.timing import duration_of
from tools.advise.wishes import Plan, PlanRequest
from tools.context import Context
from tools.datasets.prepare import PrepareOptions, prepare
from tools.history.spec import TrainingSpec

__all__ = ["Plan", "PlanRequest", "compile_plan"]


def compile_plan(ctx: Context, request: PlanRequest) -> Plan:
    """Compile a wish into a complete plan. Prepares the data; starts nothing.

    Every wish is honoured exactly or the plan is refused; only what was left open is chosen.

    Raises:
        ToolError: The data or the model is missing or not usable.
        Refused: It does not fit (`memory`, `disk`) or is incompatible (`preflight`).
    """
    model = resolve_model(ctx, request.model)
    machine = this_machine(ctx.settings)
    feasible.check_wishes(request, model, machine)
    manifest = prepare(ctx, request.path, _options(request))
    train_file = manifest.split_file(ctx.settings.dataset_folder(manifest.id), "train")
    draft = Draft(request, model, manifest, machine, measure_lengths(train_file, model))
    spec, memory = choose(draft, memory_factor=ledger.correction(ctx, ledger.MEMORY))
    factor = ledger.correction(ctx, ledger.DURATION)
    spec, duration = _within_budget(draft, spec, factor)
    disk = feasible.disk_need(spec, model)
    feasible.check_disk(disk, ctx.settings)
    _warn(draft, spec, memory, duration)
    return Plan(
        spec=spec,
        manifest=manifest,
        memory=memory,
        duration=duration,
        disk_gib=disk,
        why=draft.why,
        warnings=draft.warnings,
        available_gib=machine.usable_gib(spec.device),
        model=model,
        machine=machine,
    )


def _options(request: PlanRequest) -> PrepareOptions:
    names = ("eval_fraction", "dedupe", "input_column", "output_column", "template")
    wished = {name: getattr(request, name) for name in names}
    return PrepareOptions(**{name: value for name, value in wished.items() if value is not None})


def _within_budget(draft: Draft, spec: TrainingSpec, factor: float) -> tuple[TrainingSpec, Range]:
    """Where a time budget was named and the epochs were not, plan fewer epochs."""
    duration = duration_of(draft, spec, factor)
    budget = draft.request.minutes
    wished = draft.request.epochs or draft.request.max_steps
    if budget is None or wished or duration.expected <= 60 * budget or spec.epochs <= 1:
        return spec, duration
    fewer = max(1.0, math.floor(spec.epochs * 60 * budget / duration.expected))
    shorter = spec.model_copy(update={"epochs": fewer})
    reason = f"{spec.epochs:g} would take longer than the {budget:g} minutes allowed"
    draft.why = [r for r in draft.why if not r.choice.endswith("epochs")]
    draft.because(Reason(f"{fewer:g} epochs", reason, "your budget"))
    return shorter, duration_of(draft, shorter, factor)


def _warn(draft: Draft, spec: TrainingSpec, memory: MemoryEstimate, duration: Range) -> None:
    warn = draft.warnings.append
    share = draft.lengths.cut_share(spec.max_length)
    if share:
        warn(
            f"About {share:.0%} of the rows or more are longer than {spec.max_length} tokens "
            "and will be cut: the start of their prompt goes, the answer is kept."
        )
    if not draft.model.onnx:
        warn(f"{draft.model.architecture} cannot be exported to ONNX by the installed builder.")
    rows = draft.manifest.splits["train"]
    if rows < 50:
        warn(f"Only {rows} rows to train on: expect a model that repeats them.")
    if draft.request.minutes and duration.expected > 60 * draft.request.minutes:
        warn(
            f"It is expected to take {duration.expected / 60:.0f} minutes; after "
            f"{draft.request.minutes:g} it stops and keeps its best state."
        )
    free = draft.machine.free_memory_gib
    if spec.device == "cpu" and memory.high_gib > free:
        warn(f"Only {free:.1f} GiB are free now; the run waits in the queue until there is room.")
    if spec.device == "cuda" and memory.high_gib > draft.machine.gpus[0].free_gib:
        taken = draft.machine.gpus[0]
        warn(
            f"Only {taken.free_gib:.1f} of {taken.memory_gib:.0f} GiB of the card are free now; "
            "end what else uses it before the run starts."
        )
    if memory.verdict(draft.machine.usable_gib(spec.device)) == "tight":
        warn("Memory is tight: close what else needs much of it.")
