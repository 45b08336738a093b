"""Fills in what the person left open: method, batch, length, rate; each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from tools import methods
from tools.advise import defaults, feasible, ledger
from tools.advise.clashing import clashes_of
from tools.advise.compatibility import Clash
from tools.advise.draft import Draft
from tools.advise.evidence import ENGINE_SOURCE, ENGINE_WORDS, facts_of_method
from tools.advise.figures import MemoryEstimate, Reason
from tools.advise.lengths import choose_max_length
from tools.advise.memory import Workload, estimate_memory
from tools.advise.models import ModelInfo
from tools.advise.objectives import choose_objective
from tools.advise.specifying import spec_of
from tools.advise.spreading import Spread, has_deepspeed, spreads
from tools.history.spec import Device, Precision, TrainingSpec

_PACKED = frozenset({"prompt_completion", "chat", "text"})


def choose(draft: Draft, *, memory_factor: float) -> tuple[TrainingSpec, MemoryEstimate]:
    """Choose a complete spec that fits, or refuse.

    Raises:
        Refused: By the gate `memory`, naming the nearest run that fits; by `preflight` where what
            is asked for does not go together.
    """
    device = feasible.choose_device(draft.request, draft.machine)
    available = draft.machine.usable_gib(device)
    base = _workload(draft, device)
    refused: list[Workload] = []
    met: Clash | None = None
    for work, accumulation, room in _candidates(draft, base, device):
        clash = _clash(draft, work)
        if clash:
            met = clash
            continue
        memory = ledger.corrected(estimate_memory(work), memory_factor)
        if memory.high_gib <= room * available:
            _explain_method(draft, work.method, [w.method for w in refused], memory, available)
            _explain_engine(draft, work)
            return spec_of(draft, work, accumulation), memory
        refused.append(work)
    if not refused and met:
        raise feasible.refuse_clash(met)
    wished_batch = draft.request.batch_size or 1
    last = _with(refused[-1], batch=wished_batch, checkpointing=True)
    raise feasible.refuse_memory(
        last, ledger.corrected(estimate_memory(last), memory_factor), available
    )


def _candidates(draft: Draft, base: Workload, device: str) -> Iterator[tuple[Workload, int, float]]:
    """Yield ways to run it, the best first, with the share of memory each may take."""
    request = draft.request
    for method in _methods(draft, device):
        kind = request.quantization or "none"
        quantised = kind != "none" or facts_of_method(method).quantised
        for spread in spreads(
            method=method, quantised=quantised, device=device, cards=len(draft.machine.gpus),
            engine=request.engine, processes=request.processes, offload=request.offload,
            zero=has_deepspeed(),
        ):  # fmt: skip
            for batch, accumulation, checkpointing, room in _batches(draft, spread):
                work = _with(
                    base,
                    method=method,
                    quantization=kind,
                    batch=batch,
                    checkpointing=checkpointing,
                    accumulates=accumulation > 1,
                    engine=spread.engine,
                    gpus=spread.processes,
                    offload=spread.offload,
                    fill=_fill(draft, base, method, batch),
                )
                yield work, accumulation, room


def _fill(draft: Draft, base: Workload, method: str, batch: int) -> float:
    """How full a batch of packed rows is; padded rows are all as long as the longest."""
    row = methods.method(method)
    packed = draft.request.batching in (None, "packed") and row.packs and row.kind == "weights"
    if not packed or base.objective not in _PACKED:
        return 1.0
    return draft.lengths.fill(batch, base.length, draft.rows)


def _clash(draft: Draft, work: Workload) -> Clash | None:
    """Return what of the compatibility table forbids a candidate; a risk is only told."""
    request = draft.request
    found = clashes_of(
        work,
        target=request.target or "hf",
        packing=request.batching == "packed",
        attention="sdpa" if request.attention in {None, "auto"} else str(request.attention),
        loss=request.loss or "cross_entropy",
    )
    refusals = [clash for clash in found if clash.level == "refuse"]
    risks = [clash for clash in found if clash.level == "warn"]
    for risk in risks:
        warning = f"{risk.reason[0].upper()}{risk.reason[1:]} ({risk.source})."
        if not refusals and warning not in draft.warnings:
            draft.warnings.append(warning)
    return refusals[0] if refusals else None


def _methods(draft: Draft, device: str) -> list[str]:
    if draft.request.method:
        return [draft.request.method]
    if draft.request.quantization not in (None, "none"):
        return ["qlora"]
    if feasible.quantisation_problem(draft.model, device):
        return ["lora"]
    return ["lora", "qlora"]


def _batches(draft: Draft, spread: Spread) -> Iterator[tuple[int, int, bool, float]]:
    """Yield micro-batch, accumulation, checkpointing, and the share of memory to stay within."""
    request = draft.request
    wished = request.gradient_checkpointing
    total = int(_card_batch(draft.model) or defaults.effective_batch(draft.rows))
    total = max(1, total // spread.processes)
    if request.batch_size:
        pairs = [(request.batch_size, request.gradient_accumulation or 1)]
    elif request.gradient_accumulation:
        micro = max(1, total // request.gradient_accumulation)
        pairs = [(micro >> k, request.gradient_accumulation) for k in range(6) if micro >> k]
    else:
        pairs = [(total >> k, 2**k) for k in range(6) if total >> k]
    comfortable = [pair for pair in pairs if pair[0] >= min(4, pairs[0][0])]
    rest = [pair for pair in pairs if pair not in comfortable]
    for checkpointing in (False, True) if wished is None else (wished,):
        yield from ((*pair, checkpointing, 0.9) for pair in comfortable)
    hard = bool(wished) if wished is not None else True
    yield from ((*pair, hard, 0.9) for pair in rest)
    yield (*pairs[-1], hard, 1.0)


def _card_batch(model: ModelInfo) -> int | None:
    advised = model.recommended.get("batch_size") or model.recommended.get("micro_batch")
    return int(advised) if advised else None


def _workload(draft: Draft, device: str) -> Workload:
    request, shape = draft.request, draft.model.shape
    length = request.max_length or choose_max_length(
        draft.lengths, shape.context, splits=draft.manifest.objective == "text"
    )
    if request.max_length is None:
        kind = "counted with its tokenizer" if draft.lengths.measured else "judged from characters"
        longest = f"the longest row has {draft.lengths.longest} tokens, {kind}"
        draft.because(Reason(f"max_length {length}", longest, "the data"))
    rank = 16
    if request.method is None or facts_of_method(request.method).takes_rank:
        rank = draft.pick("rank", defaults.rank(draft.rows, draft.model))
    objective, classes = choose_objective(request.objective, draft.manifest)
    return Workload(
        shape=shape,
        method=request.method or "lora",
        objective=objective,
        classes=classes,
        optimizer=request.optimizer or "adamw",
        attention="eager" if request.attention == "eager" else "fused",
        batch=1,
        length=min(length, max(draft.lengths.longest, 8)),
        rank=rank,
        targets=request.target_modules or "all-linear",
        precision=_precision(draft, device),
        device=cast(Device, device),
        trained_share=draft.lengths.answer_share(length),
        dropout=_dropout(draft),
    )


def _dropout(draft: Draft) -> float:
    wished = draft.request.dropout
    return defaults.dropout(draft.rows, draft.model)[0] if wished is None else wished


def _with(work: Workload, **changes: Any) -> Workload:
    return Workload(**{**work.__dict__, **changes})


def _precision(draft: Draft, device: str) -> Precision:
    if device == "cpu":
        draft.because(Reason("float32", "exact, and what CPUs compute best", "measured here"))
        return "float32"
    if draft.machine.gpus and draft.machine.gpus[0].bfloat16:
        draft.because(Reason("bfloat16", "half the memory, and the card has it", "mixed precision"))
        return "bfloat16"
    draft.because(Reason("float16", "the card has no bfloat16", "mixed precision"))
    return "float16"


def _explain_method(
    draft: Draft, method: str, refused: list[str], memory: MemoryEstimate, available: float
) -> None:
    if draft.request.method:
        return
    if draft.request.quantization not in (None, "none"):
        reason = "an adapter beside the quantised base that you asked for"
        draft.because(Reason("qlora", reason, "QLoRA, arXiv 2305.14314"))
    elif "lora" in refused:
        reason = (
            f"LoRA over the full-precision base would not fit in {available:.1f} GiB; "
            f"over a 4-bit base it does (at most {memory.high_gib:.1f})"
        )
        draft.because(Reason("qlora", reason, "matrix row memory: QLoRA yes in both revisions"))
    else:
        reason = "close to full fine-tuning in quality with a fraction of its memory, and it fits"
        draft.because(Reason("lora", reason, "matrix rows domain and nlp: LoRA yes"))


def _explain_engine(draft: Draft, work: Workload) -> None:
    if work.gpus > 1:
        asked = "you asked for it; " if draft.request.engine else ""
        words = f"{work.engine} over {work.gpus} processes"
        draft.because(Reason(words, f"{asked}{ENGINE_WORDS[work.engine]}", ENGINE_SOURCE))
