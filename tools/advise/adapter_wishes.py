"""Wishes about the method and its adapter that cannot be honoured, told before any data is read."""

from __future__ import annotations

import json
from pathlib import Path

from tools import methods
from tools.advise.models import ModelInfo
from tools.advise.wishes import PlanRequest
from tools.errors import BadInput

Problem = tuple[str, str] | None
"""What does not go, and the next step."""
_ADAPTER_WISHES = ("rank", "alpha", "dropout", "target_modules")
_FACTORED = frozenset({"LORA", "ADALORA"})
"""PEFT types whose rank is that of a product of two matrices, so that the matrix bounds it."""
_HEADER_BYTES = 100_000_000
_ALWAYS_THERE = frozenset({"lm_head", "embed_tokens", "score", "classifier"})
"""Modules that the weights need not hold: a tied head, the head of a classifier, and the embedding,
which is found under this name whatever the family calls it."""


def adapter_problems(request: PlanRequest, model: ModelInfo) -> list[Problem]:
    """Return what contradicts the method or its adapter; None stands for no problem."""
    return [
        _adapter_wish_for_full(request),
        _quantised_weights(request),
        _not_of_method(request),
        _unknown_modules(request, model),
        _unknown_saved(request, model),
        _rank_too_high(request, model),
    ]


def _adapter_wish_for_full(request: PlanRequest) -> Problem:
    wished = [name for name in _ADAPTER_WISHES if getattr(request, name) is not None]
    if request.method is None:
        return None
    chosen = methods.method(request.method)
    if chosen.peft:
        wished = [n for n in wished if n in {"rank", "alpha", "dropout"} and not chosen.takes(n)]
    if not wished:
        return None
    words = " and ".join(name.replace("_", " ") for name in wished)
    title = f"{chosen.title[0].upper()}{chosen.title[1:]}"
    reason = "has" if chosen.peft else "trains every weight, so it has"
    return f"{title} {reason} no {words}.", f"Leave {words} out, or choose the method lora."


def _quantised_weights(request: PlanRequest) -> Problem:
    if request.method != "full" or request.quantization in (None, "none"):
        return None
    return (
        "Full fine-tuning cannot train quantised weights.",
        "Choose the method qlora, or leave the quantisation out.",
    )


def _not_of_method(request: PlanRequest) -> Problem:
    """What the method's own row says it cannot do."""
    chosen = methods.method(request.method or "lora")
    start = request.initialisation
    if start not in (None, "default", *chosen.starts):
        known = ", ".join(("default", *chosen.starts))
        return f"{chosen.title} has no initialisation {start!r}.", f"It knows: {known}."
    if chosen.peft and not chosen.quantises and request.quantization not in (None, "none"):
        return (
            f"{chosen.title} cannot be trained beside a quantised base.",
            "Leave the quantisation out, or choose the method qlora.",
        )
    if request.batching == "packed" and not chosen.packs:
        return (
            f"Rows cannot share one sequence with {chosen.title}.",
            "Leave the batching out.",
        )
    return None


def _unknown_modules(request: PlanRequest, model: ModelInfo) -> Problem:
    if request.target_modules is None:
        return None
    try:
        model.shape.targets(request.target_modules)
    except BadInput as error:
        return error.problem, error.hint
    return None


def _unknown_saved(request: PlanRequest, model: ModelInfo) -> Problem:
    """A module to save that the model lacks would be left out in silence."""
    wanted = request.modules_to_save or ()
    known = module_names(model.path) if wanted and model.path else frozenset()
    unknown = [name for name in wanted if name.rpartition(".")[2] not in known | _ALWAYS_THERE]
    if not known or not unknown:
        return None
    shown = ", ".join(sorted(known | {"lm_head"}))
    return f"{model.name} has no module called {unknown[0]} to train whole.", f"It has: {shown}."


def _rank_too_high(request: PlanRequest, model: ModelInfo) -> Problem:
    """Beyond the smaller side of a matrix, further rank adds weights and nothing to learn with."""
    row = methods.method(request.method or "lora")
    if request.rank is None or row.peft not in _FACTORED:
        return None
    try:
        tuned = model.shape.targets(request.target_modules or "all-linear")
    except BadInput:
        return None
    most = max((min(line.inputs, line.outputs) for line in tuned), default=request.rank)
    if request.rank <= most:
        return None
    return (
        f"Rank {request.rank} is more than the matrices of {model.name} can take: {most} is full.",
        f"Choose rank {max(1, most // 4)} or so, at most {most}; or the method full.",
    )


def module_names(folder: Path) -> frozenset[str]:
    """Return the last names of the modules that a model folder has weights of, without numbers."""
    names: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if not 0 < size <= _HEADER_BYTES:
                continue
            try:
                header = json.loads(stream.read(size))
            except ValueError:
                continue
        for parameter in header:
            module = parameter.rpartition(".")[0].rpartition(".")[2]
            if module and not module.isdigit():
                names.add(module)
    return frozenset(names)
