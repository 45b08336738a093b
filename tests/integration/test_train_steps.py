"""The number of optimiser steps that is told is the one the trainer takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader
from transformers import Trainer

from tests.jobs_factory import make_spec_alone
from tools.work.arguments import steps_of, trainer_arguments

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("rows", "batch", "accumulation", "epochs"),
    [
        (360, 16, 1, 2),
        (1000, 16, 1, 1),
        (10, 4, 2, 3),
        (3, 8, 4, 5),
        (100, 8, 3, 0.5),
        (7, 1, 1, 1),
    ],
)
def test_steps_are_those_of_the_trainer(
    tmp_path: Path, rows: int, batch: int, accumulation: int, epochs: float
) -> None:
    spec = make_spec_alone(batch_size=batch, gradient_accumulation=accumulation, epochs=epochs)
    arguments = trainer_arguments(tmp_path, spec, rows)
    numbers: Any = range(rows)
    trainer = Trainer(torch.nn.Linear(1, 1), arguments, eval_dataset=numbers)
    loader: DataLoader[int] = DataLoader(numbers, batch_size=batch)
    assert steps_of(spec, rows) == trainer.set_initial_training_values(arguments, loader)[-1]
