"""LoRA's product in one step: `x Wᵀ + b + s (x Aᵀ) Bᵀ` and its gradients, without copies between.

PEFT computes the two summands apart, scales one and adds them: on a small model each of these
passes over all activations costs as much as the product itself. Here the narrow product is added
into the wide one where it lies. The numbers are the same but for rounding.
Not covered: variants (DoRA), merged or several active adapters, quantised bases and autocast; there
PEFT's own forward runs.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch.nn import functional


class _Product(torch.autograd.Function):
    """Shapes: x (…, in), weight (out, in), a (rank, in), b (out, rank), result (…, out)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        low = rows @ a.t()
        result = functional.linear(rows, weight, bias).addmm_(low, b.t(), alpha=scaling)
        ctx.save_for_backward(rows, low, weight, a, b)
        ctx.scaling = scaling
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        rows, low, weight, a, b = ctx.saved_tensors
        grad = grads[0].reshape(-1, weight.shape[0])
        narrow = (grad @ b).mul_(ctx.scaling)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad @ weight).addmm_(narrow, a).view(*grads[0].shape[:-1], -1)
        # Narrow matrices stand on the left, where the product is twice as fast.
        grad_b = (low.t() @ grad).t().mul(ctx.scaling)
        return grad_x, None, None, narrow.t() @ rows, grad_b, None


def compute_in_one(model: Any) -> Any:
    """Let every plain LoRA matrix of a PEFT model compute its product in one step."""
    from peft.tuners.lora.layer import Linear  # noqa: PLC0415 - slow, and not every run needs it

    for module in model.modules():
        if type(module) is Linear and type(module.base_layer) is torch.nn.Linear:
            module.forward = types.MethodType(_forward, module)
    return model


def _forward(layer: Any, x: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
    names = layer.active_adapters
    if arguments or named or len(names) != 1 or not _is_plain(layer, names[0], x):
        result: torch.Tensor = type(layer).forward(layer, x, *arguments, **named)
        return result
    a, b = layer.lora_A[names[0]].weight, layer.lora_B[names[0]].weight
    base = layer.base_layer
    product: torch.Tensor = _Product.apply(
        x, base.weight, base.bias, a, b, float(layer.scaling[names[0]])
    )
    return product


def _is_plain(layer: Any, name: str, x: torch.Tensor) -> bool:
    """Tell whether nothing but the two products happens in a layer now."""
    weight = layer.base_layer.weight
    return (
        name in layer.lora_A
        and name not in layer.lora_variant
        and not layer.disable_adapters
        and not layer.merged
        and not layer.lora_bias[name]
        and isinstance(layer.lora_dropout[name], torch.nn.Identity)
        and x.dtype == weight.dtype == layer.lora_A[name].weight.dtype
        and not weight.requires_grad
        and not torch.is_autocast_enabled(x.device.type)
    )
