"""In which numbers a step computes: the same for the run, its validation and its probe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from tools.history.spec import TrainingSpec
from tools.work.load import DTYPES


@contextmanager
def computing(spec: TrainingSpec, model: Any) -> Iterator[None]:
    """Run a forward pass as the trainer does: in the plan's 16-bit type where it names one.

    A probe in other numbers would measure another run's memory.
    """
    half = spec.precision != "float32"
    with inputs_as_they_are(spec, model), torch.autocast(
        spec.device, DTYPES[spec.precision] if half else None, enabled=half
    ):  # fmt: skip
        yield


def inputs_as_they_are(spec: TrainingSpec, model: Any) -> AbstractContextManager[Any]:
    """Let LoRA take its inputs as they are; autocast sees to their type.

    PEFT raises every input to the float32 of the adapter, and autocast lowers it again: two
    kernels a matrix that change nothing, where launching kernels is what a step waits for. The
    backward pass belongs inside as well: with checkpointing it computes layers again.
    """
    config = getattr(model, "active_peft_config", None)
    lora = config is not None and config.peft_type == "LORA"
    if spec.precision == "float32" or not lora:
        return nullcontext()
    from peft.helpers import disable_input_dtype_casting  # noqa: PLC0415 - only where it is used

    found: AbstractContextManager[Any] = disable_input_dtype_casting(model)
    return found
