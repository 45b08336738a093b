"""The one recipe of every objective: transformers' trainer, with the parts replaced that cost time
or exactness on real, short rows.

- The loss is the objective's, and looks at trained positions only.
- Batches hold rows end to end or of similar length; their order depends on seed and epoch alone.
- Validation weighs tokens, not batches, and draws no random numbers.
- A checkpoint counts only once its manifest is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import PrinterCallback, Trainer

from tools.jobs.checkpoints import HALF
from tools.jobs.ending import CANCEL_FILE
from tools.work.batching import Examples, GroupedOrder
from tools.work.computing import computing
from tools.work.engines import agree, whole_weights
from tools.work.forward import Batch, call_through, open_door
from tools.work.methods import Allocation, extra_loss, saving_options
from tools.work.objectives import Objective, Scores
from tools.work.report import Job
from tools.work.rows import Encoded
from tools.work.saving import offloading

_HELD_OUT_TOKENS = 2048
"""A batch of validation may hold so many, even where a step holds fewer."""


class Recipe(Trainer):
    """The trainer of every method and objective; what differs is the model and the objective."""

    control: Any

    def __init__(
        self,
        *,
        job: Job,
        objective: Objective,
        rows: Encoded,
        held_out: Encoded,
        on_checkpoint: Callable[[Path], None],
        **options: Any,
    ) -> None:
        open_door(options["model"])
        super().__init__(
            train_dataset=Examples(rows),
            eval_dataset=Examples(held_out),
            data_collator=objective.collate,
            **options,
        )
        self.add_callback(Allocation())
        self.remove_callback(PrinterCallback)
        # The loss is divided by all items of an update here, not by accumulation steps there.
        self.model_accepts_loss_kwargs = True
        self._job = job
        self._objective = objective
        self._rows = rows
        self._held_out = held_out
        self._on_checkpoint = on_checkpoint
        # Validation must not need more memory than a step, least of all where that ran out.
        a_step = objective.spec.batch_size * max(rows.lengths)
        tight = objective.spec != job.record.training
        self._room = a_step if tight else max(a_step, _HELD_OUT_TOKENS)
        self.cancelled = False
        self.tokens_seen = 0
        self.slots_seen = 0

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> torch.Tensor:
        """Return the objective's loss, averaged over the items of the whole update."""
        self.tokens_seen += _tokens(inputs)
        self.slots_seen += int(inputs["input_ids"].numel())
        inner = self.model

        def work() -> torch.Tensor:
            scores = self._objective.loss(inner, inputs)
            items = scores.items if num_items_in_batch is None else num_items_in_batch
            loss = scores.total / torch.as_tensor(items, device=scores.total.device).clamp(min=1)
            extra = extra_loss(inner)
            return loss if extra is None else loss + extra

        with offloading(self._objective.spec):
            loss = call_through(model, work)
        # Items were counted over all processes, whose gradients are then averaged.
        shared = self.args.average_tokens_across_devices and num_items_in_batch is not None
        return loss * self.accelerator.num_processes if shared else loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return the mean loss per item of the held-out rows, and what else is measured."""
        model = self.model
        was_training = model.training
        model.eval()
        sums: dict[str, float] = {}
        total, count = 0.0, 0
        spec = self._objective.spec
        with torch.no_grad(), self.compute_loss_context_manager(), computing(spec, self.model):
            for batch in self._held_out_batches():
                if agree((self._job.folder / CANCEL_FILE).exists())[0]:
                    return self._stop_here(was_training)
                scores = self._scored({k: v.to(self.args.device) for k, v in batch.items()})
                total, count = total + float(scores.total), count + scores.items
                for name, value in scores.sums.items():
                    sums[name] = sums.get(name, 0.0) + value
        model.train(was_training)
        metrics = {"eval_loss": total / max(1, count)}
        metrics |= {f"eval_{name}": value / max(1, count) for name, value in sums.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _stop_here(self, was_training: bool) -> dict[str, float]:
        """Leave an evaluation unfinished, so that the run stops with a checkpoint of this step."""
        self.model.train(was_training)
        self.cancelled = True
        self.control.should_save = self.control.should_training_stop = True
        return {}

    def floating_point_ops(self, inputs: Batch) -> int:
        """Return nothing: counting them walks over every module at every step."""
        return 0

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write none: what is known of a run stands in the history."""

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the weights that were trained, as safetensors and nothing else."""
        state = whole_weights(self)
        if self.args.should_save:
            save_weights(self.model, Path(output_dir or self.args.output_dir), state=state)

    def _half(self) -> Path:
        return Path(self.args.output_dir) / HALF

    def _get_output_dir(self, trial: Any) -> str:
        # What is being written has another place than what is whole.
        return str(self._half())

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        # Every rank writes a part; it is a checkpoint once all are there.
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            self._on_checkpoint(self._half() / f"checkpoint-{self.state.global_step}")
        self.accelerator.wait_for_everyone()

    def _get_num_items_in_batch(
        self, batch_samples: list[Batch], device: torch.device
    ) -> torch.Tensor | None:
        if not batch_samples:
            return None
        items = torch.stack([batch["items"].to(device) for batch in batch_samples]).sum()
        if self.args.average_tokens_across_devices and self.accelerator.num_processes > 1:
            items = self.accelerator.gather(items).sum()
        return items

    def _run_epoch(self, **options: Any) -> None:
        """Choose the epoch's order; train nothing more where a checkpoint holds the last step.

        transformers looks whether a run is over only after a step.
        """
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        # Of several processes each has its loader wrapped, and once more where it goes on from the
        # middle of an epoch: accelerate's `set_epoch` does not reach through that.
        self._order.set_epoch(options["epoch"])
        super()._run_epoch(**options)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows = self.args.train_batch_size * self.args.gradient_accumulation_steps
        rows *= self.args.world_size
        grouped = self._objective.spec.batching == "grouped"
        groups = {} if grouped else {"groups": 1}
        self._order = GroupedOrder(self._rows.lengths, rows, self.args.seed, **groups)
        return self._order

    def _held_out_batches(self) -> Iterator[Batch]:
        rows = self._held_out
        order = sorted(range(len(rows)), key=lambda i: rows.lengths[i])
        most, taken = self.args.per_device_eval_batch_size, list[int]()
        for i in order:
            # Sorted by length, so that the row that comes is the longest of its batch.
            if taken and (len(taken) == most or (len(taken) + 1) * rows.lengths[i] > self._room):
                yield self._objective.collate([rows.row(n) for n in taken])
                taken = []
            taken.append(i)
        if taken:
            yield self._objective.collate([rows.row(n) for n in taken])

    def _scored(self, batch: Batch) -> Scores:
        if self.is_fsdp_enabled:
            # What FSDP shards comes together only in the forward pass of the whole.
            return call_through(self.model_wrapped, lambda: self._objective.loss(self.model, batch))
        return self._objective.loss(self.model, batch)


def _tokens(batch: Batch) -> int:
    """Return the tokens of a batch, padding apart."""
    if "attention_mask" in batch:
        return int(batch["attention_mask"].sum())
    return int(batch["input_ids"].numel())


def save_weights(
    model: Any,
    folder: Path,
    job_folder: Path | None = None,
    *,
    state: dict[str, torch.Tensor] | None = None,
) -> None:
    """Save a model's trained weights: an adapter, or the whole model.

    Args:
        job_folder: Where the adapter's start was kept, for a result that is told from it.
        state: All weights, where each process holds only a part of them.
    """
    options = saving_options(model, job_folder or folder)
    if state is not None:
        options["state_dict"] = state
    model.save_pretrained(str(folder), safe_serialization=True, **options)
