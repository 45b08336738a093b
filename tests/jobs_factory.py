"""Small prepared datasets and specs, made by hand, for tests of the workers."""

from __future__ import annotations

import hashlib
import os
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tools.context import Context
from tools.datasets.manifest import Manifest
from tools.history.spec import TrainingSpec
from tools.settings import Settings

_WORDS = {
    "toy": ("red ball", "small doll", "big box", "blue car"),
    "food": ("sweet cake", "hot soup", "apple pie", "warm milk"),
    "pet": ("happy dog", "little cat", "old bird", "brown bunny"),
}


def classification_rows(count: int, seed: int = 5) -> list[dict[str, Any]]:
    """Rows of a task that a model of 260k parameters can begin to learn."""
    chooser = random.Random(seed)
    rows = []
    for i in range(count):
        label = chooser.choice(sorted(_WORDS))
        thing = chooser.choice(_WORDS[label])
        text = f"One day {chooser.choice(('Tom', 'Lily', 'Ben'))} saw a {thing}."
        rows.append(
            {
                "prompt": [{"role": "user", "content": text}],
                "completion": [{"role": "assistant", "content": label}],
                "label": label,
                "row": i,
            }
        )
    return rows


def chat_rows(count: int) -> list[dict[str, Any]]:
    """Two-turn conversations."""
    return [
        {"messages": [*row["prompt"], *row["completion"]] * 2, "row": row["row"]}
        for row in classification_rows(count)
    ]


def text_rows(count: int) -> list[dict[str, Any]]:
    """Plain sentences."""
    return [
        {"text": row["prompt"][0]["content"], "row": row["row"]}
        for row in classification_rows(count)
    ]


def preference_rows(count: int) -> list[dict[str, Any]]:
    """Prompts with a chosen and a rejected answer."""
    wrong = [{"role": "assistant", "content": "I do not know that word"}]
    return [
        {**row, "chosen": row["completion"], "rejected": wrong}
        for row in classification_rows(count)
    ]


def judged_rows(count: int) -> list[dict[str, Any]]:
    """Answers of which each second one or so is judged good."""
    chooser = random.Random(3)
    wrong = [{"role": "assistant", "content": "I do not know"}]
    rows = []
    for row in classification_rows(count):
        good = chooser.random() < 0.5
        completion = row["completion"] if good else wrong
        rows.append({"prompt": row["prompt"], "completion": completion, "label": good})
    return rows


def tagged_rows(count: int) -> list[dict[str, Any]]:
    """Sentences whose last word names something."""
    rows = []
    for row in classification_rows(count):
        words = row["prompt"][0]["content"].rstrip(".").split()
        rows.append({"tokens": words, "tags": ["O"] * (len(words) - 1) + [f"B-{row['label']}"]})
    return rows


ROWS = {
    "prompt_completion": classification_rows,
    "chat": chat_rows,
    "text": text_rows,
    "dpo": preference_rows,
    "orpo": preference_rows,
    "kto": judged_rows,
    "token_classification": tagged_rows,
    "sequence_classification": classification_rows,
    "grpo": classification_rows,
}
TAGS = ("O", *(f"B-{label}" for label in sorted(_WORDS)))


def make_dataset(
    ctx: Context, objective: str = "prompt_completion", train: int = 48, validation: int = 16
) -> Manifest:
    """Write a prepared version as `prepare_dataset` would."""
    fingerprint = f"{objective}-{train}-{validation}"
    version = f"made@{fingerprint}"
    folder = ctx.settings.dataset_folder(version)
    folder.mkdir(parents=True, exist_ok=True)
    source = ctx.settings.work_dir / "made.csv"
    source.write_text("made by hand\n")
    rows = ROWS[objective](train + validation)
    sorts = objective in ("prompt_completion", "sequence_classification")
    pq.write_table(pa.Table.from_pylist(rows[:train]), folder / "train.parquet")
    pq.write_table(pa.Table.from_pylist(rows[train:]), folder / "validation.parquet")
    manifest = Manifest(
        id=version,
        fingerprint=fingerprint,
        source="made.csv",
        source_path=str(source),
        source_sha256=_sha256(source),
        format="csv",
        task="classification" if sorts else "chat",
        objective=objective,
        columns={"text": "input", "label": "output"},
        labels=tuple(sorted(_WORDS)) if sorts else (),
        splits={"train": train, "validation": validation},
        characters_p95=60,
        steps=(),
        options={
            "mapping": {
                "format": "classification",
                "task": "classification",
                "objective": "prompt_completion",
                "columns": {"text": "input", "label": "output"},
                "reason": "made for a test",
            }
        },
        created_at=datetime.now(UTC),
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    ctx.store.save_dataset(
        version,
        fingerprint=fingerprint,
        source="made.csv",
        manifest=manifest.model_dump(mode="json"),
    )
    return manifest


def make_spec(manifest: Manifest, model: Path | str, **changes: Any) -> TrainingSpec:
    """A short run on a prepared version."""
    values: dict[str, Any] = {
        "path": "made.csv",
        "dataset": manifest.id,
        "dataset_fingerprint": manifest.fingerprint,
        "task": manifest.task,
        "objective": manifest.objective,
        "labels": manifest.labels,
        "model": str(model),
        "method": "lora",
        "rank": 4,
        "alpha": 8,
        "learning_rate": 1e-2,
        "batch_size": 4,
        "max_steps": 12,
        "max_length": 96,
        "eval_steps": 6,
        "save_steps": 6,
    }
    return TrainingSpec(**values | changes)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_spec_alone(**changes: Any) -> TrainingSpec:
    """A spec whose data does not exist: for tests that train nothing."""
    values: dict[str, Any] = {
        "path": "made.csv",
        "dataset": "made@0000",
        "dataset_fingerprint": "0000",
        "task": "classification",
        "objective": "prompt_completion",
        "model": "starter",
        "method": "lora",
        "learning_rate": 1e-3,
    }
    return TrainingSpec(**values | changes)


class NoWorkers:
    """Stands in for worker processes: jobs start and stay as they are."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, settings: Settings, job_id: str) -> int | None:
        """Remember that the job was started."""
        self.started.append(job_id)
        return os.getpid()

    def answer(self, settings: Settings, target: str, prompt: str) -> str:
        """Say nothing of interest."""
        return ""
