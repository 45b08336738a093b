"""From the arguments of `estimate_resources` to its report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

from tools.advise import defaults, ledger, solver
from tools.advise.clashing import refusal_of
from tools.advise.duration import Run, estimate_duration
from tools.advise.evidence import facts_of_method
from tools.advise.exact import trace
from tools.advise.figures import MemoryEstimate, Range
from tools.advise.hardware import Machine, with_useful_cards
from tools.advise.machine_asked import machine_of
from tools.advise.memory import Workload, estimate_memory
from tools.advise.models import ModelInfo, resolve_model
from tools.advise.naming import is_size
from tools.advise.reports import AccuracyReport, EstimateReport, rounded
from tools.advise.situation import DataFacts, facts_of
from tools.context import Context
from tools.datasets.inspect import inspect_file
from tools.datasets.report import DatasetReport
from tools.errors import BadInput
from tools.history.spec import Device, Precision

_PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_DEFAULT_LENGTH = 1024
_DEFAULT_BATCH = 8
_SAMPLE_ROWS = 50
_FEW_ROWS = 1_000
"""Rows of ordinary data, where none is named; adapters of larger models drop out then."""


@dataclass(frozen=True)
class Wish:
    """What is to be estimated, named like the arguments of `estimate_resources`."""

    path: str | None
    model: str | None
    method: str
    max_length: int | None
    batch_size: int | None
    gradient_accumulation: int
    rank: int
    target_modules: str | None
    checkpointing: bool | None
    precision: str | None
    optimizer: str
    quantization: str | None
    engine: str | None
    epochs: float
    memory_gb: float | None
    hardware: str | None
    solve: str | None
    price_per_hour: float | None
    exact: bool

    @property
    def described(self) -> bool:
        """Whether another machine than this one is meant."""
        return bool(self.hardware or self.memory_gb)


def estimate_for(ctx: Context, wish: Wish) -> EstimateReport:
    """Estimate one run.

    Raises:
        BadInput: Wishes that contradict each other, or a model that cannot be sized.
    """
    facts = facts_of_method(wish.method)
    if not facts.adapter and wish.quantization not in (None, "none"):
        raise BadInput(
            "Full fine-tuning cannot train quantised weights.",
            hint="Choose the method qlora, or leave the quantisation out.",
        )
    base = resolve_model(ctx, wish.model, needs_weights=False)
    machine, uneven = with_useful_cards(
        machine_of(ctx, hardware=wish.hardware, memory_gb=wish.memory_gb)
    )
    seen = inspect_file(ctx, wish.path, sample_rows=_SAMPLE_ROWS) if wish.path else None
    data = facts_of(seen) if seen else None
    notes = [*machine.notes, *([uneven] if uneven else [])]
    if wish.model and is_size(wish.model):
        notes.append(f"{wish.model} is taken as {base.name}; name another if you mean it.")
    if len(machine.gpus) > 1 and wish.engine is None:
        notes.append("This is for one of the cards; with zero3 or fsdp they share the weights.")
    length = _length(wish, base, data, notes)
    if data and data.max_tokens:
        length = max(8, min(length, data.max_tokens))
    work = _workload(wish, base, machine, length, answer_share(seen) if seen else 1.0)
    if seen is None:
        notes.append("Without data, the loss is taken to look at every token.")
    _check(wish, work, machine, notes)
    known = 1.0 if wish.described else ledger.correction(ctx, ledger.MEMORY)
    memory = ledger.corrected(estimate_memory(work), known)
    if wish.exact:
        memory = _exact(ctx, work, base)
    pace = 1.0 if wish.described else ledger.correction(ctx, ledger.DURATION)
    return _report(wish, work, base, machine, memory, _duration(wish, work, machine, data, pace),
                   notes)  # fmt: skip


def _report(
    wish: Wish,
    work: Workload,
    base: ModelInfo,
    machine: Machine,
    memory: MemoryEstimate,
    duration: Range | None,
    notes: list[str],
) -> EstimateReport:
    available = machine.usable_gib(work.device)
    verdict = memory.verdict(available)
    solution = solver.solve(wish.solve, work, base, available) if wish.solve else None
    if solution and solution["value"] is not None:
        work, base = solver.at(work, base, solution)
        memory = estimate_memory(work)
        verdict = memory.verdict(available)
    next_step = ""
    if verdict == "does not fit" and not wish.solve:
        next_step = solver.what_fits(work, available)
    return EstimateReport(
        model=base.name,
        method=wish.method,
        engine=work.engine,
        hardware=machine.summary(),
        memory_gib=memory.as_dict(),
        available_gib=math.ceil(100 * available) / 100,
        verdict=verdict,
        basis=memory.basis,
        settings=_settings(work, wish.gradient_accumulation, wish.epochs),
        duration_s=rounded(duration) if duration else None,
        disk_gib=_disk(work, base),
        cost=_cost(duration, wish.price_per_hour),
        solution=solution,
        next_step=next_step,
        notes=notes,
    )


def _check(wish: Wish, work: Workload, machine: Machine, notes: list[str]) -> None:
    """Refuse what does not go together, and say what the card does not have.

    Raises:
        BadInput: A pair of the compatibility table, or an engine for several where there is one.
    """
    if wish.engine not in (None, "single") and work.gpus < 2:
        raise BadInput(
            f"The engine {wish.engine} shares the work over several cards, and there is one here.",
            hint="Leave the engine out, or name several cards, such as hardware '2x24GB'.",
        )
    clash = refusal_of(work)
    if clash:
        raise BadInput(
            f"This does not go together: {clash.reason} ({clash.source}; {clash.versions}).",
            hint=f"What works: {clash.instead}.",
        )
    if work.precision == "bfloat16" and not all(gpu.bfloat16 for gpu in machine.gpus):
        notes.append(f"The {machine.gpus[0].name} has no bfloat16; it would train in float16.")


def _length(wish: Wish, base: ModelInfo, data: DataFacts | None, notes: list[str]) -> int:
    length = wish.max_length
    if length is None:
        wanted = (data.max_tokens or data.p95_tokens) if data else _DEFAULT_LENGTH
        length = min(wanted, base.context_length)
        notes.append(f"max_length {length} is assumed.")
    if length > base.context_length:
        raise BadInput(
            f"{base.name} reads at most {base.context_length} tokens, not {length}.",
            hint=f"Use max_length {base.context_length} or less.",
        )
    return length


def answer_share(report: DatasetReport) -> float:
    """Return the share of a row that is trained: the 95th percentile of the rows looked at."""
    sizes = [(len(row.asked), len(row.answer)) for row in report.preview]
    shares = sorted(answer / max(1, asked + answer) for asked, answer in sizes) or [1.0]
    return min(1.0, 0.02 + shares[round(0.95 * (len(shares) - 1))])


def _workload(
    wish: Wish, base: ModelInfo, machine: Machine, length: int, trained_share: float
) -> Workload:
    """The step to estimate; what a question leaves open is chosen to make the most fit."""
    device: Device = "cuda" if machine.gpus else "cpu"
    asks_for_most = wish.solve in {"longest_context", "biggest_model"}
    batch = wish.batch_size or (1 if asks_for_most else _DEFAULT_BATCH)
    checkpointing = bool(wish.solve) if wish.checkpointing is None else wish.checkpointing
    several = wish.engine not in (None, "single")
    return Workload(
        shape=base.shape,
        method=wish.method,
        batch=batch,
        length=length,
        rank=wish.rank,
        targets=_targets(base, wish.target_modules),
        precision=_precision(wish.precision, wish.method, machine),
        quantization=cast(Any, wish.quantization or "none"),
        optimizer=cast(Any, wish.optimizer),
        checkpointing=checkpointing,
        device=device,
        engine=wish.engine or "single",
        gpus=max(1, len(machine.gpus)) if several else 1,
        accumulates=wish.gradient_accumulation > 1,
        dropout=defaults.dropout(_FEW_ROWS, base)[0],
        trained_share=trained_share,
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
    if not names:
        raise BadInput(
            f"{text!r} names no matrix.",
            hint="Name some, such as q_proj,v_proj, or leave target_modules out for all.",
        )
    model.shape.targets(names)
    return names


def _precision(wished: str | None, method: str, machine: Machine) -> Precision:
    if wished is None:
        gpus = machine.gpus
        if not gpus:
            return "float32"
        if all(gpu.bfloat16 for gpu in gpus):
            return "bfloat16"
        return "float32" if method == "full" else "float16"
    return cast(Precision, _PRECISIONS.get(wished, wished))


def _duration(
    wish: Wish, work: Workload, machine: Machine, data: DataFacts | None, pace: float
) -> Range | None:
    if data is None:
        return None
    rows = math.ceil(0.85 * data.rows)
    micro = math.ceil(wish.epochs * rows / work.batch)
    width = min(work.length, 1.2 * data.mean_tokens)
    run = Run(
        shape=work.shape,
        method=work.method,
        tokens=micro * work.batch * width / work.gpus,
        micro_steps=micro,
        eval_tokens=6 * 0.15 * data.rows * width,
        checkpointing=work.checkpointing,
        device=work.device,
        trained_share=work.trained_share,
        width=width,
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
