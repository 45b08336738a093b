"""The models that are compared: loaded when they are needed, one at a time, and told apart by name.

LoRA beside weights in float32 is folded into them, which asks for half the work and changes scores
in the sixth figure at most. Other adapters are switched off for the base where that gives the very
base. A whole tuned model, a folded one, and an adapter that began by changing the base's weights
make room for the base instead.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from tools.history.spec import TrainingSpec, digest
from tools.methods import methods, quantisation_of
from tools.work.load import load_dtype, load_model, model_source
from tools.work.report import Job
from tools.work.scorebook import SCORING_VERSION
from tools.work.template import template_hash

_SHARED = ("embed", "lm_head", "wte")
_WEIGHTS = ("*.safetensors", "*.json")


class Contenders:
    """A tuned model and its untouched base."""

    def __init__(self, job: Job, spec: TrainingSpec, result: Path) -> None:
        self._job = job
        self._spec = spec
        self._result = result
        self._model: Any = None
        self._is_base = False
        self._switched_off = ExitStack()

    def tuned(self) -> Any:
        """Return the tuned model, ready to be asked."""
        if self._model is None or (self._is_base and not self._has_switch()):
            self.leave()
            model = load_model(self._job, self._spec, adapter=self._result)
            self._model = model.merge_and_unload() if folds(self._spec, model) else model
        self._switched_off.close()
        self._is_base = False
        return self._model

    def base(self) -> Any:
        """Return the untouched base, ready to be asked."""
        if self._is_base:
            return self._model
        if self._model is not None and self._has_switch():
            self._switched_off.enter_context(self._model.disable_adapter())
        else:
            # The tuned weights go first: two whole models need not fit at once.
            self.leave()
            self._model = load_model(self._job, self._spec)
        self._is_base = True
        return self._model

    def leave(self) -> None:
        """Let go of whatever is loaded."""
        self._switched_off.close()
        self._model = None
        self._is_base = False

    def _has_switch(self) -> bool:
        # Such starts (PiSSA and its kin) move a part of the base's weights into the adapter.
        return hasattr(self._model, "disable_adapter") and self._spec.initialisation == "default"


def folds(spec: TrainingSpec, model: Any) -> bool:
    """Return whether an adapter can be added to its base's weights without loss.

    LoRA only, in float32, and not on matrices that input and output share.
    """
    targets = (
        {spec.target_modules} if isinstance(spec.target_modules, str) else set(spec.target_modules)
    )
    shared = [name for name in targets if any(part in name for part in _SHARED)]
    return (
        hasattr(model, "merge_and_unload")
        and methods()[spec.method].peft == "LORA"
        and load_dtype(spec) is torch.float32
        and quantisation_of(spec.method, spec.quantization) == "none"
        and not shared
        and not spec.modules_to_save
    )


def base_identity(spec: TrainingSpec) -> dict[str, Any]:
    """Return what tells one base model, as it is loaded, from another."""
    source = model_source(spec)
    folder = Path(source)
    return {
        "model": _content(folder) if folder.is_dir() else [source, spec.model_revision],
        "precision": str(load_dtype(spec)),
        "quantization": quantisation_of(spec.method, spec.quantization),
        "device": spec.device,
    }


def key_of(spec: TrainingSpec, tokenizer: Any, asked: dict[str, Any], result: Path | None) -> str:
    """Return the name of one model's scores on one set of rows.

    Args:
        asked: What the model is asked: rows, labels, lengths.
        result: Folder of the tuned weights; None for the untouched base.
    """
    return digest(
        {
            "version": SCORING_VERSION,
            "base": base_identity(spec),
            "tuned": _content(result) if result else None,
            "template": template_hash(tokenizer),
            "tokens": [len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id],
            "asked": asked,
        }
    )


def _content(folder: Path) -> list[list[Any]]:
    # Sizes and times stand for gigabytes that need not be read to know that nothing changed.
    files = sorted(file for pattern in _WEIGHTS for file in folder.glob(pattern))
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
