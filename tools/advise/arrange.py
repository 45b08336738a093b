"""For one model and one method: the engine, batch and checkpointing that make it fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tools.advise import defaults
from tools.advise.compatibility import clashes
from tools.advise.evidence import facts_of_method
from tools.advise.figures import MemoryEstimate
from tools.advise.memory import Workload, estimate_memory
from tools.advise.models import ModelInfo
from tools.advise.objectives import objective_of_kind
from tools.advise.situation import Situation
from tools.advise.spreading import Spread, spreads
from tools.history.spec import Device, Precision

_CONTEXTS = 32
_TRAINED_SHARE = {
    "classification": 0.15, "sentiment": 0.15, "token_classification": 0.5, "ner": 0.5, "qa": 0.4,
    "summarization": 0.4, "text": 1.0, "raw_text": 1.0, "language_modeling": 1.0,
}  # fmt: skip
"""Share of a row's tokens that are answers, where only the kind of data is known."""


@dataclass(frozen=True)
class Arrangement:
    """A way to run it that fits."""

    work: Workload
    accumulation: int
    memory: MemoryEstimate
    available_gib: float
    refused_engines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Impossible:
    """Why no way was found."""

    reason: str
    need_gib: float = 0.0


def arrange(situation: Situation, model: ModelInfo, method: str) -> Arrangement | Impossible:
    """Find the least costly arrangement that fits, or say what is in the way."""
    device = "cuda" if situation.machine.gpus else "cpu"
    available = situation.machine.usable_gib(device)
    refused: list[str] = []
    tight: Arrangement | None = None
    smallest: MemoryEstimate | None = None
    for spread in _spreads(situation, method, device):
        clash = _clash(method, spread.engine, situation.target, device)
        if clash:
            refused.append(f"{spread.engine}: {clash}")
            continue
        for work, accumulation in _works(situation, model, method, spread):
            memory = estimate_memory(work)
            smallest = min(smallest or memory, memory, key=lambda m: m.high_gib)
            if memory.high_gib > available or _host_need(work) > situation.machine.memory_gib:
                continue
            found = Arrangement(work, accumulation, memory, available, tuple(refused))
            if memory.verdict(available) == "fits":
                return found
            if tight is None or memory.high_gib < tight.memory.high_gib:
                tight = found
    if tight:
        return tight
    if smallest is None:
        return Impossible("; ".join(refused) or "no engine allows it")
    place = "a card's" if device == "cuda" else "the machine's"
    return Impossible(
        f"needs up to {smallest.high_gib:.1f} GiB even at its smallest, and {available:.1f} of "
        f"{place} memory can be used",
        smallest.high_gib,
    )


def chosen_length(situation: Situation, model: ModelInfo) -> int:
    """Return the length to cut rows at."""
    wished = situation.preferences.get("max_length")
    if wished:
        return int(wished)
    data = situation.data
    longest = data.max_tokens or int(1.25 * data.p95_tokens)
    if longest > max(512, 2 * data.p95_tokens):
        longest = data.p95_tokens
    rounded = -(-max(16, longest) // _CONTEXTS) * _CONTEXTS
    return min(rounded, model.context_length)


def _spreads(situation: Situation, method: str, device: str) -> list[Spread]:
    wished = situation.preferences.get("engine")
    return spreads(
        method=method,
        quantised=facts_of_method(method).quantised,
        device=device,
        cards=len(situation.machine.gpus),
        engine=str(wished) if wished else None,
    )


def _clash(method: str, engine: str, target: str, device: str) -> str | None:
    kind = target.partition("-")[0]
    found = clashes(
        method=method, engine=engine, target=kind, device=device,
        quantized="yes" if facts_of_method(method).quantised else "no",
    )  # fmt: skip
    refusals = [clash for clash in found if clash.level == "refuse"]
    return refusals[0].reason if refusals else None


def _works(
    situation: Situation, model: ModelInfo, method: str, spread: Spread
) -> Iterator[tuple[Workload, int]]:
    preferences = situation.preferences
    device: Device = "cuda" if situation.machine.gpus else "cpu"
    length = chosen_length(situation, model)
    base = Workload(
        shape=model.shape,
        method=method,
        objective=objective_of_kind(situation.data.kind),
        classes=situation.data.label_count,
        batch=1,
        length=min(length, situation.data.max_tokens or length),
        rank=int(preferences.get("rank") or rank_for(situation, model, method)),
        precision=precision_for(situation),
        device=device,
        engine=spread.engine,
        gpus=spread.processes,
        offload=spread.offload,
        trained_share=_TRAINED_SHARE.get(situation.data.kind, 0.75),
    )
    effective = preferences.get("effective_batch") or _effective(situation, spread.processes)
    total = max(1, int(effective))
    wished = preferences.get("batch_size")
    sizes = [int(wished)] if wished else [total >> k for k in range(6) if total >> k]
    checkpointings = preferences.get("gradient_checkpointing")
    for checkpointing in (False, True) if checkpointings is None else (bool(checkpointings),):
        for batch in sizes:
            if not checkpointing and batch < min(4, sizes[0]) and checkpointings is None:
                continue
            accumulation = int(preferences.get("gradient_accumulation") or max(1, total // batch))
            work = replace(
                base, batch=batch, checkpointing=checkpointing, accumulates=accumulation > 1
            )
            yield work, accumulation


def _effective(situation: Situation, gpus: int) -> int:
    """Rows a step on one card: the effective batch is shared out over the cards."""
    return max(1, defaults.effective_batch(situation.data.rows) // gpus)


def rank_for(situation: Situation, model: ModelInfo, method: str) -> int:
    """Return the adapter's rank: rank stabilisation is what makes 64 worth while."""
    return 64 if method == "rslora" else defaults.rank(situation.data.rows, model)[0]


def precision_for(situation: Situation) -> Precision:
    """Return what to compute in."""
    gpus = situation.machine.gpus
    if not gpus:
        return "float32"
    return "bfloat16" if all(gpu.bfloat16 for gpu in gpus) else "float16"


def _host_need(work: Workload) -> float:
    """GiB of the machine's own memory that offloading takes."""
    if work.offload == "none":
        return 0.0
    state = 16.0 * work.trained_parameters / 2**30
    return state + 4.0
