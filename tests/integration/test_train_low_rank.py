"""LoRA's product in one step is PEFT's own, and steps aside wherever more than that is asked."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from tools.work.low_rank import compute_in_one

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

_IDS = torch.arange(3, 43).view(2, 20)


def _pair(bias: bool = False, **options: Any) -> tuple[Any, Any]:
    """Return a small model with LoRA as PEFT computes it, and its copy that does it in one step."""
    torch.manual_seed(1)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 64}
    model = LlamaForCausalLM(
        LlamaConfig(num_attention_heads=4, num_key_value_heads=2, attention_bias=bias, **shape)
    )
    config = LoraConfig(
        **{"r": 3, "lora_alpha": 5, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
        | options
    )
    plain = get_peft_model(model, config)
    for name, parameter in plain.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return plain, compute_in_one(copy.deepcopy(plain))


def _gradients(model: Any) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    torch.manual_seed(2)  # for dropout
    loss = model(input_ids=_IDS, labels=_IDS).loss
    loss.backward()
    return float(loss.detach()), {
        name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None
    }


def _assert_alike(one: Any, other: Any) -> None:
    (loss, gradients), (expected_loss, expected) = _gradients(one), _gradients(other)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        scale = float(expected[name].abs().max())
        assert torch.allclose(gradient, expected[name], atol=1e-5 * scale), name


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": True},
        {"use_rslora": True},
        {"use_dora": True},
        {"lora_dropout": 0.3},
        {"lora_bias": True},
        {"init_lora_weights": "pissa"},
        {"modules_to_save": ["lm_head"]},
        {"rank_pattern": {"q_proj": 7}, "alpha_pattern": {"q_proj": 2}},
        {"target_modules": ["embed_tokens", "q_proj"]},
    ],
    ids=str,
)
def test_gradients_are_those_of_peft(options: dict[str, Any]) -> None:
    plain, in_one = _pair(**options)
    _assert_alike(in_one, plain)


def test_it_is_used_where_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, in_one = _pair()
    calls = []
    linear = type(plain.base_model.model.model.layers[0].self_attn.q_proj)
    monkeypatch.setattr(linear, "forward", lambda *a, **_: calls.append(1))
    in_one(input_ids=_IDS)
    assert not calls


def test_an_adapter_that_is_off_merged_or_another_is_respected() -> None:
    plain, in_one = _pair()
    for model in (plain, in_one):
        model.add_adapter("second", LoraConfig(r=2, target_modules=["q_proj"]))
    with torch.no_grad(), plain.disable_adapter(), in_one.disable_adapter():
        assert torch.equal(plain(input_ids=_IDS).logits, in_one(input_ids=_IDS).logits)
    for name in ("second", "default"):
        plain.set_adapter(name)
        in_one.set_adapter(name)
        with torch.no_grad():
            assert torch.allclose(
                plain(input_ids=_IDS).logits, in_one(input_ids=_IDS).logits, atol=1e-5
            )
    in_one.merge_adapter()
    with torch.no_grad():
        merged = in_one(input_ids=_IDS).logits
        assert torch.allclose(plain(input_ids=_IDS).logits, merged, atol=1e-4)


def test_sixteen_bits_and_autocast_are_left_to_peft() -> None:
    plain, in_one = _pair()
    with torch.autocast("cpu", torch.bfloat16):
        _assert_alike(in_one, plain)
    for model in (plain, in_one):
        model.to(torch.bfloat16)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    _assert_alike(in_one, plain)


def test_a_recomputed_layer_has_the_same_gradients() -> None:
    plain, in_one = _pair()
    for model in (plain, in_one):
        model.base_model.model.activation_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
        model.train()
    _assert_alike(in_one, plain)
