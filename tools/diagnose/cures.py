"""A cure for every cause: what to change in the plan, why, and the effect to expect.

The order and choice for the four troubles that the mission names (overfitting, memory, slowness,
poor results) are those of its own table: for overfitting rank, alpha, dropout 0.1, weight decay
0.01, early stopping, more data; for memory checkpointing, accumulation (batch 1 × 16), LoRA or
QLoRA, more devices; for slowness loader workers, mixed precision, batching, more devices, fused
optimiser; for poor results data and format first, then rate and duration, then the base model.
"""

from __future__ import annotations

from collections.abc import Callable

from tools.diagnose import cures_learning, cures_machine, cures_rows
from tools.diagnose.evidence import Run
from tools.diagnose.report import Code, Cure


def cure_of(run: Run, code: Code) -> Cure:
    """Return the cure of a cause for this very run."""
    return _CURES[code](run)


def _outside(predicted: str, why: str, todo: str) -> Callable[[Run], Cure]:
    def cure(run: Run) -> Cure:
        return Cure(predicted=predicted, why=why, todo=todo)

    return cure


_CURES: dict[Code, Callable[[Run], Cure]] = {
    "overfitting": cures_learning.overfitting,
    "underfitting": cures_learning.underfitting,
    "lr_too_high": cures_learning.lower_rate,
    "divergence": cures_learning.lower_rate,
    "lr_too_low": cures_learning.raise_rate,
    "nan_loss": cures_learning.nan,
    "zero_loss": cures_learning.zero,
    "constant_loss": cures_learning.constant,
    "empty_mask": cures_rows.mask,
    "wrong_mask": cures_rows.mask,
    "untrained_stop": cures_rows.stop,
    "pad_eos_confusion": cures_rows.pad,
    "template_mismatch": cures_rows.template,
    "truncation": cures_rows.truncation,
    "label_noise": cures_learning.noise,
    "leakage": cures_learning.leakage,
    "class_collapse": cures_learning.collapse,
    "forgetting": cures_learning.forgetting,
    "eval_shift": cures_learning.shift,
    "oom_gpu": cures_machine.memory,
    "oom_ram": cures_machine.memory,
    "oom_eval": cures_machine.oom_eval,
    "oom_checkpoint": cures_machine.oom_checkpoint,
    "memory_growth": cures_machine.growth,
    "fragmentation": cures_machine.fragments,
    "padding_waste": cures_machine.padding,
    "loader_bound": cures_machine.loader,
    "tokenizer_bound": cures_machine.tokenizer,
    "no_mixed_precision": cures_machine.mixed,
    "eval_dominates": cures_machine.less_evaluation,
    "tiny_batch": cures_machine.bigger_batch,
    "disk_full": _outside(
        "The run can go on from its last checkpoint.",
        "Checkpoints, caches and exports fill a disk; old ones can go.",
        "Free some space (`luthier forget JOB` deletes a run's files), then `luthier resume JOB`.",
    ),
    "bad_checkpoint": _outside(
        "The run goes on from the newest checkpoint that is whole.",
        "A file that was cut off while being written cannot be read back.",
        "Resume from an earlier checkpoint (`luthier resume JOB` takes the newest valid one), or "
        "start again; check that the disk was not full.",
    ),
    "adapter_not_applied": _outside(
        "The tuned model's answers should differ from its base's.",
        "An adapter fits only the base it was trained on: same model, same module names.",
        "Load the adapter onto the very base it was trained on, and check the names of its target "
        "modules; train again if they do not match.",
    ),
    "merge_loss": cures_machine.exported,
    "quantisation_loss": cures_machine.quantised,
    "gated_model": _outside(
        "The download should start.",
        "The owners ask everyone to accept a licence first.",
        "Accept the licence on the model's page, set HF_TOKEN, or choose an open model "
        "(`luthier models`).",
    ),
    "driver_mismatch": _outside(
        "`luthier doctor` should pass its training step.",
        "PyTorch is built for one CUDA version, and that needs a driver at least as new.",
        "Update the NVIDIA driver, or install the PyTorch build for the driver that is there; "
        "`luthier doctor` names both.",
    ),
}
