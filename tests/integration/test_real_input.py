"""The whole job on data people really have, with a small model that was really pre-trained."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tools.catalog import load_catalog
from tools.context import Context
from tools.history.jobs import JobRecord
from tools.jobs import consent, follow

pytestmark = pytest.mark.integration
INTENTS = 8


def _call(ctx: Context, name: str, **arguments: Any) -> Any:
    return load_catalog()[name].call(ctx, arguments)


def _banking_cut(material: Path, target: Path) -> Path:
    """Write the rows of the eight most frequent intents."""
    source = material / "datasets" / "classification" / "banking77" / "train.csv"
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = {label for label, _ in Counter(r["category"] for r in rows).most_common(INTENTS)}
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "category"])
        writer.writeheader()
        writer.writerows(r for r in rows if r["category"] in kept)
    return target


def _train(ctx: Context, path: Path, model: Path, **wishes: Any) -> JobRecord:
    plan = _call(ctx, "start_training", path=str(path), model=str(model), **wishes)
    assert plan.state == "waiting"
    granted = consent.grant(ctx, plan.approval_id, by="cli")
    job = follow.wait(ctx, granted.job, timeout_s=400)
    assert job.state == "succeeded", job.error
    return job


def _assert_it_learned(ctx: Context, job: JobRecord) -> None:
    base, tuned = job.metrics["base_eval_loss"], job.metrics["eval_loss"]
    assert tuned <= base * 2 / 3, f"validation loss {base} -> {tuned}"


def test_banking_questions_from_a_csv_to_a_verified_onnx_model(
    ctx: Context, material: Path, tmp_path: Path
) -> None:
    data = _banking_cut(material, tmp_path / "banking8.csv")
    seen = _call(ctx, "inspect_dataset", path=str(data))
    assert (seen.format, seen.task) == ("classification", "classification")
    assert len(seen.label_counts) == INTENTS

    model = material / "models" / "babyllama-105"
    job = _train(ctx, data, model, method="lora", rank=8, max_steps=60, max_length=256)
    _assert_it_learned(ctx, job)
    assert job.metrics["n"] > 0

    export = _call(ctx, "export_model", job=job.id, format="onnx", precision="fp32")
    exported = follow.wait(ctx, export.job, timeout_s=300)
    assert exported.state == "succeeded", exported.error
    assert (ctx.settings.home / exported.artifacts["onnx_fp32"] / "genai_config.json").is_file()


def test_phrases_and_tones_through_a_text_template(ctx: Context, material: Path) -> None:
    data = material / "datasets" / "olive_phi" / "dataset-classification.json"
    model = material / "models" / "stories260K"
    job = _train(
        ctx,
        data,
        model,
        method="lora",
        rank=8,
        max_steps=60,
        max_length=256,
        template="### Phrase: {phrase}\n### Tone: {tone}",
    )
    _assert_it_learned(ctx, job)
