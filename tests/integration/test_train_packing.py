"""Packed rows give the gradients of padded ones in every family of architectures, or are padded."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tools.work.batching import Batcher
from tools.work.forward import trained_logits
from tools.work.last_layer import last_feed_forward
from tools.work.objectives import rows_stay_apart
from tools.work.objectives.supervised import summed_loss
from tools.work.packing import keep_rows_apart, may_pack
from tools.work.rows import Encoded

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

_WINDOW = 16
_SIZES = (5, 9, 33, 60, 7, 40)
"""Tokens of each row: some are longer than the window."""
_SHAPE: dict[str, Any] = {
    "vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 96, "max_position_embeddings": 256,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
_GPT2 = {
    "vocab_size": 128, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_PACKED: list[tuple[str, dict[str, Any]]] = [
    ("llama", _SHAPE),
    ("gpt2", _GPT2),
    ("gpt_neox", _SHAPE),
    ("qwen2", _SHAPE | {"use_sliding_window": True, "sliding_window": _WINDOW,
                        "max_window_layers": 1}),
    ("qwen3", _SHAPE | {"head_dim": 16}),
    ("mistral", _SHAPE | {"sliding_window": _WINDOW}),
    ("mixtral", _SHAPE | {"num_local_experts": 2, "num_experts_per_tok": 1}),
    ("phi", _SHAPE),
    ("phi3", _SHAPE | {"sliding_window": _WINDOW}),
    ("gemma", _SHAPE | {"head_dim": 16}),
    ("gemma3_text", _SHAPE | {"head_dim": 16, "sliding_window": _WINDOW}),
    ("smollm3", _SHAPE),
    ("olmo2", _SHAPE),
    ("opt", {"vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2, "ffn_dim": 96,
             "num_attention_heads": 4, "max_position_embeddings": 256, "dropout": 0.0,
             "word_embed_proj_dim": 64}),
]  # fmt: skip
_PADDED: list[tuple[str, dict[str, Any]]] = [
    # Caps its attention scores, which the packed kernel does not.
    ("gemma2", _SHAPE | {"head_dim": 16, "sliding_window": _WINDOW}),
    ("gpt_neo", {"vocab_size": 128, "hidden_size": 64, "num_layers": 2, "num_heads": 4,
                 "attention_types": [[["global", "local"], 1]]}),
    ("mamba", {"vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2}),
]  # fmt: skip


def _model(kind: str, shape: dict[str, Any]) -> Any:
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape)).train()
    for parameter in model.parameters():
        # Larger than usual, so that attending to the wrong row shows.
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return model


def _rows() -> list[list[int]]:
    chooser = random.Random(1)
    return [[chooser.randrange(3, 128) for _ in range(size)] for size in _SIZES]


def _gradients(model: Any, *, packed: bool) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    rows = _rows()
    loss, count = summed_loss(model, Batcher(0, packed=packed).join(rows, rows))
    (loss / count).backward()
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return float(loss.detach()), torch.cat(gradients)


@pytest.mark.parametrize(("kind", "shape"), _PACKED, ids=[kind for kind, _ in _PACKED])
def test_packed_rows_have_the_gradients_of_padded_ones(kind: str, shape: dict[str, Any]) -> None:
    model = _model(kind, shape)
    assert may_pack(model)
    keep_rows_apart(model)
    assert rows_stay_apart(model, Encoded(_rows(), _rows()))
    loss, gradients = _gradients(model, packed=True)
    other, expected = _gradients(model, packed=False)
    assert loss == pytest.approx(other, rel=1e-5)
    assert float((gradients - expected).norm()) < 1e-5 * float(expected.norm())


@pytest.mark.parametrize(("kind", "shape"), _PADDED, ids=[kind for kind, _ in _PADDED])
def test_models_that_would_mix_packed_rows_are_not_packed(kind: str, shape: dict[str, Any]) -> None:
    assert not may_pack(_model(kind, shape))


_WITHOUT = {"mixtral", "opt"}
"""Their last layer has experts, or no feed-forward part of its own."""


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("kind", "shape"), _PACKED, ids=[kind for kind, _ in _PACKED])
def test_a_last_layer_that_answers_for_trained_tokens_only_has_the_same_gradients(
    kind: str, shape: dict[str, Any], packed: bool
) -> None:
    model = _model(kind, shape)
    assert (last_feed_forward(model) is None) == (kind in _WITHOUT)
    keep_rows_apart(model)
    rows = _rows()
    # The answer stands at the end, as it does in most data; one row is all answer.
    labels = [rows[0]] + [[-100] * (len(row) - 3) + row[-3:] for row in rows[1:]]
    found = []
    for sparse in (True, False):
        model.zero_grad()
        batch = Batcher(0, packed=packed).join(rows, labels)
        logits, targets, _ = trained_logits(model, batch, sparse=sparse)
        loss = torch.nn.functional.cross_entropy(logits, targets)
        loss.backward()
        parts = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        found.append((float(loss.detach()), torch.cat(parts)))
    (one, gradients), (other, expected) = found
    assert one == pytest.approx(other, rel=1e-5)
    assert float((gradients - expected).norm()) < 1e-5 * float(expected.norm())


def test_a_recomputed_last_layer_is_left_whole() -> None:
    model = _model("llama", _SHAPE)
    model.activation_checkpointing_enable()
    assert last_feed_forward(model) is None
