"""Packed rows: end to end in one sequence without padding.

Attention runs row by row (see `attend_rows_apart`), so rows never see each other and no mask over
the whole sequence is needed: on a GPU in one kernel for all rows, elsewhere in blocks of rows of
similar length.
Not covered: models with other layers than attention (state spaces), whose rows are padded.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ROWS_APART = "rows_apart"
_ROW_LAYERS = {"full_attention", "sliding_attention"}
_SIMILAR = 0.8
"""The shortest row of a block is at least this share of its longest; more blocks cost more calls
than they save in padding."""
_KERNEL_TYPES = {torch.bfloat16, torch.float16}
_KERNEL_WIDTH = 256
"""The widest head that FlashAttention-2 knows."""
# Before torch 2.12 grouped heads were taken without being told.
_GROUPED = {"enable_gqa": True} if "enable_gqa" in inspect.signature(varlen_attn).parameters else {}


@dataclass(frozen=True)
class Block:
    """Neighbouring rows of similar length, attended to together.

    Attributes:
        place: Shape (rows × longest): token of the block; a short row repeats its last one.
        real: Shape (tokens): which of those places are no repetition.
    """

    rows: int
    longest: int
    place: torch.Tensor
    real: torch.Tensor


def blocks(lengths: Sequence[int], device: torch.device) -> list[Block]:
    """Cut a packed sequence into blocks of neighbouring rows of similar length."""
    found, first = [], 0
    while first < len(lengths):
        longest, last = lengths[first], first
        while last < len(lengths) and longest * _SIMILAR <= lengths[last] <= longest:
            last += 1
        last = max(last, first + 1)
        sizes = torch.tensor(lengths[first:last])
        begins = sizes.cumsum(0) - sizes
        steps = torch.arange(longest)
        place = begins[:, None] + torch.minimum(steps, sizes[:, None] - 1)
        real = (steps < sizes[:, None]).flatten().nonzero().flatten()
        found.append(Block(last - first, longest, place.flatten().to(device), real.to(device)))
        first = last
    return found


class _Spread(torch.autograd.Function):
    """Gives each row of a block a place of the longest row's length.

    What is repeated at a row's end is seen by nobody, so its gradient is zero and going back is
    picking the real places: adding up into a whole sequence of zeros would cost more.
    Shapes: packed (heads, tokens, width), spread (heads, rows × longest, width).
    """

    @staticmethod
    def forward(ctx: Any, packed: torch.Tensor, block: Block) -> torch.Tensor:
        ctx.block = block
        return packed.index_select(1, block.place)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        return grads[0].index_select(1, ctx.block.real), None


class PackedRows:
    """Where the rows of a packed sequence begin and end.

    Attributes:
        lengths: Tokens of each row, in the order of the sequence.
        ends: Shape (rows + 1): 0, and where each row ends, as the kernel wants it.
    """

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        self.lengths = list(lengths)
        self._device = device

    @cached_property
    def ends(self) -> torch.Tensor:
        """Made once for all layers."""
        ends = torch.tensor([0, *self.lengths]).cumsum(0).to(torch.int32)
        return ends.to(self._device, non_blocking=True)

    @cached_property
    def blocks(self) -> list[Block]:
        """Made once for all layers."""
        return blocks(self.lengths, self._device)


def attend_rows_apart(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    packed_rows: PackedRows | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each row of a packed sequence; without `packed_rows` this is plain SDPA.

    Shapes: query (1, heads, tokens, width), result (1, tokens, heads, width).
    """
    if packed_rows is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    if query.is_cuda and torch.is_autocast_enabled("cuda"):
        # Plain SDPA is lowered by autocast itself; the kernel is not.
        number = torch.get_autocast_dtype("cuda")
        query, key, value = (part.to(number) for part in (query, key, value))
    if _has_kernel(query, options.get("dropout", 0.0)):
        return _attend_in_one_kernel(query, key, value, packed_rows, options), None
    return _attend_in_blocks(module, query, key, value, packed_rows.blocks, options), None


def _has_kernel(query: torch.Tensor, dropout: float) -> bool:
    return (
        query.is_cuda
        and query.dtype in _KERNEL_TYPES
        and query.shape[-1] <= _KERNEL_WIDTH
        and not dropout
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


def _attend_in_one_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    rows: PackedRows,
    options: dict[str, Any],
) -> torch.Tensor:
    # The window of transformers counts the token itself, the kernel's does not.
    window = options.get("sliding_window")
    longest = max(rows.lengths)
    query, key, value = (part[0].transpose(0, 1) for part in (query, key, value))
    reach = -1 if window is None or window >= longest else window - 1
    more: dict[str, Any] = {"scale": options.get("scaling"), "window_size": (reach, 0), **_GROUPED}
    answer = varlen_attn(query, key, value, rows.ends, rows.ends, longest, longest, **more)
    assert isinstance(answer, torch.Tensor)
    return answer[None]


def _attend_in_blocks(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    row_blocks: list[Block],
    options: dict[str, Any],
) -> torch.Tensor:
    """Attend block by block.

    What a short row repeats at its end lies in its own future, so that causal attention never
    looks at it.
    """
    window = options.get("sliding_window")
    sizes = [len(block.real) for block in row_blocks]
    packed = [one[0].split(sizes, dim=1) for one in (query, key, value)]
    answers = []
    for block, *own in zip(row_blocks, *packed, strict=True):
        parts = [_spread(one, block).unflatten(1, (block.rows, block.longest)) for one in own]
        mask = _window_mask(block.longest, window, query.device)
        answer, _ = sdpa_attention_forward(
            module,
            *(part.transpose(0, 1) for part in parts),
            mask,
            is_causal=mask is None,
            dropout=options.get("dropout", 0.0),
            scaling=options.get("scaling"),
        )
        answer = answer.flatten(0, 1)
        whole = len(block.real) == len(block.place)
        answers.append(answer if whole else answer.index_select(0, block.real))
    return torch.cat(answers)[None]


def _spread(packed: torch.Tensor, block: Block) -> torch.Tensor:
    if len(block.real) == len(block.place):
        return packed
    spread: torch.Tensor = _Spread.apply(packed, block)
    return spread


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
