"""How a model's answers are scored in training: any method, padded or packed, any engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.nn import functional

from tools.work.last_layer import answering_only, last_feed_forward
from tools.work.packing import PackedRows
from tools.work.rows import MASKED

_UNUSUAL_HEADS = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "output_multiplier",
    "lm_head_multiplier",
)
Batch = dict[str, torch.Tensor]
T = TypeVar("T")


def open_door(model: Any) -> None:
    """Let `call_through` run work inside this model's forward pass."""
    original = model.forward

    def forward(*arguments: Any, _work: Callable[[], Any] | None = None, **named: Any) -> Any:
        return original(*arguments, **named) if _work is None else _work()

    model.forward = forward


def call_through(wrapped: Any, work: Callable[[], T]) -> T:
    """Do work on the inner model inside the forward pass of whatever wraps it.

    Wrappers (DDP, DeepSpeed, FSDP, autocast) do their part in `forward`; work that went around it
    would leave gradients unsynchronised. The model must have been given to `open_door`.
    """
    result: T = wrapped(_work=work)
    return result


def trained_logits(
    model: Any, batch: Batch, *, sparse: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what predicts the trained tokens of a batch.

    Only hidden states that predict a trained token go through the head, where it is a plain one.

    Args:
        sparse: And only they through the last layer's feed-forward part; see `may_be_sparse`.

    Returns:
        Logits in float32 (tokens, vocabulary), the trained tokens and the row of each (tokens).
    """
    labels = batch["labels"][:, 1:]
    trained = labels != MASKED
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    if is_prompt(model) or not plain_head(inner):
        logits = model(**_inputs(batch), use_cache=False).logits
        # Learned positions stand in front of the text.
        picked = logits[:, -batch["labels"].shape[1] :][:, :-1][trained]
    else:
        part = last_feed_forward(inner) if sparse else None
        with answering_only(part, functional.pad(trained, (0, 1))):
            hidden = inner.base_model(**_inputs(batch), use_cache=False).last_hidden_state
        picked = inner.get_output_embeddings()(hidden[:, :-1][trained])
    return picked.float(), labels[trained], batch["rows"][:, 1:][trained]


def is_prompt(model: Any) -> bool:
    """Tell whether an adapter is a learned prompt, which only the whole model puts in front."""
    config = getattr(model, "active_peft_config", None)
    return bool(getattr(config, "is_prompt_learning", False))


def plain_head(model: Any) -> bool:
    """Tell whether logits are the output embedding's, with nothing done to them afterwards."""
    config = model.config.get_text_config()
    unusual = any(getattr(config, name, None) not in (None, 1.0) for name in _UNUSUAL_HEADS)
    return not unusual and not getattr(config, "output_router_logits", False)


def _inputs(batch: Batch) -> dict[str, Any]:
    ids = batch["input_ids"]
    if "row_lengths" not in batch:
        return {"input_ids": ids, "attention_mask": batch["attention_mask"]}
    return {
        "input_ids": ids,
        "position_ids": batch["position_ids"],
        # A mask of four dimensions is taken as it is: none is built over the whole sequence.
        "attention_mask": ids.new_ones((1, 1, 1, 1), dtype=torch.bool),
        "packed_rows": PackedRows(batch["row_lengths"].tolist(), ids.device),
    }
