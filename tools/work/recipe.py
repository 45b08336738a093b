"""TRL's trainer, with the parts replaced that cost time or exactness on real, short rows.

- The loss looks at trained positions only: no logits for prompts and padding.
- Batches hold rows of similar length, in an order that depends on seed and epoch alone.
- Validation weighs tokens, not batches, and draws no random numbers.
- A checkpoint counts only once its manifest is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.nn import functional
from torch.utils.data import Sampler
from trl.trainer.sft_trainer import SFTTrainer

from tools.work.report import Job
from tools.work.rows import MASKED, Encoded

_GROUP_BATCHES = 8
_UNUSUAL_HEADS = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "output_multiplier",
    "lm_head_multiplier",
)


class Collator:
    """Pads a batch to its longest row; padding has the label -100."""

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        """Return ids, attention and labels, each of shape (rows, longest row)."""
        width = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), width), self._pad_id)
        labels = torch.full((len(rows), width), MASKED)
        attention = torch.zeros((len(rows), width), dtype=torch.long)
        for i, row in enumerate(rows):
            size = len(row["input_ids"])
            ids[i, :size] = torch.tensor(row["input_ids"])
            labels[i, :size] = torch.tensor(row["labels"])
            attention[i, :size] = 1
        return {"input_ids": ids, "attention_mask": attention, "labels": labels}


class GroupedOrder(Sampler[int]):
    """A random order in which rows of similar length stand together.

    Rows are shuffled, cut into groups of a few batches, sorted within each group, and the batches
    of a group are shuffled again. Small groups keep batches nearly as random as without: larger
    ones waste less padding but reach a higher loss in the same number of steps.
    """

    def __init__(self, lengths: list[int], batch_rows: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_rows = batch_rows
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of another epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 100_003 + self._epoch)
        order = torch.randperm(len(self._lengths), generator=generator).tolist()
        size = self._batch_rows * _GROUP_BATCHES
        for start in range(0, len(order), size):
            group = sorted(order[start : start + size], key=lambda row: self._lengths[row])
            batches = [
                group[i : i + self._batch_rows] for i in range(0, len(group), self._batch_rows)
            ]
            # A short batch stays last, so that all before it are full.
            whole = len(batches) - (len(batches[-1]) < self._batch_rows)
            shuffled = torch.randperm(whole, generator=generator).tolist()
            for i in [*shuffled, *range(whole, len(batches))]:
                yield from batches[i]


class Recipe(SFTTrainer):
    """The trainer of every supervised method; what differs is the model it is given."""

    control: Any

    def __init__(
        self,
        *,
        job: Job,
        held_out: Encoded,
        on_checkpoint: Callable[[Path], None],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._job = job
        self._held_out = held_out
        self._on_checkpoint = on_checkpoint
        config = self.model.config.get_text_config()
        self._plain_head = not any(
            getattr(config, name, None) not in (None, 1.0) for name in _UNUSUAL_HEADS
        ) and not getattr(config, "output_router_logits", False)
        self.tokens_seen = 0

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the mean negative log-likelihood of the trained tokens."""
        if model.training:
            self.tokens_seen += int(inputs["attention_mask"].sum())
        if not self._plain_head or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        total, count = summed_loss(model, inputs)
        items = count if num_items_in_batch is None else num_items_in_batch
        return total / torch.as_tensor(items).clamp(min=1)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return the mean loss per trained token of the held-out rows."""
        model = self.model
        was_training = model.training
        model.eval()
        total, count = 0.0, 0
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in self._held_out_batches():
                self._job.check_cancelled()
                batch = {k: v.to(self.args.device) for k, v in batch.items()}
                loss, tokens = self._held_out_loss(model, batch)
                total, count = total + loss, count + tokens
        model.train(was_training)
        metrics = {"eval_loss": total / max(1, count)}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return nothing: counting them walks over every module at every step."""
        return 0

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write none: what is known of a run stands in the history."""

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the weights that were trained, as safetensors and nothing else."""
        save_weights(self.model, Path(output_dir or self.args.output_dir))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self._on_checkpoint(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}")

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        lengths = [len(ids) for ids in (train_dataset or self.train_dataset)["input_ids"]]
        rows = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return GroupedOrder(lengths, rows, self.args.seed)

    def _held_out_batches(self) -> Iterator[dict[str, torch.Tensor]]:
        rows = self._held_out
        order = sorted(range(len(rows.input_ids)), key=lambda i: len(rows.input_ids[i]))
        size = self.args.per_device_eval_batch_size
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            yield self.data_collator(
                [{"input_ids": rows.input_ids[i], "labels": rows.labels[i]} for i in chosen]
            )

    def _held_out_loss(self, model: Any, batch: dict[str, torch.Tensor]) -> tuple[float, int]:
        if self._plain_head:
            total, tokens = summed_loss(model, batch)
            return float(total), tokens
        tokens = int((batch["labels"][:, 1:] != MASKED).sum())
        mean = super().compute_loss(model, dict(batch), num_items_in_batch=tokens)
        return float(mean) * tokens, tokens


def summed_loss(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, int]:
    """Return the summed loss of the trained tokens of a batch, and their number.

    Only hidden states that predict a trained token go through the head. Shapes: hidden
    (batch, length, width), picked (tokens, width), logits (tokens, vocabulary).
    """
    language_model = model.get_base_model() if hasattr(model, "get_base_model") else model
    backbone = language_model.base_model
    hidden = backbone(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
    ).last_hidden_state
    labels = batch["labels"][:, 1:]
    trained = labels != MASKED
    picked = hidden[:, :-1][trained]
    logits = language_model.get_output_embeddings()(picked).float()
    return functional.cross_entropy(logits, labels[trained], reduction="sum"), len(picked)


def as_dataset(encoded: Encoded) -> Dataset:
    """Return encoded rows as the trainer wants them, in memory."""
    return Dataset.from_dict({"input_ids": encoded.input_ids, "labels": encoded.labels})


def save_weights(model: Any, folder: Path) -> None:
    """Save a model's trained weights: an adapter, or the whole model."""
    options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
    model.save_pretrained(str(folder), safe_serialization=True, **options)
