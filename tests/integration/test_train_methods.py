"""Every method and objective on a tiny real model, in this process: it learns, and reloads."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import skip_first_batches
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader, TensorDataset
from transformers import Trainer

from tests.integration.jobs_here import job_here
from tests.jobs_factory import TAGS, make_dataset, make_spec
from tools.context import Context
from tools.errors import Refused, ToolError, Unavailable
from tools.history.jobs import JobRecord
from tools.jobs.checkpoints import HALF, checkpoint_folders, latest_checkpoint, read_checkpoint
from tools.jobs.ending import CANCEL_FILE
from tools.work import outcome, train
from tools.work.batching import Batcher, GroupedOrder
from tools.work.load import load_model, load_tokenizer
from tools.work.objectives.supervised import summed_loss
from tools.work.recipe import Recipe
from tools.work.report import Cancelled, Job
from tools.work.rows import encode_split
from tools.work.template import template_hash

pytestmark = [
    pytest.mark.integration,
    # The training libraries warn of their own deprecations.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(autouse=True)
def unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the comparison with the base, which has tests of its own."""
    monkeypatch.setattr(outcome, "judge", lambda *_: {})


@pytest.fixture
def tiny(material: Path) -> Path:
    """A real pre-trained model of 260k parameters."""
    return material / "models" / "stories260K"


def _train(ctx: Context, spec: Any) -> JobRecord:
    job = job_here(ctx, spec)
    train.run(job)
    job.flush()
    return ctx.store.jobs.get(job.id)


def _losses(ctx: Context, record: JobRecord, name: str = "eval_loss") -> list[float]:
    events = ctx.store.jobs.events(record.id, kinds=["metrics"])
    return [e.payload[name] for e in events if e.payload[name] is not None]


def _by_step(ctx: Context, record: JobRecord) -> dict[tuple[int, str], float]:
    events = ctx.store.jobs.events(record.id, kinds=["metrics"])
    return {
        (e.payload["step"], name): e.payload[name]
        for e in events
        for name in ("loss", "eval_loss")
        if e.payload[name] is not None
    }


def _reloaded_loss(ctx: Context, record: JobRecord) -> float:
    spec = record.training
    name = "model" if spec.method == "full" else "adapter"
    folder = ctx.settings.home / record.artifacts[name]
    tokenizer = load_tokenizer(ctx.settings, spec, adapter=folder)
    model = load_model(ctx.settings, spec, adapter=folder)
    file = ctx.settings.dataset_folder(spec.dataset) / "validation.parquet"
    rows = encode_split(file, spec.objective, tokenizer, max_length=96, model=model)
    batch = Batcher(tokenizer.pad_token_id).join(rows.input_ids, rows.labels)
    total, count = summed_loss(model, batch)
    return float(total.detach()) / count


@pytest.mark.parametrize("method", ["lora", "dora", "qlora", "full"])
def test_every_method_learns_and_its_result_reloads_with_the_same_loss(
    ctx: Context, tiny: Path, method: str
) -> None:
    rate = 2e-3 if method == "full" else 1e-2
    spec = make_spec(make_dataset(ctx), tiny, method=method, learning_rate=rate)
    record = _train(ctx, spec)
    training = _losses(ctx, record, "loss")
    assert training[-1] < 0.6 * training[0]
    assert record.metrics["best_eval_loss"] == min(_losses(ctx, record)) < 0.6 * training[0]
    assert _reloaded_loss(ctx, record) == pytest.approx(record.metrics["best_eval_loss"], rel=1e-4)
    assert record.measured["memory_gib"] > 0.05


@pytest.mark.parametrize("objective", ["chat", "dpo", "kto", "token_classification", "grpo"])
def test_every_objective_learns(ctx: Context, tiny: Path, objective: str) -> None:
    labels = {"token_classification": TAGS, "sequence_classification": ("food", "pet", "toy")}
    changes: dict[str, Any] = {"labels": labels.get(objective, ())}
    if objective == "grpo":
        changes |= {"rewards": ("length:3", "one_line"), "max_steps": 4, "eval_steps": 2}
    record = _train(ctx, make_spec(make_dataset(ctx, objective), tiny, **changes))
    validation = _losses(ctx, record)
    assert min(validation) < _losses(ctx, record, "loss")[0]
    assert record.metrics["best_eval_loss"] == min(validation)


def test_the_probe_changes_nothing(ctx: Context, tiny: Path) -> None:
    spec = make_spec(make_dataset(ctx), tiny, dropout=0.2, max_steps=6)
    with_probe = _train(ctx, spec)
    without = _train(ctx, spec.model_copy(update={"probe": False}))
    assert _losses(ctx, with_probe, "loss") == _losses(ctx, without, "loss")


def test_going_on_from_the_last_step_trains_no_more(ctx: Context, tiny: Path) -> None:
    job = job_here(ctx, make_spec(make_dataset(ctx), tiny, max_steps=8, eval_steps=4, save_steps=4))
    for _ in range(2):
        train.run(job)
        job.flush()
    events = ctx.store.jobs.events(job.id, kinds=["metrics"])
    assert max(event.payload["step"] for event in events) == 8


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "dora", "batching": "packed", "dropout": 0.1},
        {"method": "qlora", "batching": "packed", "dropout": 0.1},
        {"method": "full", "learning_rate": 1e-3, "optimizer": "adafactor", "batching": "grouped"},
    ],
    ids=lambda changes: str(changes["method"]),
)
def test_a_run_that_died_ends_bit_for_bit_like_one_that_was_left_alone(
    ctx: Context, tiny: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    values = {"max_steps": 6, "eval_steps": 3, "save_steps": 2, "gradient_accumulation": 2}
    spec = make_spec(make_dataset(ctx), tiny, **values | changes)
    whole = _train(ctx, spec)
    real, steps = Recipe.compute_loss, list[int]()

    def dying(self: Recipe, *arguments: Any, **named: Any) -> Any:
        steps.append(1)
        # In the middle of the sixth step's two micro-batches.
        if len(steps) == 12:
            raise KeyboardInterrupt
        return real(self, *arguments, **named)

    monkeypatch.setattr(Recipe, "compute_loss", dying)
    job = job_here(ctx, spec)
    with pytest.raises(KeyboardInterrupt):
        train.run(job)
    # Killed, it tells nothing more: what it told last is lost with it.
    again = Job(job.record, job.settings, job.store)
    train.run(again)
    again.flush()
    died = ctx.store.jobs.get(job.id)
    assert _by_step(ctx, died) == _by_step(ctx, whole)
    (name,) = set(died.artifacts) & {"adapter", "model"}
    weights = "adapter_model.safetensors" if name == "adapter" else "model.safetensors"
    homes = [ctx.settings.home / record.artifacts[name] / weights for record in (died, whole)]
    assert homes[0].read_bytes() == homes[1].read_bytes()


def test_asked_to_stop_while_a_checkpoint_is_written_it_stops_within_two_steps(
    ctx: Context, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Recipe.save_model
    job = job_here(ctx, make_spec(make_dataset(ctx), tiny, max_steps=18))

    def asked(self: Recipe, output_dir: str | None = None, _internal_call: bool = False) -> None:
        (job.folder / CANCEL_FILE).touch()
        real(self, output_dir, _internal_call)

    monkeypatch.setattr(Recipe, "save_model", asked)
    with pytest.raises(Cancelled):
        train.run(job)
    folders = checkpoint_folders(job.folder)
    assert all(read_checkpoint(folder) for folder in folders)
    found = latest_checkpoint(job.folder, plan_hash=job.record.plan_hash)
    assert found is not None
    assert 6 <= found[1].step <= 8
    assert not list((job.folder / "checkpoints" / HALF).glob("*"))


def test_the_loss_is_that_of_transformers(ctx: Context, tiny: Path) -> None:
    spec = make_spec(make_dataset(ctx), tiny)
    tokenizer, model = load_tokenizer(ctx.settings, spec), load_model(ctx.settings, spec)
    file = ctx.settings.dataset_folder(spec.dataset) / "train.parquet"
    rows = encode_split(file, "prompt_completion", tokenizer, max_length=96, model=model)
    batch = Batcher(tokenizer.pad_token_id).join(rows.input_ids[:6], rows.labels[:6])
    total, count = summed_loss(model, batch)
    named = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    theirs = float(model(**named).loss.detach())
    assert float(total.detach()) / count == pytest.approx(theirs, rel=1e-5)


def test_the_result_carries_its_tokenizer_and_the_hash_of_its_template(
    ctx: Context, tiny: Path
) -> None:
    record = _train(ctx, make_spec(make_dataset(ctx), tiny, max_steps=2))
    folder = ctx.settings.home / record.artifacts["adapter"]
    facts = json.loads((folder / "luthier.json").read_text())
    tokenizer = load_tokenizer(ctx.settings, record.training, adapter=folder)
    assert facts["template_hash"] == template_hash(tokenizer)
    assert facts["plan_hash"] == record.plan_hash
    assert not list(folder.glob("*.bin"))


def test_the_best_checkpoint_is_kept_when_the_last_is_worse(ctx: Context, tiny: Path) -> None:
    # A rate far too high for its last steps: validation loss rises again.
    spec = make_spec(
        make_dataset(ctx), tiny, learning_rate=0.2, lr_scheduler="constant", warmup_ratio=0,
        max_steps=16, eval_steps=2, save_steps=2,
    )  # fmt: skip
    record = _train(ctx, spec)
    validation = _losses(ctx, record)
    assert record.metrics["best_eval_loss"] == min(validation)
    if record.metrics["best_step"] != record.metrics["last_step"]:
        assert _reloaded_loss(ctx, record) == pytest.approx(min(validation), rel=1e-3)
    assert len(checkpoint_folders(ctx.settings.job_folder(record.id))) <= 2


def test_the_best_of_a_method_that_cannot_be_put_back_is_kept_as_it_lies(
    ctx: Context, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Recipe._scored

    def worse_later(self: Recipe, batch: Any) -> Any:
        scores = real(self, batch)
        # Injected: validation says that everything after step 4 is bad.
        late = self.state.global_step > 4
        return replace(scores, total=scores.total + 100 * scores.items) if late else scores

    monkeypatch.setattr(Recipe, "_scored", worse_later)
    spec = make_spec(
        make_dataset(ctx), tiny, method="p_tuning", max_steps=6, eval_steps=2, save_steps=2,
    )  # fmt: skip
    record = _train(ctx, spec)
    assert record.metrics["best_step"] < record.metrics["last_step"]
    assert _reloaded_loss(ctx, record) == pytest.approx(min(_losses(ctx, record)), rel=1e-3)


def test_early_stopping_and_the_budget_end_a_run_with_its_best_state(
    ctx: Context, tiny: Path
) -> None:
    manifest = make_dataset(ctx)
    early = make_spec(
        manifest, tiny, learning_rate=0.3, lr_scheduler="constant", warmup_ratio=0,
        max_steps=200, eval_steps=2, early_stopping_patience=2,
    )  # fmt: skip
    record = _train(ctx, early)
    assert record.measured["steps"] < 200
    assert "validation loss" in record.metrics["stopped_because"]
    brief = make_spec(manifest, tiny, max_steps=5000, eval_steps=5000, max_minutes=0.02)
    record = _train(ctx, brief)
    assert 0 < record.measured["steps"] < 5000
    assert "minutes" in record.metrics["stopped_because"]


def test_a_loss_that_is_no_number_stops_the_run_with_its_cause(
    ctx: Context, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, steps = Recipe.compute_loss, []

    def poisoned(self: Recipe, *arguments: Any, **named: Any) -> Any:
        steps.append(1)
        loss = real(self, *arguments, **named)
        return loss * float("nan") if len(steps) > 3 else loss

    monkeypatch.setattr(Recipe, "compute_loss", poisoned)
    with pytest.raises(Refused, match="nan") as refused:
        _train(ctx, make_spec(make_dataset(ctx), tiny))
    assert refused.value.refused_by == "probe"
    assert len(steps) <= 5


def test_more_memory_than_allowed_is_refused_before_the_long_run(ctx: Context, tiny: Path) -> None:
    job = job_here(ctx, make_spec(make_dataset(ctx), tiny))
    job.settings = job.settings.model_copy(update={"memory_limit_gib": 0.01})
    with pytest.raises(Refused, match="GiB") as refused:
        train.run(job)
    assert refused.value.refused_by == "memory"


def test_a_full_disk_while_checkpointing_keeps_the_last_good_checkpoint(
    ctx: Context, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, saves = Recipe.save_model, []

    def full(self: Recipe, output_dir: str | None = None, _internal_call: bool = False) -> None:
        saves.append(output_dir)
        real(self, output_dir, _internal_call)
        if len(saves) > 1:
            # Injected: the disk fills up in the middle of the second checkpoint.
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Recipe, "save_model", full)
    job = job_here(ctx, make_spec(make_dataset(ctx), tiny, max_steps=18))
    with pytest.raises(Unavailable, match="full") as told:
        train.run(job)
    assert "resume" in told.value.hint
    found = latest_checkpoint(job.folder, plan_hash=job.record.plan_hash)
    assert found is not None
    assert found[1].step == 6
    assert [folder.name for folder in checkpoint_folders(job.folder)] == ["checkpoint-6"]


def test_an_unknown_model_and_changed_data_are_named(ctx: Context, tiny: Path) -> None:
    manifest = make_dataset(ctx)
    with pytest.raises(ToolError, match="nobody/nothing"):
        _train(ctx, make_spec(manifest, "nobody/nothing"))
    with pytest.raises(Refused, match="not what the plan was made for"):
        _train(ctx, make_spec(manifest, tiny, dataset_fingerprint="other"))


def test_the_order_of_rows_depends_on_seed_and_epoch_alone() -> None:
    lengths = [5 + (7 * i) % 23 for i in range(101)]
    order, again, other = (GroupedOrder(lengths, 8, seed) for seed in (1, 1, 2))
    assert list(order) == list(again) != list(other)
    assert sorted(order) == list(range(101))
    again.set_epoch(1)
    assert list(order) != list(again)
    wasted = sum(
        max(lengths[i] for i in batch) * len(batch) - sum(lengths[i] for i in batch)
        for batch in (list(order)[k : k + 8] for k in range(0, 101, 8))
    )
    assert wasted < 0.15 * sum(lengths)


@pytest.mark.parametrize("process", [0, 1])
def test_in_the_middle_of_a_later_epoch_each_process_goes_on_in_the_order_of_that_epoch(
    monkeypatch: pytest.MonkeyPatch, process: int
) -> None:
    order = GroupedOrder([5] * 24, 4, seed=7)
    rows: Any = DataLoader(TensorDataset(torch.arange(24)), sampler=order, batch_size=2)
    mine = prepare_data_loader(
        rows, num_processes=2, process_index=process, put_on_device=False
    )  # fmt: skip
    resumed = skip_first_batches(mine, 2)
    recipe = object.__new__(Recipe)
    recipe.state = SimpleNamespace(global_step=8, max_steps=12)
    recipe._order = order
    seen: list[int] = []

    def epoch_of(self: Recipe, *, epoch: int, train_dataloader: Any) -> None:
        # As transformers does, before it reads the first batch.
        train_dataloader.set_epoch(epoch)
        seen.extend(int(row) for (batch,) in train_dataloader for row in batch)

    monkeypatch.setattr(Trainer, "_run_epoch", epoch_of)
    recipe._run_epoch(epoch=1, train_dataloader=resumed)
    expected = GroupedOrder([5] * 24, 4, seed=7)
    expected.set_epoch(1)
    whole = list(expected)
    batches = [whole[i : i + 2] for i in range(0, 24, 2)][process::2]
    assert seen == [row for batch in batches[2:] for row in batch]
