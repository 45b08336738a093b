"""A frozen spec in the words of the trainer."""

from __future__ import annotations

import math
from pathlib import Path

from trl.trainer.sft_config import SFTConfig

from tools.history.spec import TrainingSpec
from tools.work.engines import trainer_options
from tools.work.saving import OPTIMISERS

_LOGGED_STEPS = 4000


def steps_of(spec: TrainingSpec, rows: int) -> int:
    """Return the optimiser steps of a run over so many rows; every epoch ends with a step."""
    batches = math.ceil(rows / (spec.batch_size * spec.processes * spec.nodes))
    an_epoch = max(1, math.ceil(batches / spec.gradient_accumulation))
    return spec.max_steps or math.ceil(spec.epochs * an_epoch)


def trainer_arguments(folder: Path, spec: TrainingSpec, rows: int) -> SFTConfig:
    """Return what the trainer is told, for a run over so many rows kept in the job's folder."""
    steps = steps_of(spec, rows)
    return SFTConfig(
        output_dir=str(folder / "checkpoints"),
        per_device_train_batch_size=spec.batch_size,
        per_device_eval_batch_size=max(spec.batch_size, 32),
        gradient_accumulation_steps=spec.gradient_accumulation,
        num_train_epochs=spec.epochs,
        max_steps=spec.max_steps or -1,
        learning_rate=spec.learning_rate,
        lr_scheduler_type=spec.lr_scheduler,
        warmup_steps=math.ceil(spec.warmup_ratio * steps),
        weight_decay=spec.weight_decay,
        activation_checkpointing=spec.gradient_checkpointing,
        use_cpu=spec.device == "cpu",
        optim=OPTIMISERS[spec.optimizer],
        seed=spec.seed,
        data_seed=spec.seed,
        eval_strategy="steps",
        eval_steps=min(spec.eval_steps, steps),
        save_strategy="steps",
        save_steps=min(spec.save_steps, steps),
        logging_steps=max(1, steps // _LOGGED_STEPS),
        logging_nan_inf_filter=False,
        max_length=None,
        report_to=[],
        remove_unused_columns=False,
        disable_tqdm=True,
        dataloader_pin_memory=spec.device == "cuda",
        bf16=spec.precision == "bfloat16",
        fp16=spec.precision == "float16",
        **trainer_options(spec),
    )
