"""The runs whose memory is measured on a processor: models, cases, and what was kept of them."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.shipped import shipped

KEPT = Path(__file__).parent / "results" / "cpu_memory.csv"
_COMMON = {
    "model_type": "llama", "num_attention_heads": 8, "num_key_value_heads": 4,
    "vocab_size": 32000, "max_position_embeddings": 1024, "tie_word_embeddings": False,
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "random-60M": {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 9},
    "random-120M": {"hidden_size": 768, "intermediate_size": 2304, "num_hidden_layers": 10},
    "random-290M": {"hidden_size": 1024, "intermediate_size": 3584, "num_hidden_layers": 16},
}
BATCHES = {"starter": 16, "babyllama-105": 16, "random-60M": 4, "random-120M": 2, "random-290M": 1}
METHODS = ("lora", "qlora", "dora", "full")
ODD_MODELS: dict[str, dict[str, Any]] = {
    "gpt2-17M": {
        "model_type": "gpt2", "n_embd": 384, "n_layer": 6, "n_head": 6, "vocab_size": 16000,
        "n_positions": 512,
    },
    "qwen2-34M": {
        "model_type": "qwen2", "hidden_size": 448, "intermediate_size": 1216,
        "num_hidden_layers": 10, "num_attention_heads": 7, "num_key_value_heads": 1,
        "vocab_size": 24000, "max_position_embeddings": 1024, "tie_word_embeddings": True,
    },
    "llama-69M": {
        "model_type": "llama", "hidden_size": 640, "intermediate_size": 1728,
        "num_hidden_layers": 12, "num_attention_heads": 10, "num_key_value_heads": 5,
        "vocab_size": 12000, "max_position_embeddings": 1024, "tie_word_embeddings": False,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One run to measure; a rank of None leaves it to the plan."""

    model: str
    method: str
    length: int
    checkpointing: bool
    batch: int
    rank: int | None = None
    targets: str = "all-linear"


ODD = (
    Case("gpt2-17M", "lora", 128, checkpointing=False, batch=8, rank=8),
    Case("qwen2-34M", "lora", 128, checkpointing=False, batch=8, rank=16, targets="q_proj+v_proj"),
    Case("llama-69M", "lora", 96, checkpointing=False, batch=3, rank=64),
    Case("starter", "dora", 64, checkpointing=False, batch=32, rank=4),
    Case("gpt2-17M", "full", 256, checkpointing=True, batch=4),
    Case("qwen2-34M", "dora", 192, checkpointing=True, batch=2, rank=32),
    Case("llama-69M", "full", 64, checkpointing=False, batch=2),
    Case("qwen2-34M", "qlora", 128, checkpointing=False, batch=4, rank=8),
    Case("starter", "lora", 256, checkpointing=False, batch=4, rank=4, targets="q_proj+v_proj"),
    Case("gpt2-17M", "lora", 200, checkpointing=True, batch=6, rank=8, targets="c_attn"),
    Case("llama-69M", "lora", 128, checkpointing=True, batch=6, rank=8),
    Case("qwen2-34M", "full", 128, checkpointing=False, batch=4),
)
"""Other families, ranks, targets and batches: never looked at while the formula was made."""


@dataclass(frozen=True)
class Measured:
    """One run and its peak. `data` is `made` for rows written here, else whose data it was."""

    data: str
    model: str
    method: str
    length: int
    checkpointing: bool
    batch: int
    rank: int
    targets: str
    dropout: float
    trained_share: float
    fill: float
    measured_gib: float

    @property
    def case(self) -> Case:
        """What was asked for."""
        odd = self.model in ODD_MODELS or self.batch != BATCHES[self.model]
        return Case(
            self.model, self.method, self.length, self.checkpointing, self.batch,
            self.rank if odd and self.method != "full" else None, self.targets,
        )  # fmt: skip


def cases() -> Iterator[Case]:
    """Yield all 80 combinations, the cheap ones first; babyllama reads 256 tokens."""
    for model in BATCHES:
        for short in (True, False):
            length = 128 if short else 256 if model == "babyllama-105" else 512
            for checkpointing in (False, True):
                for method in METHODS:
                    yield Case(model, method, length, checkpointing, BATCHES[model])


def kept() -> list[Measured]:
    """Return what was measured so far."""
    if not KEPT.is_file():
        return []
    with KEPT.open(encoding="utf-8", newline="") as file:
        return [
            Measured(
                row["data"], row["model"], row["method"], int(row["length"]),
                row["checkpointing"] == "True", int(row["batch"]), int(row["rank"]),
                row["targets"], float(row["dropout"]),
                float(row["trained_share"]), float(row["fill"]), float(row["measured_gib"]),
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


def material() -> Path:
    named = os.environ.get("LUTHIER_MATERIAL")
    return Path(named) if named else Path(__file__).parents[3] / "shared" / "material"


def config_of(model: str) -> dict[str, Any]:
    """Return a model's config.json."""
    if model in ODD_MODELS:
        return ODD_MODELS[model]
    if model in SHAPES:
        return {**_COMMON, **SHAPES[model]}
    folder = shipped("starter-model") if model == "starter" else material() / "models" / model
    document: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return document
