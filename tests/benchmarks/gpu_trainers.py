"""The trainers that `gpu_speed` compares, each for one run in a process of its own."""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HELD_OUT, EVALUATIONS = 128, 4


class Clock:
    """Seconds of training on the card, and the validation loss at some of them."""

    def __init__(self, every: int) -> None:
        self.seconds, self.every = 0.0, every
        self.curve: list[tuple[int, float, float]] = []
        self._began: float | None = None

    def start(self) -> None:
        """Let it run, once the card has finished what came before."""
        _wait_for_card()
        self._began = time.perf_counter()

    def stop(self) -> None:
        """Let it stand still, once the card has finished what was timed."""
        if self._began is not None:
            _wait_for_card()
            self.seconds += time.perf_counter() - self._began
            self._began = None

    def told(self, held_out: Any) -> Any:
        """Return a trainer callback that scores the held-out rows with the clock stopped."""
        from transformers import TrainerCallback

        clock = self

        class Told(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **named: Any) -> None:
                if state.global_step % clock.every == 0 and state.global_step < state.max_steps:
                    clock.stop()
                    loss = held_out_loss(named["model"], held_out)
                    clock.curve.append((state.global_step, clock.seconds, loss))
                    clock.start()

        return Told()


def _wait_for_card() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def held_out_loss(model: Any, rows: Any) -> float:
    """Return the mean loss per answer token, padded and unpacked, in the model's own numbers."""
    import torch

    from tools.work.batching import Batcher
    from tools.work.objectives.supervised import summed_loss

    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    total, count = 0.0, 0
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
        for start in range(0, len(rows), 32):
            part = rows.pick(range(start, min(start + 32, len(rows))))
            batch = Batcher(0).join(part.input_ids, part.labels)
            loss, tokens = summed_loss(model, {k: v.to(device) for k, v in batch.items()})
            total, count = total + float(loss), count + tokens
    model.train(was_training)
    return total / count


def prepared(folder: Path, case: dict[str, Any]) -> tuple[Any, Any, list[Any]]:
    """Write the rows as a prepared dataset, and a plan for it."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch

    from tests.jobs_factory import make_dataset, make_spec
    from tools.context import Context
    from tools.settings import read_settings

    settings = read_settings().model_copy(update={"home": folder / "home", "work_dir": folder})
    (folder / "home").mkdir()
    ctx = Context(settings)
    manifest = make_dataset(ctx)
    place = settings.dataset_folder(manifest.id)
    rows = json.loads(Path(case["rows"]).read_text(encoding="utf-8"))
    pq.write_table(pa.Table.from_pylist(rows[HELD_OUT:]), place / "train.parquet")
    pq.write_table(pa.Table.from_pylist(rows[:HELD_OUT]), place / "validation.parquet")
    gpu = torch.cuda.is_available()
    spec = make_spec(
        manifest, case["model"], rank=case["rank"], alpha=2 * case["rank"],
        learning_rate=case["learning_rate"], batch_size=case["batch"], epochs=case["epochs"],
        max_steps=None, lr_scheduler="cosine", warmup_ratio=0.05, max_length=case["length"],
        seed=case["seed"], batching=case.get("batching", "packed"), probe=False,
        device="cuda" if gpu else "cpu", precision="bfloat16",
        eval_steps=100_000, save_steps=100_000,
    )  # fmt: skip
    return ctx, spec, rows[HELD_OUT:]


def _steps(rows: int, case: dict[str, Any]) -> int:
    return math.ceil(rows / case["batch"] * case["epochs"])


def ours(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Train with Luthier's own worker code, without probe and judgement."""
    from tools.context import utc_now
    from tools.history.store import Store
    from tools.work import fit, train
    from tools.work.recipe import Recipe
    from tools.work.report import Job

    ctx, spec, rows = prepared(folder, case)
    record = ctx.store.jobs.create(spec, name="timed")
    ctx.store.jobs.set_state(record.id, "running")
    ctx.settings.job_folder(record.id).mkdir(parents=True)
    job = Job(ctx.store.jobs.get(record.id), ctx.settings,
              Store.open_as_worker(ctx.settings.database, clock=utc_now))  # fmt: skip
    clock = Clock(max(1, _steps(len(rows), case) // EVALUATIONS))
    real_train, found = Recipe.train, {}

    def timed(self: Recipe, *arguments: Any, **named: Any) -> Any:
        self.add_callback(clock.told(self._held_out))
        _forget_peak()
        clock.start()
        result = real_train(self, *arguments, **named)
        clock.stop()
        found.update(tokens=self.tokens_seen, loss=held_out_loss(self.model, self._held_out))
        return result

    Recipe.train = timed  # type: ignore[method-assign]
    Recipe.evaluate = lambda *_, **__: {}  # type: ignore[method-assign]
    fit.probe = lambda *_: None
    train.conclude = lambda *_, **__: {"notice": ""}
    if case.get("liger"):
        fit.load_model = _with_liger(fit.load_model)
    train.run(job)
    return _result(case, clock, len(rows), found["tokens"], found["loss"])


def _with_liger(load: Any) -> Any:
    from liger_kernel.transformers import _apply_liger_kernel_to_instance

    def loaded(*arguments: Any, **named: Any) -> Any:
        model = load(*arguments, **named)
        _apply_liger_kernel_to_instance(
            model=model, rope=True, rms_norm=True, swiglu=True,
            cross_entropy=False, fused_linear_cross_entropy=False,
        )  # fmt: skip
        return model

    return loaded


def trl(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Train with TRL's `SFTTrainer`, everything that the comparison does not fix at its default."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from tools.work.load import load_model, load_tokenizer

    ctx, spec, rows = prepared(folder, case)
    tokenizer = load_tokenizer(ctx.settings, spec)
    model = load_model(ctx.settings, spec, trainable=True)
    held_out = _held_out(ctx, spec, tokenizer, case)
    steps = _steps(len(rows), case)
    config = SFTConfig(
        output_dir=str(folder / "out"), report_to=[], disable_tqdm=True,
        per_device_train_batch_size=case["batch"], num_train_epochs=case["epochs"],
        learning_rate=spec.learning_rate, lr_scheduler_type="cosine", max_length=case["length"],
        warmup_steps=math.ceil(0.05 * steps), seed=case["seed"], save_strategy="no",
        **case.get("options", {}),
    )  # fmt: skip
    clock = Clock(max(1, steps // EVALUATIONS))
    trainer = SFTTrainer(
        model=model, args=config, train_dataset=Dataset.from_list(_named(rows)),
        processing_class=tokenizer, callbacks=[clock.told(held_out)],
        peft_config=LoraConfig(
            r=case["rank"], lora_alpha=2 * case["rank"], target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )  # fmt: skip
    return _trained(trainer, clock, case, len(rows), held_out)


def unsloth(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Train with Unsloth's patched trainer, as its own notebooks do."""
    import unsloth  # noqa: F401 - patches what is imported after it
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer
    from unsloth import FastLanguageModel

    ctx, spec, rows = prepared(folder, case)
    model, tokenizer = FastLanguageModel.from_pretrained(
        case["model"], max_seq_length=case["length"], load_in_4bit=False, dtype=None
    )
    model = FastLanguageModel.get_peft_model(
        model, r=case["rank"], lora_alpha=2 * case["rank"], lora_dropout=0,
        use_gradient_checkpointing="unsloth", random_state=case["seed"],
    )  # fmt: skip
    held_out = _held_out(ctx, spec, tokenizer, case)
    steps = _steps(len(rows), case)
    texts = [
        {"text": tokenizer.apply_chat_template([*r["prompt"], *r["completion"]], tokenize=False)}
        for r in rows
    ]
    config = SFTConfig(
        output_dir=str(folder / "out"), report_to=[], disable_tqdm=True, dataset_text_field="text",
        per_device_train_batch_size=case["batch"], num_train_epochs=case["epochs"],
        learning_rate=spec.learning_rate, lr_scheduler_type="cosine", max_length=case["length"],
        warmup_steps=math.ceil(0.05 * steps), seed=case["seed"], save_strategy="no",
        gradient_accumulation_steps=1, **case.get("options", {}),
    )  # fmt: skip
    clock = Clock(max(1, steps // EVALUATIONS))
    trainer = SFTTrainer(
        model=model, processing_class=tokenizer, args=config,
        train_dataset=Dataset.from_list(texts), callbacks=[clock.told(held_out)],
    )  # fmt: skip
    return _trained(trainer, clock, case, len(rows), held_out)


def _named(rows: list[Any]) -> list[dict[str, Any]]:
    return [{"prompt": row["prompt"], "completion": row["completion"]} for row in rows]


def _held_out(ctx: Any, spec: Any, tokenizer: Any, case: dict[str, Any]) -> Any:
    from tools.work.rows import encode_split

    file = ctx.settings.dataset_folder(spec.dataset) / "validation.parquet"
    return encode_split(file, "prompt_completion", tokenizer, max_length=case["length"])


def _trained(
    trainer: Any, clock: Clock, case: dict[str, Any], rows: int, held_out: Any
) -> dict[str, Any]:
    _forget_peak()
    clock.start()
    trainer.train()
    clock.stop()
    tokens = sum(len(r["input_ids"]) for r in trainer.train_dataset) * case["epochs"]
    return _result(case, clock, rows, tokens, held_out_loss(trainer.model, held_out))


def _forget_peak() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _result(
    case: dict[str, Any], clock: Clock, rows: int, tokens: float, loss: float
) -> dict[str, Any]:
    import torch

    gpu = torch.cuda.is_available()
    return {
        "seconds": round(clock.seconds, 3),
        "loss": round(loss, 4),
        "samples_per_s": round(rows * case["epochs"] / clock.seconds, 1),
        "tokens_per_s": round(tokens / clock.seconds, 1),
        "memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 3) if gpu else 0.0,
        "gpu": torch.cuda.get_device_name(0) if gpu else "none",
        "torch": torch.__version__,
        "curve": [(step, round(s, 3), round(value, 4)) for step, s, value in clock.curve],
    }


def child() -> None:
    """Import everything, then do the one run that standard input names."""
    import torch  # noqa: F401

    if "--unsloth" not in sys.argv:
        from trl import SFTTrainer  # noqa: F401

        from tools.work import train  # noqa: F401
    print("READY", flush=True)
    case = json.loads(sys.stdin.readline())
    with tempfile.TemporaryDirectory() as place:
        trainer = {"ours": ours, "trl": trl, "unsloth": unsloth}[case["trainer"]]
        print("RESULT " + json.dumps(trainer(Path(place), case)), flush=True)


if __name__ == "__main__":
    child()
