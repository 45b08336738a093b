"""The names that other tools give to what our events and settings call otherwise."""

from __future__ import annotations

import math
from typing import Any

from tools.errors import BadInput

_METRIC_NAMES = {
    "train_loss": "loss",
    "training_loss": "loss",
    "train/loss": "loss",
    "training/loss": "loss",
    "loss/train": "loss",
    "lm_loss": "loss",
    "total_loss": "loss",
    "eval/loss": "eval_loss",
    "evaluation_loss": "eval_loss",
    "dev_loss": "eval_loss",
    "test_loss": "eval_loss",
    "valid/loss": "eval_loss",
    "validation/loss": "eval_loss",
    "loss/eval": "eval_loss",
    "loss/val": "eval_loss",
    "loss/validation": "eval_loss",
    "val_loss": "eval_loss",
    "valid_loss": "eval_loss",
    "validation_loss": "eval_loss",
    "val/loss": "eval_loss",
    "lr": "learning_rate",
    "train/learning_rate": "learning_rate",
    "train/grad_norm": "grad_norm",
    "gradient_norm": "grad_norm",
    "gnorm": "grad_norm",
    "global_step": "step",
    "train/global_step": "step",
    "trainer/global_step": "step",
    "_step": "step",
    "steps": "step",
    "current_steps": "step",
    "iter": "step",
    "iteration": "step",
    "epochs": "epoch",
    "train/epoch": "epoch",
    "eval_runtime": "eval_s",
    "memory(gib)": "memory_gib",
    "eval_acc": "eval_accuracy",
    "tokens_per_second": "tokens_per_s",
    "train_tokens_per_second": "tokens_per_s",
    "tps": "tokens_per_s",
}
_PRECISIONS = {
    "fp32": "float32",
    "32": "float32",
    "32-true": "float32",
    "float": "float32",
    "torch.float32": "float32",
    "no": "float32",
    "fp16": "float16",
    "16": "float16",
    "half": "float16",
    "16-mixed": "float16",
    "16-true": "float16",
    "torch.float16": "float16",
    "bf16": "bfloat16",
    "bf16-mixed": "bfloat16",
    "bf16-true": "bfloat16",
    "torch.bfloat16": "bfloat16",
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
_COUNTS = frozenset({"max_steps", "batch_size", "gradient_accumulation", "epochs", "max_length",
                     "rank", "eval_steps", "save_steps", "processes"})  # fmt: skip
_NUMBERS = _COUNTS | {"learning_rate", "alpha", "dropout", "weight_decay", "warmup_ratio"}
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


def metric_name(key: str) -> str | None:
    """Return our name of a measured quantity; None where it is none."""
    name = _METRIC_NAMES.get(key.lower(), key.lower())
    return name if name in _METRIC_FIELDS else None


def metric_row(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a row of measurements under our names; what is not a number is named apart."""
    row: dict[str, Any] = {}
    broken = [str(n) for n in fields.get("not_finite") or ()]
    if "train_runtime" in fields:
        # The last line of transformers: its `train_loss` is the mean over the whole run.
        fields = {k: v for k, v in fields.items() if k != "train_loss"}
    for key, value in fields.items():
        name = metric_name(str(key))
        if name is None or isinstance(value, bool):
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
    for name in _NUMBERS & set(settings):
        number = as_number(settings[name])
        if number is None or not math.isfinite(number) or (name in _COUNTS and number <= 0):
            settings.pop(name)  # such as `auto`, or -1 for "not set"
        elif isinstance(settings[name], str):
            settings[name] = number
    precision = _precision(settings)
    if precision:
        settings["precision"] = precision
    return settings


def _precision(settings: dict[str, Any]) -> str | None:
    """Return what a run computes in, from a name or from the switches of other tools."""
    told = {name: str(settings.get(name) or "").lower()
            for name in ("precision", "mixed_precision", "torch_dtype", "dtype")}  # fmt: skip
    switches = [settings.get(name) for name in ("bf16", "fp16")]
    if told["precision"]:
        return _PRECISIONS.get(told["precision"], told["precision"])
    if True in switches:
        return "bfloat16" if settings.get("bf16") is True else "float16"
    autocast = told["mixed_precision"]
    if autocast and autocast != "no":
        return _PRECISIONS.get(autocast, autocast)
    stored = told["torch_dtype"] or told["dtype"]
    if stored and stored != "auto":
        return _PRECISIONS.get(stored, stored)
    few_bits = any(settings.get(name) for name in ("load_in_4bit", "load_in_8bit", "quantization"))
    off = switches == [False, False] or autocast == "no"
    return "float32" if off and not few_bits else None
