"""Runs whose adapters were drawn and not trained, and evaluations of them in this process."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.jobs_factory import make_spec
from tools.context import Context, utc_now
from tools.datasets.manifest import Manifest
from tools.evaluate.judgement import Judgement
from tools.history.jobs import JobRecord
from tools.history.spec import EvaluationSpec
from tools.history.store import Store
from tools.shipped import shipped
from tools.work.report import Job

_TEXT = "the small red house stands near an old river where quiet people work all day"
_WORDS = _TEXT.split()


def said(role: str, text: str) -> list[dict[str, str]]:
    """Return one message."""
    return [{"role": role, "content": text}]


def _sentence(chooser: random.Random, words: int = 6) -> str:
    return " ".join(chooser.choices(_WORDS, k=words))


def answer_rows(count: int, seed: int = 3) -> list[dict[str, Any]]:
    """Questions with an answer each."""
    chooser = random.Random(seed)
    return [
        {
            "prompt": said("user", f"Say something about {_sentence(chooser, 9)} {i}"),
            "completion": said("assistant", _sentence(chooser)),
            "row": i,
        }
        for i in range(count)
    ]


def pair_rows(count: int) -> list[dict[str, Any]]:
    """Questions with a better and a worse answer."""
    chooser = random.Random(4)
    return [
        {
            "prompt": row["prompt"], "chosen": row["completion"],
            "rejected": said("assistant", _sentence(chooser)), "row": row["row"],
        }
        for row in answer_rows(count)
    ]  # fmt: skip


def judged_rows(count: int) -> list[dict[str, Any]]:
    """Questions with an answer that was called good or bad."""
    return [{**row, "label": row["row"] % 2 == 0} for row in answer_rows(count)]


def tagged_rows(count: int) -> list[dict[str, Any]]:
    """Words with tags: a person's name first."""
    chooser = random.Random(5)
    rows = []
    for i in range(count):
        name = chooser.choice(["Tom", "Lily", "Ben"])
        other = chooser.choices(_WORDS, k=chooser.randint(2, 6))
        rows.append(
            {
                "tokens": [name, "Smith", *other],
                "tags": ["B-PER", "I-PER", *["O"] * len(other)],
                "row": i,
            }
        )
    return rows


def write_dataset(
    ctx: Context,
    name: str,
    rows: list[dict[str, Any]],
    *,
    train: int,
    task: str,
    objective: str,
    labels: tuple[str, ...] = (),
) -> Manifest:
    """Write a prepared version with training and test rows."""
    version = f"{name}@0001"
    folder = ctx.settings.dataset_folder(version)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows[:train]), folder / "train.parquet")
    pq.write_table(pa.Table.from_pylist(rows[train:]), folder / "test.parquet")
    manifest = Manifest(
        id=version, fingerprint=name, source="made.csv", source_path="made.csv",
        source_sha256="0", format="csv", task=task, objective=objective, columns={},
        labels=labels, splits={"train": train, "test": len(rows) - train}, characters_p95=60,
        steps=(), options={}, created_at=datetime.now(UTC),
    )  # fmt: skip
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return manifest


def draw_adapter(folder: Path, seed: int = 1) -> None:
    """Draw an adapter that really changes what the starter model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(shipped("starter-model"))
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(shipped("starter-model")).save_pretrained(folder)


def trained(
    ctx: Context, manifest: Manifest, *, seed: int = 1, draw: Any = draw_adapter, **changes: Any
) -> JobRecord:
    """Return a run that ended well, with a drawn adapter."""
    record = ctx.store.jobs.create(make_spec(manifest, "starter", **changes), name="made")
    folder = ctx.settings.job_folder(record.id)
    folder.mkdir(parents=True)
    draw(folder / "adapter", seed)
    ctx.store.jobs.record(record.id, artifacts={"adapter": f"jobs/{record.id}/adapter"})
    ctx.store.jobs.set_state(record.id, "running")
    ctx.store.jobs.set_state(record.id, "succeeded")
    return ctx.store.jobs.get(record.id)


def evaluation_job(ctx: Context, training: JobRecord, **wishes: Any) -> Job:
    """Return a running evaluation of a run, as its worker would have it."""
    spec = EvaluationSpec(
        job=training.id, dataset=training.training.dataset, split="test", **wishes
    )
    record = ctx.store.jobs.create(spec, name="eval", parent=training.id)
    ctx.store.jobs.set_state(record.id, "running")
    ctx.settings.job_folder(record.id).mkdir(parents=True, exist_ok=True)
    store = Store.open_as_worker(ctx.settings.database, clock=utc_now)
    return Job(ctx.store.jobs.get(record.id), ctx.settings, store)


def run_evaluation(ctx: Context, job: Job) -> Judgement:
    """Do the work of an evaluation and return what it left behind."""
    from tools.work import evaluate

    evaluate.run(job)
    job.flush()
    return Judgement.model_validate_json((job.folder / "evaluation.json").read_bytes())


def judged(ctx: Context, training: JobRecord, **wishes: Any) -> Judgement:
    """Evaluate a run and return the judgement."""
    return run_evaluation(ctx, evaluation_job(ctx, training, **wishes))


def draw_head(kind: str, labels: tuple[str, ...]) -> Callable[[Path, int], None]:
    """Return what draws a model with a head of classes."""

    def draw(folder: Path, seed: int) -> None:
        import torch
        import transformers

        torch.manual_seed(seed)
        model = getattr(transformers, f"AutoModelFor{kind}Classification").from_pretrained(
            shipped("starter-model"), num_labels=len(labels)
        )
        model.config.id2label = dict(enumerate(labels))
        model.config.label2id = {label: i for i, label in enumerate(labels)}
        model.save_pretrained(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(shipped("starter-model"))
        tokenizer.save_pretrained(folder)

    return draw
