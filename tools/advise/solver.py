"""What is the most that fits: the longest context, the largest batch, the biggest model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tools.advise.clashing import refusal_of
from tools.advise.memory import Workload, estimate_memory
from tools.advise.models import ModelInfo, catalogue, from_catalogue


def largest(low: int, high: int, fits: Callable[[int], bool]) -> int | None:
    """Return the largest number in a range that fits, by bisection; None where even `low` fails."""
    if not fits(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def fits(work: Workload, available_gib: float) -> bool:
    """Return whether the high end of the estimate stays within what is there."""
    return estimate_memory(work).high_gib <= available_gib


def solve(wanted: str, work: Workload, model: ModelInfo, available_gib: float) -> dict[str, Any]:
    """Find the largest value that fits and say it in words."""
    if wanted == "longest_context":
        found = largest(
            8, model.context_length, lambda n: fits(replace(work, length=n), available_gib)
        )
        name, unit = "max_length", "tokens"
    elif wanted == "largest_batch":
        found = largest(1, 4096, lambda n: fits(replace(work, batch=n), available_gib))
        name, unit = "batch_size", "rows"
    else:
        return _biggest_model(work, available_gib)
    if found is None:
        least = replace(work, length=8) if name == "max_length" else replace(work, batch=1)
        need = estimate_memory(least).high_gib
        text = (
            f"No {name} fits: even {8 if name == 'max_length' else 1} needs up to {need:.1f} GiB, "
            f"and {available_gib:.1f} can be used. {what_fits(work, available_gib)}"
        )
        return {"of": name, "value": None, "text": text}
    at_limit = wanted == "longest_context" and found == model.context_length
    tail = ", the most the model can read" if at_limit else ""
    return {
        "of": name,
        "value": found,
        "text": f"The largest {name} that fits: {found} {unit}{tail}.",
    }


def at(work: Workload, model: ModelInfo, solution: dict[str, Any]) -> tuple[Workload, ModelInfo]:
    """Return the step and the model of a solution, so that its figures can be shown."""
    value = solution["value"]
    if solution["of"] == "max_length":
        return replace(work, length=int(value)), model
    if solution["of"] == "batch_size":
        return replace(work, batch=int(value)), model
    found = next(m for m in map(from_catalogue, catalogue()) if m.name == value)
    return replace(work, shape=found.shape, length=min(work.length, found.context_length)), found


def _biggest_model(work: Workload, available_gib: float) -> dict[str, Any]:
    models = sorted((from_catalogue(entry) for entry in catalogue()), key=lambda m: -m.parameters)
    for model in models:
        if refusal_of(replace(work, shape=model.shape)):
            continue
        length = min(work.length, model.context_length)
        if fits(replace(work, shape=model.shape, length=length), available_gib):
            text = f"The biggest listed model that fits: {model.name} ({model.size})."
            return {
                "of": "model",
                "value": model.name,
                "parameters": model.parameters,
                "text": text,
            }
    text = f"No listed model fits: even the smallest needs more than {available_gib:.1f} GiB."
    return {"of": "model", "value": None, "text": text}


def _fewer_processes(work: Workload) -> list[tuple[str, Workload]]:
    """Processes on a CPU share its memory, so fewer of them take less."""
    counts = [work.gpus // 2**n for n in range(1, 8)] if work.device == "cpu" else []
    return [(f"{n} processes", replace(work, gpus=n)) for n in counts if n > 1]


def what_fits(work: Workload, available_gib: float) -> str:
    """Name the smallest change that makes a workload fit."""
    base = replace(work, checkpointing=True, batch=1)
    steps: list[tuple[str, Workload]] = [
        *_fewer_processes(work),
        ("gradient checkpointing", replace(work, checkpointing=True)),
        ("gradient checkpointing and batch_size 1", base),
    ]
    for length in (work.length // 2, work.length // 4):
        if length >= 128:
            steps.append((f"batch_size 1 and max_length {length}", replace(base, length=length)))
    if work.method not in {"lora", "qlora"}:
        steps.append(("the method lora with batch_size 1", replace(base, method="lora")))
    if work.method != "qlora":
        steps.append(("the method qlora with batch_size 1", replace(base, method="qlora")))
    for words, candidate in steps:
        if refusal_of(candidate):
            continue
        memory = estimate_memory(candidate)
        if memory.high_gib <= available_gib:
            return f"It fits with {words} (at most {memory.high_gib:.1f} GiB)."
    found = _biggest_model(replace(base, method="qlora", targets="all-linear"), available_gib)
    if found["value"] is None:
        return "Nothing of this kind fits; a larger machine is needed."
    return f"With this memory the biggest listed model for QLoRA is {found['value']}."
