"""The names that other tools give to what our events and settings call otherwise."""

from __future__ import annotations

import math
from typing import Any

from tools.errors import BadInput

_METRIC_NAMES = {
    "train_loss": "loss",
    "training_loss": "loss",
    "train/loss": "loss",
    "eval/loss": "eval_loss",
    "val_loss": "eval_loss",
    "valid_loss": "eval_loss",
    "validation_loss": "eval_loss",
    "val/loss": "eval_loss",
    "lr": "learning_rate",
    "train/learning_rate": "learning_rate",
    "train/grad_norm": "grad_norm",
    "grad_norm": "grad_norm",
    "global_step": "step",
    "train/global_step": "step",
    "iter": "step",
    "iteration": "step",
    "train/epoch": "epoch",
    "eval_runtime": "eval_s",
    "memory(gib)": "memory_gib",
    "eval_acc": "eval_accuracy",
}
_SPEC_NAMES = {
    "per_device_train_batch_size": "batch_size",
    "micro_batch_size": "batch_size",
    "train_batch_size": "batch_size",
    "gradient_accumulation_steps": "gradient_accumulation",
    "num_train_epochs": "epochs",
    "num_epochs": "epochs",
    "lora_r": "rank",
    "lora_rank": "rank",
    "r": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "max_seq_length": "max_length",
    "max_seq_len": "max_length",
    "sequence_len": "max_length",
    "cutoff_len": "max_length",
    "lr": "learning_rate",
    "lr_scheduler_type": "lr_scheduler",
    "model_name_or_path": "model",
    "base_model": "model",
    "model_name": "model",
    "finetuning_type": "method",
    "adapter": "method",
    "dataloader_num_workers": "loader_workers",
    "num_labels": "labels_count",
}
_METRIC_FIELDS = frozenset(
    [
        "step",
        "epoch",
        "loss",
        "eval_loss",
        "learning_rate",
        "grad_norm",
        "tokens_per_s",
        "memory_gib",
        "eval_accuracy",
        "eval_s",
        "step_s",
        "padding_share",
        "data_wait_share",
        "memory_reserved_gib",
        "memory_limit_gib",
        "gpu_utilization",
    ]
)


def metric_row(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a row of measurements under our names; what is not a number is named apart."""
    row: dict[str, Any] = {}
    broken = [str(n) for n in fields.get("not_finite") or ()]
    for key, value in fields.items():
        name = _METRIC_NAMES.get(str(key).lower(), str(key).lower())
        if name not in _METRIC_FIELDS or isinstance(value, bool):
            continue
        number = as_number(value)
        if number is None:
            continue
        if math.isfinite(number):
            row[name] = number
        else:
            broken.append(name)
    if broken:
        row["not_finite"] = tuple(dict.fromkeys(broken))
    return row if set(row) - {"step", "epoch"} else {}


def as_number(value: Any) -> float | None:
    """Return a number that may be written as text; None where it is none."""
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return None


def read_settings_document(document: Any) -> dict[str, Any]:
    """Return settings under the names of `TrainingSpec`, from ours or another tool's document.

    Raises:
        BadInput: It is no JSON object.
    """
    if not isinstance(document, dict):
        raise BadInput(
            "The settings are no JSON object.",
            hint="Give the spec.json of the run, or leave it out.",
        )
    for inner in ("spec", "plan", "args", "config"):
        if isinstance(document.get(inner), dict) and "learning_rate" not in document:
            document = {**document, **document[inner]}
    settings: dict[str, Any] = {}
    for key, value in document.items():
        if value is None or isinstance(value, dict):
            continue
        settings[_SPEC_NAMES.get(key, key)] = value
    for name in ("learning_rate", "batch_size", "epochs", "rank", "alpha", "max_length"):
        if isinstance(settings.get(name), str):
            number = as_number(settings[name])
            settings.pop(name) if number is None else settings.update({name: number})
    if "precision" not in settings and settings.get("bf16") is True:
        settings["precision"] = "bfloat16"
    if "precision" not in settings and settings.get("fp16") is True:
        settings["precision"] = "float16"
    return settings
