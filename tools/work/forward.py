"""How a model's answers are scored in training: any method, padded or packed, any engine.

Packed rows stand end to end in one sequence without padding. Attention runs row by row (see
`attend_rows_apart`), so rows never see each other and no mask over the whole sequence is needed.
Not covered: models with other layers than attention (state spaces), whose rows are padded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tools.work.rows import MASKED

ROWS_APART = "rows_apart"
_ROW_LAYERS = {"full_attention", "sliding_attention"}
_UNUSUAL_HEADS = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "output_multiplier",
    "lm_head_multiplier",
)
_HALF = 0.5
Batch = dict[str, torch.Tensor]
T = TypeVar("T")


@dataclass(frozen=True)
class Block:
    """Neighbouring rows of similar length, attended to together.

    Attributes:
        place: Shape (rows × longest): token of the sequence; a short row repeats its last one.
        real: Shape (tokens): which of those places are no repetition.
    """

    rows: int
    longest: int
    place: torch.Tensor
    real: torch.Tensor


def blocks(lengths: Sequence[int], device: torch.device) -> list[Block]:
    """Cut a packed sequence into blocks whose longest row is at most twice as long as any."""
    found, start, first = [], 0, 0
    while first < len(lengths):
        longest, last = lengths[first], first
        while last < len(lengths) and longest * _HALF <= lengths[last] <= longest:
            last += 1
        last = max(last, first + 1)
        sizes = torch.tensor(lengths[first:last])
        begins = start + sizes.cumsum(0) - sizes
        steps = torch.arange(longest)
        place = begins[:, None] + torch.minimum(steps, sizes[:, None] - 1)
        real = (steps < sizes[:, None]).flatten().nonzero().flatten()
        found.append(Block(last - first, longest, place.flatten().to(device), real.to(device)))
        start, first = start + int(sizes.sum()), last
    return found


def attend_rows_apart(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    row_blocks: list[Block] | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each row of a packed sequence; without `row_blocks` this is plain SDPA.

    Shapes: query (1, heads, tokens, width), result (1, tokens, heads, width). What a short row
    repeats at its end lies in its own future, so that causal attention never looks at it.
    """
    if row_blocks is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    window = options.get("sliding_window")
    answers = []
    for block in row_blocks:
        parts = [
            one[0].index_select(1, block.place).unflatten(1, (block.rows, block.longest))
            for one in (query, key, value)
        ]
        mask = _window_mask(block.longest, window, query.device)
        answer, _ = sdpa_attention_forward(
            module,
            *(part.transpose(0, 1) for part in parts),
            mask,
            is_causal=mask is None,
            dropout=options.get("dropout", 0.0),
            scaling=options.get("scaling"),
        )
        answers.append(answer.flatten(0, 1).index_select(0, block.real))
    return torch.cat(answers)[None], None


def _window_mask(longest: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    if window is None or longest <= window:
        return None
    steps = torch.arange(longest, device=device)
    behind = steps[:, None] - steps
    return ((behind >= 0) & (behind < window))[None, None]


AttentionInterface.register(ROWS_APART, attend_rows_apart)
AttentionMaskInterface.register(ROWS_APART, sdpa_mask)


def may_pack(model: Any) -> bool:
    """Tell whether a model's layers can keep packed rows apart; None is no model at all."""
    if model is None:
        return False
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        bool(getattr(model, "_supports_attention_backend", False))
        and model.config._attn_implementation in {"sdpa", ROWS_APART}
        and layers <= _ROW_LAYERS
        and not any(getattr(config, name, None) for name in ("attn_logit_softcapping",))
        and not any("sinks" in name for name, _ in model.named_parameters())
    )


def keep_rows_apart(model: Any) -> None:
    """Let a model that may pack attend within rows from now on."""
    model.set_attn_implementation(ROWS_APART)


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


def trained_logits(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what predicts the trained tokens of a batch.

    Only hidden states that predict a trained token go through the head, where it is a plain one.

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
        "row_blocks": blocks(batch["row_lengths"].tolist(), ids.device),
    }
