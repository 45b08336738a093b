"""One timed training run in a process of its own: `python -m tests.benchmarks.speed_run JSON`.

The clock counts this process's CPU seconds, so that neighbours on the machine do not count; with
one thread that is the time of a machine to itself. It runs while the trainer trains and stands
still while it validates; validation is the same code for every trainer: the mean loss per answer
token of the same held-out rows.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from peft import LoraConfig
from transformers import TrainerCallback

from tests.jobs_factory import make_dataset, make_spec
from tools.context import Context, utc_now
from tools.history.spec import TrainingSpec
from tools.history.store import Store
from tools.settings import read_settings
from tools.work import train
from tools.work.batching import Batcher
from tools.work.load import load_model, load_tokenizer
from tools.work.memory import memory_peak_gib
from tools.work.objectives.supervised import summed_loss
from tools.work.recipe import Recipe
from tools.work.report import Job
from tools.work.rows import encode_split


class Clock:
    """Seconds of training, and the validation loss at some of them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.curve: list[tuple[int, float, float]] = []
        self._began: float | None = None

    def start(self) -> None:
        """Let it run."""
        self._began = time.process_time()

    def stop(self) -> None:
        """Let it stand still."""
        if self._began is not None:
            self.seconds += time.process_time() - self._began
            self._began = None


def held_out_loss(model: Any, rows: Any, pad: int) -> float:
    """Return the mean loss per answer token."""
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(rows), 50):
            part = rows.pick(range(start, min(start + 50, len(rows))))
            loss, tokens = summed_loss(model, Batcher(pad).join(part.input_ids, part.labels))
            total, count = total + float(loss), count + tokens
    model.train(was_training)
    return total / count


def prepared(folder: Path, case: dict[str, Any]) -> tuple[Context, TrainingSpec, list[Any]]:
    """Write the rows as a prepared dataset, and a plan for it."""
    settings = read_settings().model_copy(update={"home": folder / "home", "work_dir": folder})
    (folder / "home").mkdir()
    ctx = Context(settings)
    manifest = make_dataset(ctx)
    place = settings.dataset_folder(manifest.id)
    rows = json.loads(Path(case["rows"]).read_text(encoding="utf-8"))
    cut = case["held_out"]
    pq.write_table(pa.Table.from_pylist(rows[cut:]), place / "train.parquet")
    pq.write_table(pa.Table.from_pylist(rows[:cut]), place / "validation.parquet")
    spec = make_spec(
        manifest, case["model"], rank=case["rank"], alpha=2 * case["rank"],
        learning_rate=case["learning_rate"], batch_size=case["batch"], epochs=case["epochs"],
        max_steps=None, lr_scheduler="cosine", warmup_ratio=0.05, max_length=case["length"],
        seed=case["seed"], batching=case.get("batching", "packed"),
        precision=case.get("precision", "float32"), probe=False,
        eval_steps=case["eval_steps"], save_steps=100_000,
    )  # fmt: skip
    return ctx, spec, rows[cut:]


def ours(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Train with Luthier's own worker code, without probe and judgement."""
    ctx, spec, rows = prepared(folder, case)
    record = ctx.store.jobs.create(spec, name="timed")
    ctx.store.jobs.set_state(record.id, "running")
    ctx.settings.job_folder(record.id).mkdir(parents=True)
    store = Store.open_as_worker(ctx.settings.database, clock=utc_now)
    job = Job(ctx.store.jobs.get(record.id), ctx.settings, store)
    clock, real_evaluate, real_train = Clock(), Recipe.evaluate, Recipe.train

    def evaluate(self: Recipe, *arguments: Any, **named: Any) -> dict[str, float]:
        clock.stop()
        metrics = real_evaluate(self, *arguments, **named)
        if self.state.global_step:
            loss = metrics["eval_loss"]
            clock.curve.append((self.state.global_step, clock.seconds, loss))
        clock.start()
        return metrics

    def timed(self: Recipe, *arguments: Any, **named: Any) -> Any:
        clock.start()
        result = real_train(self, *arguments, **named)
        clock.stop()
        case["tokens"] = self.tokens_seen
        case["end_loss"] = held_out_loss(self.model, self._held_out, 0)
        return result

    Recipe.evaluate, Recipe.train = evaluate, timed  # type: ignore[method-assign]
    train.probe = lambda *_: None
    train.conclude = lambda *_, **__: {}
    train.run(job)
    return _result(case, clock, len(rows), case["tokens"], case["end_loss"])


def trl(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Train with TRL's `SFTTrainer`, everything that the comparison does not fix at its default."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    ctx, spec, rows = prepared(folder, case)
    tokenizer = load_tokenizer(ctx.settings, spec)
    model = load_model(ctx.settings, spec, trainable=True)
    file = ctx.settings.dataset_folder(spec.dataset) / "validation.parquet"
    held_out = encode_split(file, "prompt_completion", tokenizer, max_length=case["length"])
    steps = math.ceil(len(rows) / case["batch"] * case["epochs"])
    options = dict(case.get("options", {}))
    config = SFTConfig(
        output_dir=str(folder / "out"), use_cpu=True, report_to=[], disable_tqdm=True,
        per_device_train_batch_size=case["batch"], num_train_epochs=case["epochs"],
        learning_rate=spec.learning_rate, lr_scheduler_type="cosine",
        warmup_steps=math.ceil(0.05 * steps), seed=case["seed"], **options,
    )  # fmt: skip
    clock = Clock()

    class Told(TrainerCallback):
        """Validates now and then, with the clock stopped."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % case["eval_steps"] == 0:
                clock.stop()
                loss = held_out_loss(trainer.model, held_out, 0)
                clock.curve.append((state.global_step, clock.seconds, loss))
                clock.start()

    named = [{"prompt": row["prompt"], "completion": row["completion"]} for row in rows]
    trainer = SFTTrainer(
        model=model, args=config, train_dataset=Dataset.from_list(named),
        processing_class=tokenizer, callbacks=[Told()],
        peft_config=LoraConfig(
            r=case["rank"], lora_alpha=2 * case["rank"], target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )  # fmt: skip
    clock.start()
    trainer.train()
    clock.stop()
    tokens = sum(len(r["input_ids"]) for r in trainer.train_dataset) * case["epochs"]
    return _result(case, clock, len(rows), tokens, held_out_loss(trainer.model, held_out, 0))


def _result(
    case: dict[str, Any], clock: Clock, rows: int, tokens: float, loss: float
) -> dict[str, Any]:
    return {
        "seconds": round(clock.seconds, 3),
        "loss": round(loss, 4),
        "samples_per_s": round(rows * case["epochs"] / clock.seconds, 1),
        "tokens_per_s": round(tokens / clock.seconds, 1),
        "memory_gib": round(memory_peak_gib("cpu"), 3),
        "curve": [(step, round(s, 3), round(value, 4)) for step, s, value in clock.curve],
    }


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked.get("threads", 1))
    with tempfile.TemporaryDirectory() as place:
        outcome = {"ours": ours, "trl": trl}[asked["trainer"]](Path(place), asked)
    print("RESULT " + json.dumps(outcome), flush=True)
