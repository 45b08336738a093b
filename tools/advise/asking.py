"""From the arguments of a capability to a situation or a workload, and to its report."""

from __future__ import annotations

import math
from typing import Any, cast

from tools.advise import ledger, solver
from tools.advise.duration import Run, estimate_duration
from tools.advise.evidence import facts_of_method
from tools.advise.exact import trace
from tools.advise.figures import MemoryEstimate, Range
from tools.advise.hardware import Machine, this_machine
from tools.advise.machines import machine_with_card, parse_machine
from tools.advise.memory import Workload, estimate_memory
from tools.advise.models import STARTER, ModelInfo, catalogue_entry, hub_destination, resolve_model
from tools.advise.recommend import recommend
from tools.advise.reports import (
    AccuracyReport,
    EstimateReport,
    RecommendationReport,
    rounded,
)
from tools.advise.situation import DataFacts, Situation, facts_of, past_runs, read_described
from tools.context import Context
from tools.datasets.inspect import inspect_file
from tools.errors import BadInput
from tools.history.spec import Device, Precision

_PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_DEFAULT_LENGTH = 1024


def model_destination(model: str | None, ctx: Context) -> str | None:
    """Return what would be contacted; models of the catalogue are sized without the Hub."""
    if model is None or catalogue_entry(model):
        return None
    return hub_destination(ctx, model)


def machine_of(ctx: Context, *, hardware: str | None, memory_gb: float | None) -> Machine:
    """Return the described machine, or this one.

    Raises:
        BadInput: The words describe none, or contradict `memory_gb`.
    """
    if hardware:
        machine = parse_machine(hardware)
        if memory_gb and not any(abs(g.memory_gib - memory_gb) < 0.1 * memory_gb
                                 for g in machine.gpus):  # fmt: skip
            raise BadInput(
                f"{hardware!r} and a card of {memory_gb:g} GB do not go together.",
                hint="Give one of the two.",
            )
        return machine
    return machine_with_card(memory_gb) if memory_gb else this_machine(ctx.settings)


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


def estimate_for(
    ctx: Context,
    *,
    path: str | None,
    model: str | None,
    method: str,
    max_length: int | None,
    batch_size: int,
    gradient_accumulation: int,
    rank: int,
    target_modules: str | None,
    checkpointing: bool,
    precision: str | None,
    optimizer: str,
    quantization: str | None,
    engine: str | None,
    epochs: float,
    memory_gb: float | None,
    hardware: str | None,
    solve: str | None,
    price_per_hour: float | None,
    exact: bool = False,
) -> EstimateReport:
    """Estimate one run.

    Raises:
        BadInput: Wishes that contradict each other, or a model that cannot be sized.
    """
    base = resolve_model(ctx, model, needs_weights=False)
    machine = machine_of(ctx, hardware=hardware, memory_gb=memory_gb)
    if not facts_of_method(method).adapter and quantization not in (None, "none"):
        raise BadInput(
            "Full fine-tuning cannot train quantised weights.",
            hint="Choose the method qlora, or leave the quantisation out.",
        )
    data = facts_of(inspect_file(ctx, path, sample_rows=0)) if path else None
    notes = list(machine.notes)
    length = max_length
    if length is None:
        length = min(data.max_tokens or data.p95_tokens if data else _DEFAULT_LENGTH,
                     base.context_length)  # fmt: skip
        notes.append(f"max_length {length} is assumed.")
    if length > base.context_length:
        raise BadInput(
            f"{base.name} reads at most {base.context_length} tokens, not {length}.",
            hint=f"Use max_length {base.context_length} or less.",
        )
    device: Device = "cuda" if machine.gpus else "cpu"
    gpus = len(machine.gpus)
    work = Workload(
        shape=base.shape,
        method=method,
        batch=batch_size,
        length=length,
        rank=rank,
        targets=_targets(base, target_modules),
        precision=_precision(precision, machine),
        quantization=cast(Any, quantization or "none"),
        optimizer=cast(Any, optimizer),
        checkpointing=checkpointing,
        device=device,
        engine=engine or "single",
        gpus=max(1, gpus) if engine not in (None, "single") else 1,
    )
    factor = ledger.correction(ctx, ledger.MEMORY) if not (hardware or memory_gb) else 1.0
    memory = ledger.corrected(estimate_memory(work), factor)
    if exact:
        memory = _exact(ctx, work, base)
    available = machine.usable_gib(device)
    verdict = memory.verdict(available)
    pace = ledger.correction(ctx, ledger.DURATION) if not (hardware or memory_gb) else 1.0
    duration = _duration(work, base, machine, data, epochs, pace)
    solution = solver.solve(solve, work, base, available) if solve else None
    next_step = ""
    if verdict == "does not fit" and not solve:
        next_step = solver.what_fits(work, available)
    return EstimateReport(
        model=base.name,
        method=method,
        engine=work.engine,
        hardware=machine.summary(),
        memory_gib=memory.as_dict(),
        available_gib=round(available, 1),
        verdict=verdict,
        basis=memory.basis,
        settings=_settings(work, gradient_accumulation, epochs),
        duration_s=rounded(duration) if duration else None,
        disk_gib=_disk(work, base),
        cost=_cost(duration, price_per_hour),
        solution=solution,
        next_step=next_step,
        notes=notes,
    )


def _exact(ctx: Context, work: Workload, model: ModelInfo) -> MemoryEstimate:
    """Trace the step; on one GPU and for the methods that the trace knows.

    Raises:
        BadInput: It cannot be traced.
    """
    if work.device != "cuda" or work.gpus > 1:
        raise BadInput(
            "The exact trace counts the memory of one GPU.",
            hint="Name a card, such as hardware '24GB', or leave `exact` out.",
        )
    if work.method not in {"lora", "qlora", "dora", "full"} or model.shape.family == "qwen":
        raise BadInput(
            f"The exact trace does not know {work.method} on {model.architecture}.",
            hint="Leave `exact` out for the instant estimate.",
        )
    return trace(ctx, work, model.config)


def _targets(model: ModelInfo, text: str | None) -> str | tuple[str, ...]:
    if not text or text.strip() in {"all-linear", "all"}:
        return "all-linear"
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    model.shape.targets(names)
    return names


def _precision(wished: str | None, machine: Machine) -> Precision:
    if wished is None:
        gpus = machine.gpus
        if not gpus:
            return "float32"
        return "bfloat16" if all(gpu.bfloat16 for gpu in gpus) else "float16"
    return cast(Precision, _PRECISIONS.get(wished, wished))


def _duration(
    work: Workload,
    model: ModelInfo,
    machine: Machine,
    data: DataFacts | None,
    epochs: float,
    pace: float,
) -> Range | None:
    if data is None:
        return None
    rows = math.ceil(0.85 * data.rows)
    micro = math.ceil(epochs * rows / work.batch)
    width = min(work.length, 1.2 * data.mean_tokens)
    run = Run(
        shape=model.shape,
        method=work.method,
        tokens=micro * work.batch * width / work.gpus,
        micro_steps=micro,
        eval_tokens=6 * 0.15 * data.rows * width,
        checkpointing=work.checkpointing,
        device=work.device,
    )
    return estimate_duration(run, machine, correction=pace)


def _disk(work: Workload, model: ModelInfo) -> float:
    kept = 3 * work.trained_parameters * 12 + work.trained_parameters * 4
    download = 0 if model.path else 2 * model.parameters
    return round((kept + download) / 2**30 + 0.05, 2)


def _cost(duration: Range | None, price: float | None) -> dict[str, Any] | None:
    if duration is None or price is None:
        return None
    return {
        "low": duration.low / 3600 * price,
        "expected": duration.expected / 3600 * price,
        "high": duration.high / 3600 * price,
        "unit": "in the price's currency",
        "basis": f"{price:g} an hour × the time above",
    }


def _settings(work: Workload, accumulation: int, epochs: float) -> dict[str, Any]:
    return {
        "max_length": work.length,
        "batch_size": work.batch,
        "gradient_accumulation": accumulation,
        "rank": work.rank,
        "target_modules": work.targets,
        "gradient_checkpointing": work.checkpointing,
        "precision": work.precision,
        "optimizer": work.optimizer,
        "quantization": work.quantized,
        "trained_parameters": work.trained_parameters,
        "epochs": epochs,
    }


def accuracy(ctx: Context) -> AccuracyReport:
    """Return the ledger: what was predicted and what was measured."""
    return AccuracyReport(
        quantities={name: ledger.record(ctx, name) for name in (ledger.MEMORY, ledger.DURATION)}
    )
