"""The last layer's feed-forward part, where its answer is read and nowhere else.

With prompts and answers most positions are not trained: what the last layer's feed-forward part
adds to them is seen by no later layer and by no loss. Leaving it out changes no number that counts
and saves that share of the layer, which is much of a small model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_NAMES = ("layers", "h")


def last_feed_forward(model: Any) -> torch.nn.Module | None:
    """Return that part of a causal model, or None where it is not a plain one of its own.

    A mixture of experts looks at all tokens to balance them; a recomputed layer would be
    recomputed whole.
    """
    decoder = getattr(model, "base_model", None)
    config = model.config.get_text_config()
    layers = next((found for n in _NAMES if (found := getattr(decoder, n, None)) is not None), None)
    if not isinstance(layers, torch.nn.ModuleList) or len(layers) != config.num_hidden_layers:
        return None
    part = getattr(layers[-1], "mlp", None)
    plain = type(part).__name__.endswith("MLP") and not model.is_activation_checkpointing
    return part if plain else None


@contextmanager
def answering_only(part: torch.nn.Module | None, read: torch.Tensor) -> Iterator[None]:
    """Let a position-wise part answer only where that is read, with zeros elsewhere.

    Args:
        part: Takes one tensor of shape (rows, positions, width); None leaves all as it is.
        read: Shape (rows, positions), bool.
    """
    if part is None:
        yield
        return
    whole = part.forward
    places = read.flatten().nonzero().flatten()

    def forward(x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        answer = whole(rows.index_select(0, places))
        silent = answer.new_zeros(rows.shape)
        return silent.index_copy(0, places, answer).view_as(x)

    part.forward = forward
    try:
        yield
    finally:
        part.forward = whole
