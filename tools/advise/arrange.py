"""For one model and one method: the engine, batch and checkpointing that make it fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tools.advise import defaults
from tools.advise.clashing import refusal_of
from tools.advise.compatibility import Clash
from tools.advise.evidence import facts_of_method
from tools.advise.figures import MemoryEstimate
from tools.advise.memory import Workload, estimate_memory
from tools.advise.models import ModelInfo
from tools.advise.objectives import objective_of_kind
from tools.advise.situation import Situation
from tools.advise.spreading import Spread, spreads
from tools.history.spec import Device, Objective, Optimizer, Precision

_HOPELESS = 1.15
"""Where the least costly way needs this much more than there is, the others are not looked at."""
_FEW_RANK = 4
"""Rank where few trained parameters are asked for (LoRA, arXiv 2106.09685, §7.2)."""
_TRAINED_SHARE = {
    "classification": 0.15, "sentiment": 0.15, "token_classification": 0.5, "ner": 0.5, "qa": 0.4,
    "summarization": 0.4, "text": 1.0, "raw_text": 1.0, "language_modeling": 1.0,
}  # fmt: skip
"""Share of a row's tokens that are answers, where only the kind of data is known."""


@dataclass(frozen=True)
class Arrangement:
    """A way to run it that fits; rows are cut at `length`."""

    work: Workload
    length: int
    accumulation: int
    memory: MemoryEstimate
    available_gib: float
    refused_engines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Impossible:
    """Why no way was found."""

    reason: str
    need_gib: float = 0.0
    source: str = "memory estimate"


def arrange(situation: Situation, model: ModelInfo, method: str) -> Arrangement | Impossible:
    """Find the least costly arrangement that fits, or say what is in the way.

    Where rows have no room to spare, those of ordinary length still stay whole.
    """
    lengths = lengths_for(situation, model)
    found: Arrangement | Impossible = Impossible("has no length")
    for length in lengths:
        found = _arrange_at(situation, model, method, length)
        if isinstance(found, Arrangement) or not found.need_gib:
            break
    return found


def _arrange_at(
    situation: Situation, model: ModelInfo, method: str, length: int
) -> Arrangement | Impossible:
    device = "cuda" if situation.machine.gpus else "cpu"
    available = situation.machine.usable_gib(device)
    refused: list[str] = []
    sources: list[str] = []
    tight: Arrangement | None = None
    smallest: MemoryEstimate | None = None
    for spread, optimizer in _ways(situation, method, device):
        works, clash = _allowed(
            situation, _works(situation, model, method, spread, optimizer, length)
        )
        if clash:
            refused.append(
                f"does not go with {_partner(clash, spread)}: {clash.reason}; "
                f"what works: {clash.instead}"
            )
            sources.append(f"compatibility table: {clash.source} ({clash.versions})")
        if not works:
            continue
        least = estimate_memory(
            min(works, key=lambda way: (not way[0].checkpointing, way[0].batch))[0]
        )
        if least.high_gib > _HOPELESS * available:
            smallest = min(smallest or least, least, key=lambda m: m.high_gib)
            continue
        for work, accumulation in works:
            memory = estimate_memory(work)
            smallest = min(smallest or memory, memory, key=lambda m: m.high_gib)
            if memory.high_gib > available or _host_need(work) > situation.machine.memory_gib:
                continue
            found = Arrangement(work, length, accumulation, memory, available, tuple(refused))
            if memory.verdict(available) == "fits":
                return found
            if tight is None or memory.high_gib < tight.memory.high_gib:
                tight = found
    if tight:
        return tight
    if smallest is None:
        source = sources[0] if sources else "compatibility table"
        return Impossible("; ".join(refused) or "no engine allows it", source=source)
    place = "a card's" if device == "cuda" else "the machine's"
    return Impossible(
        f"needs up to {smallest.high_gib:.1f} GiB even at its smallest, and {available:.1f} of "
        f"{place} memory can be used",
        smallest.high_gib,
    )


def objective_for(situation: Situation) -> Objective:
    """Return what the data are trained with; a head for tags reaches no file of a text model."""
    usual = objective_of_kind(situation.data.kind)
    served = situation.target.partition("-")[0]
    if usual == "token_classification" and served in {"onnx", "gguf"}:
        return "prompt_completion"
    return usual


def lengths_for(situation: Situation, model: ModelInfo) -> list[int]:
    """Return the lengths to cut rows at, the roomiest first: a wish, or what the data ask for."""
    wished = situation.preferences.get("max_length")
    if wished:
        return [min(int(wished), model.context_length)]
    data = situation.data
    least = -(-max(16, min(data.p95_tokens, data.row_tokens)) // 32) * 32
    wanted = [data.row_tokens, min(least, data.row_tokens)]
    return list(dict.fromkeys(min(length, model.context_length) for length in wanted))


def _ways(situation: Situation, method: str, device: str) -> list[tuple[Spread, Optimizer]]:
    """Return the ways in the order of least loss; an 8-bit optimiser only where nothing else fits.

    It is for full tuning that was asked for, on cards that keep a whole copy: an adapter's state is
    small already.
    """
    ways = _spreads(situation, method, device)
    wished = situation.preferences.get("optimizer")
    found: list[tuple[Spread, Optimizer]] = [(spread, wished or "adamw") for spread in ways]
    asked = situation.preferences.get("method") == "full"
    if method == "full" and asked and device == "cuda" and not wished:
        found += [(spread, "adamw_8bit") for spread in ways if spread.engine in {"single", "ddp"}]
    return found


def _spreads(situation: Situation, method: str, device: str) -> list[Spread]:
    wished = situation.preferences.get("engine")
    return spreads(
        method=method,
        quantised=facts_of_method(method).quantised,
        device=device,
        cards=len(situation.machine.gpus),
        engine=str(wished) if wished else None,
    )


def _allowed(
    situation: Situation, ways: Iterator[tuple[Workload, int]]
) -> tuple[list[tuple[Workload, int]], Clash | None]:
    """Return the ways that nothing forbids; where none is left, what forbids them."""
    allowed, met = [], None
    for work, accumulation in ways:
        clash = refusal_of(work, target=situation.target)
        if clash is None:
            allowed.append((work, accumulation))
        met = met or clash
    return allowed, None if allowed else met


def _partner(clash: Clash, spread: Spread) -> str:
    """What the method does not go together with, in a word."""
    if "engine" in clash.when:
        return spread.engine
    named = [f"{name} {value}" for name, value in clash.when.items() if name != "method"]
    return " and ".join(named).replace("experts yes", "a mixture of experts") or "this run"


def _works(
    situation: Situation,
    model: ModelInfo,
    method: str,
    spread: Spread,
    optimizer: Optimizer,
    length: int,
) -> Iterator[tuple[Workload, int]]:
    preferences = situation.preferences
    device: Device = "cuda" if situation.machine.gpus else "cpu"
    base = Workload(
        shape=model.shape,
        method=method,
        objective=objective_for(situation),
        classes=situation.data.label_count,
        batch=1,
        length=min(length, situation.data.max_tokens or length),
        rank=int(preferences.get("rank") or rank_for(situation, model, method)),
        precision=precision_for(situation, method),
        device=device,
        optimizer=optimizer,
        engine=spread.engine,
        gpus=spread.processes,
        offload=spread.offload,
        trained_share=_TRAINED_SHARE.get(situation.data.kind, 0.75),
        dropout=defaults.dropout(situation.data.rows, model)[0],
    )
    effective = preferences.get("effective_batch") or _effective(situation, spread.processes)
    total = max(1, int(effective))
    wished = preferences.get("batch_size")
    sizes = [int(wished)] if wished else [total >> k for k in range(6) if total >> k]
    checkpointings = preferences.get("gradient_checkpointing")
    ways = [
        (checkpointing, batch)
        for checkpointing in ((False, True) if checkpointings is None else (bool(checkpointings),))
        for batch in sizes
        if checkpointing or batch >= min(4, sizes[0]) or checkpointings is not None
    ]
    if "memory" in situation.aims:
        ways.reverse()
    for checkpointing, batch in ways:
        accumulation = int(preferences.get("gradient_accumulation") or max(1, total // batch))
        work = replace(base, batch=batch, checkpointing=checkpointing, accumulates=accumulation > 1)
        yield work, accumulation


def _effective(situation: Situation, gpus: int) -> int:
    """Rows a step on one card: the effective batch is shared out over the cards."""
    return max(1, defaults.effective_batch(situation.data.rows) // gpus)


def rank_for(situation: Situation, model: ModelInfo, method: str) -> int:
    """Return the adapter's rank: rank stabilisation is what makes 64 worth while."""
    usual = 64 if method == "rslora" else defaults.rank(situation.data.rows, model)[0]
    return min(usual, _FEW_RANK) if "few_params" in situation.aims else usual


def precision_for(situation: Situation, method: str) -> Precision:
    """Return what to compute in; weights that are all trained would overflow in float16."""
    gpus = situation.machine.gpus
    if not gpus:
        return "float32"
    if all(gpu.bfloat16 for gpu in gpus):
        return "bfloat16"
    return "float32" if method == "full" else "float16"


def _host_need(work: Workload) -> float:
    """GiB of the machine's own memory that offloading takes."""
    if work.offload == "none":
        return 0.0
    state = 16.0 * work.trained_parameters / 2**30
    return state + 4.0
