"""How many parameters each method trains. Buffers that are not trained are not counted."""

from __future__ import annotations

from tools import methods
from tools.advise.shapes import Shape

_TOKENS = 20
"""Learned tokens of prompt methods where their row does not say."""


def trained_parameters(
    shape: Shape, method: str, rank: int, targets: str | tuple[str, ...] = "all-linear"
) -> int:
    """Return the parameters that get a gradient. Source: the papers of data/evidence.toml."""
    if method == "full":
        return shape.parameters
    kv = 2 * shape.kv_heads * shape.head_dim
    matrices = shape.targets(targets)
    tokens = int(methods.method(method).config.get("num_virtual_tokens", _TOKENS))
    counted = {
        "prompt_tuning": tokens * shape.hidden,
        "prefix_tuning": tokens * kv * shape.layers,
        "p_tuning": tokens * shape.hidden + 3 * shape.hidden**2,
        "adaption_prompt": shape.layers * (10 * shape.hidden + 1),
        "ia3": shape.layers * (kv + shape.intermediate),
        "ln_tuning": (shape.layers * shape.layer_norms + 1) * shape.hidden,
        "trainable_tokens": shape.hidden,
        "vera": shape.layers * sum(rank + li.outputs for li in matrices),
        "oft": shape.layers * sum(li.inputs * max(1, rank - 1) // 2 for li in matrices),
        "loha": 2 * shape.adapter_parameters(rank, targets),
        "fourierft": shape.layers * 1000 * len(matrices),
        "waveft": shape.layers * 2592 * len(matrices),
        "miss": shape.layers * sum(rank * li.outputs for li in matrices),
        "vblora": shape.layers * len(matrices) * rank * 256,
    }
    if method in counted:
        return counted[method]
    return shape.adapter_parameters(rank, targets, dora=method == "dora")
