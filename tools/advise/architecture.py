"""From a model's config.json to its shape: how each family of causal models is built.

Parameter counts follow the modelling code of transformers 5. A family that is not known here is
refused rather than guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tools.advise.shapes import Linear, Shape
from tools.errors import BadInput

__all__ = ["Linear", "Shape", "known_families", "shape_of"]


_MOST_PARAMETERS = 10**14
"""A hundred times the largest model there is."""


def shape_of(config: dict[str, Any]) -> Shape:
    """Read the shape of a causal language model from its configuration.

    Raises:
        BadInput: The family is unknown, or a size is missing.
    """
    config = _text_part(config)
    family = str(config.get("model_type") or "")
    build = FAMILIES.get(family)
    if build is None:
        raise BadInput(
            f"The model's architecture ({family or 'none named in config.json'}) is not one that "
            "can be sized here.",
            hint=f"These work: {', '.join(sorted(FAMILIES))}.",
        )
    try:
        return _sensible(build(family, config))
    except KeyError as error:
        raise BadInput(
            f"The model's config.json does not say {error.args[0]}.",
            hint="Use the config.json that was published with the model.",
        ) from error
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise BadInput(
            f"The model's config.json holds a size that makes no sense: {error}.",
            hint="Use the config.json that was published with the model.",
        ) from error


def _sensible(shape: Shape) -> Shape:
    """Return the shape, or raise ValueError for one that no model can have."""
    sizes = {
        "layers": shape.layers, "hidden size": shape.hidden, "vocabulary": shape.vocab,
        "context": shape.context,
    }  # fmt: skip
    sizes |= {line.name: line.inputs * line.outputs for line in shape.linears}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} {size}")
    if shape.parameters > _MOST_PARAMETERS:
        raise ValueError(f"{shape.parameters:.2g} parameters")
    return shape


def known_families() -> frozenset[str]:
    """Return the `model_type` names that can be sized."""
    return frozenset(FAMILIES)


def _text_part(config: dict[str, Any]) -> dict[str, Any]:
    inner = config.get("text_config")
    return {**inner, "_outer": config.get("model_type")} if isinstance(inner, dict) else config


def _common(config: dict[str, Any]) -> dict[str, Any]:
    """Sizes that most families name alike."""
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    return {
        "hidden": hidden,
        "layers": int(config["num_hidden_layers"]),
        "heads": heads,
        "kv_heads": int(config.get("num_key_value_heads") or heads),
        "head_dim": int(config.get("head_dim") or hidden // heads),
        "intermediate": int(config["intermediate_size"]),
        "vocab": int(config["vocab_size"]),
        "context": int(config.get("max_position_embeddings") or 2048),
        "sliding_window": int(window) if window else None,
    }


def _attention(
    c: dict[str, Any], *, qkv_bias: bool = False, out_bias: bool = False
) -> list[Linear]:
    q, kv = c["heads"] * c["head_dim"], c["kv_heads"] * c["head_dim"]
    return [
        Linear("q_proj", c["hidden"], q, qkv_bias, block="attention"),
        Linear("k_proj", c["hidden"], kv, qkv_bias, block="attention"),
        Linear("v_proj", c["hidden"], kv, qkv_bias, block="attention"),
        Linear("o_proj", q, c["hidden"], out_bias, block="attention"),
    ]


def _swiglu(c: dict[str, Any], *, bias: bool = False) -> list[Linear]:
    h, i = c["hidden"], c["intermediate"]
    return [
        Linear("gate_proj", h, i, bias),
        Linear("up_proj", h, i, bias),
        Linear("down_proj", i, h, bias),
    ]


def _llama(family: str, config: dict[str, Any]) -> Shape:
    """Llama and the families built like it."""
    c = _common(config)
    h = c["hidden"]
    bias = bool(config.get("attention_bias", False))
    qkv_bias = bias or family in {"qwen2", "qwen2_moe"}
    norms = 4 if family in {"gemma2", "gemma3_text"} else 2
    extras = norms * h
    if family in {"qwen3", "qwen3_moe", "gemma3_text"}:
        extras += 2 * c["head_dim"]
    if family == "olmo2":
        extras += c["heads"] * c["head_dim"] + c["kv_heads"] * c["head_dim"]
    out_bias = bias and family in {"llama", "granite"}
    linears = _attention(c, qkv_bias=qkv_bias, out_bias=out_bias)
    linears += _experts(c, config) or _swiglu(c, bias=bool(config.get("mlp_bias", False)))
    default_tie = family.startswith("gemma")
    tie = config.get("tie_word_embeddings")
    return Shape(
        family=family,
        **c,
        tied=default_tie if tie is None else bool(tie),
        gated=True,
        linears=tuple(linears),
        layer_extras=extras,
        other_parameters=h,
        layer_norms=norms,
        softcapped=bool(config.get("final_logit_softcapping")),
    )


def _experts(c: dict[str, Any], config: dict[str, Any]) -> list[Linear]:
    count = int(config.get("num_local_experts") or config.get("num_experts") or 0)
    if not count:
        return []
    active = int(config.get("num_experts_per_tok") or 2)
    size = int(config.get("moe_intermediate_size") or c["intermediate"])
    h = c["hidden"]
    lines = [
        Linear(name, i, o, copies=count, active=active)
        for name, i, o in (
            ("gate_proj", h, size),
            ("up_proj", h, size),
            ("down_proj", size, h),
        )
    ]
    shared = int(config.get("shared_expert_intermediate_size") or 0)
    if shared:
        lines += [
            Linear("shared_gate_proj", h, shared),
            Linear("shared_up_proj", h, shared),
            Linear("shared_down_proj", shared, h),
            Linear("shared_expert_gate", h, 1),
        ]
    return [*lines, Linear("router", h, count)]


def _phi3(family: str, config: dict[str, Any]) -> Shape:
    """Phi-3 and Phi-4: fused projections."""
    c = _common(config)
    h, i = c["hidden"], c["intermediate"]
    q, kv = c["heads"] * c["head_dim"], c["kv_heads"] * c["head_dim"]
    linears = (
        Linear("qkv_proj", h, q + 2 * kv, block="attention"),
        Linear("o_proj", q, h, block="attention"),
        Linear("gate_up_proj", h, 2 * i),
        Linear("down_proj", i, h),
    )
    tied = bool(config.get("tie_word_embeddings", False))
    return Shape(family, **c, tied=tied, gated=True, linears=linears, layer_extras=2 * h,
                 other_parameters=h)  # fmt: skip


def _phi(family: str, config: dict[str, Any]) -> Shape:
    """Phi-1.5 and Phi-2: one norm a layer, biases everywhere, plain feed-forward."""
    c = _common(config)
    h, i = c["hidden"], c["intermediate"]
    q, kv = c["heads"] * c["head_dim"], c["kv_heads"] * c["head_dim"]
    linears = (
        Linear("q_proj", h, q, True, block="attention"),
        Linear("k_proj", h, kv, True, block="attention"),
        Linear("v_proj", h, kv, True, block="attention"),
        Linear("dense", q, h, True, block="attention"),
        Linear("fc1", h, i, True),
        Linear("fc2", i, h, True),
    )
    return Shape(family, **c, tied=False, gated=False, linears=linears, layer_extras=2 * h,
                 other_parameters=2 * h + c["vocab"], layer_norms=1)  # fmt: skip


def _gpt2(family: str, config: dict[str, Any]) -> Shape:
    """GPT-2, DialoGPT: fused attention, learned positions, tied head."""
    h = int(config["n_embd"])
    heads = int(config["n_head"])
    context = int(config.get("n_positions") or config.get("n_ctx") or 1024)
    i = int(config.get("n_inner") or 4 * h)
    linears = (
        Linear("c_attn", h, 3 * h, True, block="attention"),
        Linear("c_proj", h, h, True, block="attention"),
        Linear("c_fc", h, i, True),
        Linear("c_proj", i, h, True),
    )
    return Shape(
        family=family, hidden=h, layers=int(config["n_layer"]), heads=heads, kv_heads=heads,
        head_dim=h // heads, intermediate=i, vocab=int(config["vocab_size"]), context=context,
        tied=True, gated=False, linears=linears, layer_extras=4 * h,
        other_parameters=2 * h + context * h,
        inner_dropout=float(config.get("attn_pdrop", 0.1)) > 0,
    )  # fmt: skip


def _neox(family: str, config: dict[str, Any]) -> Shape:
    """GPT-NeoX, Pythia: fused attention, biases, untied head."""
    c = _common(config)
    h, i = c["hidden"], c["intermediate"]
    linears = (
        Linear("query_key_value", h, 3 * h, True, block="attention"),
        Linear("dense", h, h, True, block="attention"),
        Linear("dense_h_to_4h", h, i, True),
        Linear("dense_4h_to_h", i, h, True),
    )
    tied = bool(config.get("tie_word_embeddings", False))
    return Shape(family, **c, tied=tied, gated=False, linears=linears, layer_extras=4 * h,
                 other_parameters=2 * h)  # fmt: skip


def _opt(family: str, config: dict[str, Any]) -> Shape:
    """OPT: learned positions (two more than the context), tied head, biases."""
    c = _common({**config, "intermediate_size": config["ffn_dim"]})
    h, i = c["hidden"], c["intermediate"]
    linears = (
        *(Linear(f"{n}_proj", h, h, True, block="attention") for n in ("q", "k", "v", "out")),
        Linear("fc1", h, i, True),
        Linear("fc2", i, h, True),
    )
    return Shape(family, **c, tied=bool(config.get("tie_word_embeddings", True)), gated=False,
                 linears=linears, layer_extras=4 * h,
                 other_parameters=2 * h + (c["context"] + 2) * h)  # fmt: skip


def _starcoder2(family: str, config: dict[str, Any]) -> Shape:
    """StarCoder2: grouped attention, plain feed-forward, biases."""
    c = _common(config)
    h, i = c["hidden"], c["intermediate"]
    bias = bool(config.get("use_bias", True))
    linears = (
        *_attention(c, qkv_bias=bias, out_bias=bias),
        Linear("c_fc", h, i, bias),
        Linear("c_proj", i, h, bias),
    )
    tied = bool(config.get("tie_word_embeddings", True))
    return Shape(family, **c, tied=tied, gated=False, linears=linears, layer_extras=4 * h,
                 other_parameters=2 * h)  # fmt: skip


def _qwen1(family: str, config: dict[str, Any]) -> Shape:
    """The first Qwen: fused attention with bias, `w1`/`w2`/`c_proj`; its own code on the Hub."""
    c = _common(config)
    h, i = c["hidden"], c["intermediate"] // 2
    linears = (
        Linear("c_attn", h, 3 * h, True, block="attention"),
        Linear("c_proj", h, h, block="attention"),
        Linear("w1", h, i),
        Linear("w2", h, i),
        Linear("c_proj", i, h),
    )
    c["intermediate"] = i
    return Shape(family, **c, tied=False, gated=True, linears=linears, layer_extras=2 * h,
                 other_parameters=h)  # fmt: skip


_LLAMA_LIKE = (
    "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "granite", "olmo",
    "olmo2", "smollm3", "mixtral", "qwen2_moe", "qwen3_moe", "ministral",
)  # fmt: skip
FAMILIES: dict[str, Callable[[str, dict[str, Any]], Shape]] = {
    **dict.fromkeys(_LLAMA_LIKE, _llama),
    "phi3": _phi3,
    "phi": _phi,
    "gpt2": _gpt2,
    "gpt_neox": _neox,
    "opt": _opt,
    "starcoder2": _starcoder2,
    "qwen": _qwen1,
}
