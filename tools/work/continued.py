"""Learning on from what an earlier run learned: another job, with that run as its parent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from tools.errors import Refused
from tools.history.spec import TrainingSpec
from tools.methods import method
from tools.work.report import Job


def take_over(job: Job, spec: TrainingSpec, model: Any) -> None:
    """Put the tuned weights of the run that this one continues into a fresh trainable model.

    Raises:
        Refused: They are gone, or do not fit this model and adapter.
    """
    if spec.continues is None:
        return
    whole = not method(spec.method).peft
    file = _weights(job, spec.continues, "model" if whole else "adapter")
    try:
        weights = load_file(file)
        if whole:
            missing = set(weights) - set(model.state_dict())
            model.load_state_dict(weights, strict=False)
        else:
            from peft import set_peft_model_state_dict  # noqa: PLC0415 - full tuning has no PEFT

            missing = set(set_peft_model_state_dict(model, weights).unexpected_keys)
    except RuntimeError as error:
        raise _does_not_fit(spec) from error
    if missing:
        raise _does_not_fit(spec)


def _weights(job: Job, parent: str, kind: str) -> Path:
    artifacts = job.store.jobs.get(parent).artifacts
    names = {"model": "model.safetensors", "adapter": "adapter_model.safetensors"}
    file = job.settings.home / str(artifacts.get(kind, "")) / names[kind]
    if not artifacts.get(kind) or not file.is_file():
        raise Refused(
            f"The tuned weights of {parent} are no longer there.",
            hint="Start a new run that continues nothing.",
            refused_by="preflight",
        )
    return file


def _does_not_fit(spec: TrainingSpec) -> Refused:
    return Refused(
        f"The tuned weights of {spec.continues} do not fit this model and method.",
        hint="Keep model, method, rank and target modules as they were, or start anew.",
        refused_by="preflight",
    )
