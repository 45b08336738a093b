"""One cell of the matrix of methods and objectives: a few real steps, then saved and reloaded.

It uses the parts of the worker themselves, in this process, on a model of 260k parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import set_seed

from tests.jobs_factory import ROWS, TAGS, make_spec_alone
from tools.advise.compatibility import Clash, clashes
from tools.history.spec import TrainingSpec
from tools.methods import method, methods
from tools.settings import Settings
from tools.work.load import load_model, load_tokenizer
from tools.work.methods import keep_initial, make_trainable
from tools.work.objectives import Objective, objective_of
from tools.work.packing import keep_rows_apart
from tools.work.recipe import save_weights
from tools.work.rows import Encoded

OBJECTIVES = (
    "prompt_completion", "chat", "text", "dpo", "orpo", "kto",
    "sequence_classification", "token_classification", "grpo",
)  # fmt: skip
_LENGTH = 96
_LORA_RATE = 1e-2
_ANSWERS_SHORTLY = {"prefix_tuning", "cartridge"}
"""Random keys and values before the prompt cut this model's answers short from the start: what
other methods learn here is nearly reached, so these are to learn to answer at length."""


@dataclass(frozen=True)
class Cell:
    """What a few steps of one method with one objective did.

    Attributes:
        before, after: Validation-mode loss of the rows, first without training.
        reloaded: The same after saving and loading again.
    """

    method: str
    objective: str
    before: float
    after: float
    reloaded: float
    trained: int

    @property
    def learned(self) -> bool:
        """Whether the loss fell."""
        return self.after < self.before

    @property
    def reload_error(self) -> float:
        """Relative difference of the reloaded loss."""
        return abs(self.reloaded - self.after) / max(1e-6, abs(self.after))


def rows_for(objective: str) -> list[dict[str, Any]]:
    """Return small prepared rows of an objective, as `prepare_dataset` writes them."""
    # Every prompt of GRPO is answered by generation, which takes longest.
    return ROWS[objective](8 if objective == "grpo" else 24)


def labels_for(objective: str) -> tuple[str, ...]:
    """Return the classes of those rows."""
    return TAGS if objective == "token_classification" else ("food", "pet", "toy")


def forbidden(name: str, objective: str) -> Clash | None:
    """Return what of the compatibility table forbids a cell."""
    row = method(name)
    found = clashes(method=name, objective=objective, kind=row.kind, loss="cross_entropy")
    return next((clash for clash in found if clash.level == "refuse"), None)


def every_cell() -> list[tuple[str, str]]:
    """Return all pairs of a method and an objective."""
    return [(name, objective) for name in methods() for objective in OBJECTIVES]


def plan_for(name: str, objective: str, model: Path, **changes: Any) -> TrainingSpec:
    """Return the plan of a cell, with the learning rate that its method usually wants."""
    rate = method(name).rate
    careful = {"sequence_classification", "token_classification", "grpo"}
    values: dict[str, Any] = {
        "model": str(model), "method": name, "objective": objective, "rank": 4, "alpha": 8,
        "labels": labels_for(objective), "batch_size": 12, "max_length": _LENGTH,
        # A new head, and answers of its own, learn at LoRA's rate whatever stands beside them.
        "learning_rate": _LORA_RATE * (min(1, rate) if objective in careful else rate),
        "rewards": _rewards(name) if objective == "grpo" else (),
    }  # fmt: skip
    return make_spec_alone(**values | changes)


def _rewards(name: str) -> tuple[str, ...]:
    return ("length:25" if name in _ANSWERS_SHORTLY else "length:3", "one_line")


def train_cell(settings: Settings, folder: Path, spec: TrainingSpec, steps: int = 10) -> Cell:
    """Train a few steps, save, reload."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows_for(spec.objective)), file)
    set_seed(spec.seed)
    tokenizer = load_tokenizer(settings, spec)
    model = load_model(settings, spec, trainable=True)
    objective = objective_of(spec, tokenizer, model)
    if objective.batcher.packed:
        keep_rows_apart(model)
    rows = objective.encode(file, max_length=_LENGTH, model=model)
    objective.check(rows, model)
    objective.reference(model, rows)
    model = make_trainable(model, spec, tokenizer=tokenizer, steps=steps)
    keep_initial(model, spec, folder)
    before = loss_of(objective, model, rows)
    trained = [p for p in model.parameters() if p.requires_grad]
    _steps(objective, model, trained, rows, spec, steps)
    after = loss_of(objective, model, rows)
    save_weights(model, folder / "saved", folder)
    set_seed(spec.seed)
    again = load_model(settings, spec, adapter=folder / "saved")
    if objective.batcher.packed:
        keep_rows_apart(again)
    reloaded = loss_of(objective, again, rows)
    count = sum(p.numel() for p in trained)
    return Cell(spec.method, spec.objective, before, after, reloaded, count)


def loss_of(objective: Objective, model: Any, rows: Encoded) -> float:
    """Return the mean loss per item, as validation measures it."""
    model.eval()
    with torch.no_grad():
        scores = objective.loss(model, objective.collate([rows.row(i) for i in range(len(rows))]))
    return float(scores.total) / scores.items


def _steps(
    objective: Objective, model: Any, trained: list[Any], rows: Encoded, spec: Any, steps: int
) -> None:
    optimiser = torch.optim.AdamW(trained, lr=spec.learning_rate, weight_decay=0.0)
    half = len(rows) // 2
    for step in range(steps):
        model.train()
        places = range(half) if step % 2 else range(half, len(rows))
        scores = objective.loss(model, objective.collate([rows.row(i) for i in places]))
        (scores.total / scores.items).backward()
        optimiser.step()
        if spec.method == "adalora":
            model.base_model.update_and_allocate(step + 1)
        optimiser.zero_grad()
