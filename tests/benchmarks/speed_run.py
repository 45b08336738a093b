"""One timed training run in a process of its own: `python -m tests.benchmarks.speed_run FILE`.

The clock counts this process's CPU seconds, so that neighbours on the machine do not count; with
one thread that is the time of a machine to itself. It runs while the trainer trains and stands
still while it validates; the yardstick is the same code for every trainer: the mean loss per
answer token of the same held-out rows.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from peft import LoraConfig
from torch import nn

from tests.benchmarks.speed_clock import Clock, Told, figures, held_out_loss
from tests.jobs_factory import make_dataset, make_spec
from tools.context import Context, utc_now
from tools.history.spec import TrainingSpec
from tools.history.store import Store
from tools.settings import read_settings
from tools.work import fit, train
from tools.work.load import load_model, load_tokenizer
from tools.work.recipe import Recipe
from tools.work.report import Job
from tools.work.rows import encode_split


def encoded(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Write the model with one tokenizer for all trainers, and the rows as token ids.

    Its tokenizer puts no mark before each piece of text, so that trainers which encode question
    and answer apart get the same tokens as those which encode them as one.
    """
    place = Path(case["into"]) / "model"
    shutil.copytree(case["model"], place)
    document = json.loads((place / "tokenizer.json").read_text(encoding="utf-8"))
    first = document.get("normalizer")
    if first and first["type"] == "Sequence":
        kept = [part for part in first["normalizers"] if part["type"] != "Prepend"]
        document["normalizer"] = {"type": "Sequence", "normalizers": kept}
    if (document.get("pre_tokenizer") or {}).get("type") == "Metaspace":
        document["pre_tokenizer"]["prepend_scheme"] = "never"
    (place / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    case["model"] = str(place)
    ctx, spec, rows = prepared(folder, case | {"seed": 17})
    tokenizer = load_tokenizer(ctx.settings, spec)
    tokenizer.save_pretrained(place)
    data = ctx.settings.dataset_folder(spec.dataset)
    train, held_out = (
        encode_split(
            data / f"{name}.parquet", "prompt_completion", tokenizer, max_length=case["length"]
        )
        for name in ("train", "validation")
    )
    model = load_model(ctx.settings, spec)
    linear = {n.rsplit(".", 1)[-1] for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    asked = [row["prompt"][0]["content"] for row in rows]
    return case | {
        "train_rows": len(rows),
        "train_ids": train.input_ids,
        "held_out": list(zip(held_out.input_ids, held_out.labels, strict=True)),
        "texts": list(zip(asked, [row["completion"][0]["content"] for row in rows], strict=True)),
        "targets": sorted(linear - {"lm_head"}),
    }


def prepared(folder: Path, case: dict[str, Any]) -> tuple[Context, TrainingSpec, list[Any]]:
    """Write the rows as a prepared dataset, and a plan for it."""
    settings = read_settings().model_copy(update={"home": folder / "home", "work_dir": folder})
    (folder / "home").mkdir()
    ctx = Context(settings)
    manifest = make_dataset(ctx)
    place = settings.dataset_folder(manifest.id)
    rows = json.loads(Path(case["rows"]).read_text(encoding="utf-8"))
    cut = case["held_out_rows"]
    pq.write_table(pa.Table.from_pylist(rows[cut:]), place / "train.parquet")
    pq.write_table(pa.Table.from_pylist(rows[:cut]), place / "validation.parquet")
    spec = make_spec(
        manifest, case["model"], rank=case["rank"], alpha=2 * case["rank"],
        learning_rate=case["learning_rate"], batch_size=case["batch"], epochs=case["epochs"],
        max_steps=None, lr_scheduler="cosine", warmup_ratio=0.05, max_length=case["length"],
        seed=case["seed"], batching=case.get("batching", "packed"),
        precision=case.get("precision", "float32"), probe=False,
        # It validates and saves at its end, as the others do.
        eval_steps=100_000, save_steps=100_000,
    )  # fmt: skip
    return ctx, spec, rows[cut:]


def ours(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Train with Luthier's own worker code, without probe and judgement."""
    ctx, spec, _ = prepared(folder, case)
    record = ctx.store.jobs.create(spec, name="timed")
    ctx.store.jobs.set_state(record.id, "running")
    ctx.settings.job_folder(record.id).mkdir(parents=True)
    store = Store.open_as_worker(ctx.settings.database, clock=utc_now)
    job = Job(ctx.store.jobs.get(record.id), ctx.settings, store)
    clock, real_evaluate, real_train = Clock(), Recipe.evaluate, Recipe.train

    def evaluate(self: Recipe, *arguments: Any, **named: Any) -> dict[str, float]:
        clock.stop()
        metrics = real_evaluate(self, *arguments, **named)
        clock.start()
        return metrics

    def timed(self: Recipe, *arguments: Any, **named: Any) -> Any:
        self.add_callback(Told(clock, case["held_out"], case["eval_steps"]))
        clock.start()
        result = real_train(self, *arguments, **named)
        clock.stop()
        case["tokens"] = self.tokens_seen
        # Packed rows are kept apart by the trainer; the yardstick is the same for all.
        self.model.set_attn_implementation("sdpa")
        case["end_loss"] = held_out_loss(self.model, case["held_out"])
        return result

    Recipe.evaluate, Recipe.train = evaluate, timed  # type: ignore[method-assign]
    fit.probe = lambda *_: None
    train.conclude = lambda *_, **__: {"notice": ""}
    train.run(job)
    return figures(case, clock, case["tokens"], case["end_loss"])


def trl(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Train with TRL's `SFTTrainer`, everything that the comparison does not fix at its default."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    ctx, spec, rows = prepared(folder, case)
    tokenizer = load_tokenizer(ctx.settings, spec)
    model = load_model(ctx.settings, spec, trainable=True)
    steps = math.ceil(len(rows) / case["batch"] * case["epochs"])
    config = SFTConfig(
        output_dir=str(folder / "out"), use_cpu=True, report_to=[], disable_tqdm=True,
        per_device_train_batch_size=case["batch"], num_train_epochs=case["epochs"],
        learning_rate=spec.learning_rate, lr_scheduler_type="cosine",
        warmup_steps=math.ceil(0.05 * steps), seed=case["seed"], **case.get("options", {}),
    )  # fmt: skip
    clock = Clock()
    named = [{"prompt": row["prompt"], "completion": row["completion"]} for row in rows]
    trainer = SFTTrainer(
        model=model, args=config, train_dataset=Dataset.from_list(named),
        processing_class=tokenizer, callbacks=[Told(clock, case["held_out"], case["eval_steps"])],
        peft_config=LoraConfig(
            r=case["rank"], lora_alpha=2 * case["rank"], target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )  # fmt: skip
    clock.start()
    trainer.train()
    clock.stop()
    tokens = sum(len(r["input_ids"]) for r in trainer.train_dataset) * case["epochs"]
    loss = held_out_loss(trainer.model, case["held_out"])
    return figures(case, clock, tokens, loss) | {"version": version("trl")}


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    work = {"encode": encoded, "ours": ours, "trl": trl}[asked["trainer"]]
    with tempfile.TemporaryDirectory() as place:
        outcome = work(Path(place), asked)
    print("RESULT " + json.dumps(outcome), flush=True)
