"""Lists base models and answers questions."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from tools.advise import guide
from tools.advise.candidates import licence_problem, target_problem
from tools.advise.figures import Verdict
from tools.advise.hardware import Machine
from tools.advise.hub import cached_config
from tools.advise.listings import AnswerReport, ModelShown, ModelsReport
from tools.advise.machine_asked import machine_of
from tools.advise.memory import Workload, estimate_memory
from tools.advise.models import STARTER, ModelInfo, catalogue, from_catalogue, resolve_model
from tools.context import Context
from tools.errors import Unavailable

_LENGTH = 512


def answer_to(question: str) -> AnswerReport:
    """Answer from the guide and the matrix."""
    passages = guide.answer(question)
    return AnswerReport(
        question=question,
        known=bool(passages),
        passages=[
            {"title": p.title, "text": p.text, "place": p.place, "source": p.source}
            for p in passages
        ],
        topics=guide.topics(),
    )


def models_for(
    ctx: Context,
    *,
    search: str | None,
    licence: str | None,
    target: str | None,
    memory_gb: float | None,
    hardware: str | None,
    fits: bool,
    largest_b: float | None,
    limit: int,
) -> ModelsReport:
    """List models that meet the needs, with what tuning them takes on the machine."""
    machine = machine_of(ctx, hardware=hardware, memory_gb=memory_gb)
    shown = []
    for model, source in _all_models(ctx):
        if search and search.lower() not in f"{model.name} {model.licence}".lower():
            continue
        if licence_problem(model, licence or "") or target_problem(model, target or "hf"):
            continue
        if largest_b is not None and model.parameters > 1e9 * largest_b:
            continue
        entry = _shown(ctx, model, source, machine)
        if not fits or entry.fits != "does not fit":
            shown.append(entry)
    shown.sort(key=lambda m: (m.name != STARTER, m.fits == "does not fit", m.parameters_b))
    return ModelsReport(models=shown[:limit], hardware=machine.summary(), matching=len(shown))


def _all_models(ctx: Context) -> list[tuple[ModelInfo, str]]:
    models: list[tuple[ModelInfo, str]] = []
    with suppress(Unavailable):  # an installation without the starter still lists the rest
        models.append((resolve_model(ctx, STARTER, needs_weights=False), "ships with Luthier"))
    return models + [(from_catalogue(entry), str(entry["source"])) for entry in catalogue()]


def _shown(ctx: Context, model: ModelInfo, source: str, machine: Machine) -> ModelShown:
    device: Any = "cuda" if machine.gpus else "cpu"
    work = Workload(
        shape=model.shape,
        method="lora",
        batch=1,
        length=min(_LENGTH, model.context_length),
        precision="bfloat16" if machine.gpus else "float32",
        checkpointing=True,
        device=device,
    )
    available = machine.usable_gib(device)
    lora, qlora = (estimate_memory(replace(work, method=m)) for m in ("lora", "qlora"))
    best: Verdict = min(
        (lora.verdict(available), qlora.verdict(available)),
        key=("fits", "tight", "does not fit").index,
    )
    return ModelShown(
        name=model.name,
        parameters_b=round(model.billions, 4),
        context_length=model.context_length,
        licence=model.licence,
        commercial=model.commercial or ("yes" if model.source == "starter" else ""),
        gated=model.gated,
        chat_template=model.has_chat_template,
        onnx=model.onnx,
        here=model.path is not None or cached_config(model.name) is not None,
        lora_gib=round(lora.high_gib, 1),
        qlora_gib=round(qlora.high_gib, 1),
        fits=best,
        source=source,
    )
