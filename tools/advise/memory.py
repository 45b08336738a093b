"""Peak memory of a training step by arithmetic over the model's shape, in microseconds.

Every part is computed in bytes as PyTorch allocates it; `framework` adds what the process costs
before a model is there. Not covered: packing, custom kernels.
"""

from __future__ import annotations

from dataclasses import replace

from tools.advise.activations import activation_bytes, logit_bytes
from tools.advise.figures import GIB, MemoryEstimate
from tools.advise.processor import FLOOR_GIB, HIGH, LOW, on_processor
from tools.advise.programs import RECIPES, Recipe
from tools.advise.shapes import Linear, Shape
from tools.advise.workload import PRECISION_BYTES, Quantization, Workload

__all__ = [
    "PRECISION_BYTES", "QUANTIZED_BYTES", "RECIPES", "Quantization", "Recipe",
    "Workload", "estimate_memory", "quantised_linears", "weight_bytes",
]  # fmt: skip

STATE_BYTES: dict[str, float] = {
    "adamw": 8, "adamw_8bit": 2.1, "paged_adamw_8bit": 2.1, "adafactor": 0.1, "sgd": 0,
}  # fmt: skip
"""Optimiser state per trained parameter. Source: AdamW keeps two fp32 moments; the 8-bit one
keeps two bytes and a scale per 256; Adafactor one row and one column."""
QUANTIZED_BYTES: dict[str, float] = {
    "nf4": 0.5 + 4 / 64,
    "nf4-dq": 0.5 + 1 / 64 + 4 / (64 * 256),
    "int8": 1.0,
    "gptq": 0.5 + 4 / 128,
}
"""Bytes per quantised weight with its constants. Source: QLoRA (arXiv 2305.14314) §3."""


def estimate_memory(work: Workload, recipe: Recipe | None = None) -> MemoryEstimate:
    """Return the peak memory of a training step, by part and with its band.

    Args:
        recipe: Another program's habits than those that the workload names.
    """
    if recipe:
        work = replace(work, program=recipe)
    parts = _spread(work, _parts(work))
    if work.device == "cpu":
        kept_whole = 0 if work.quantized == "none" else (
            work.shape.parameters - _quantised_weights(work)
        )  # fmt: skip
        parts = on_processor(work, parts, kept_whole)
        certain, low, high, host = FLOOR_GIB, LOW, HIGH, 0.0
    else:
        parts["framework"] = work.habits.fixed_gib * GIB
        certain, low, high = 0.0, work.habits.low, work.habits.high
        host = 2.0 + 0.3 * sum(weight_bytes(work).values()) / GIB
    in_gib = {name: value / GIB for name, value in parts.items() if value}
    expected = sum(in_gib.values())
    unsure = expected - certain
    return MemoryEstimate(
        low_gib=0.96 * certain + low * unsure,
        expected_gib=expected,
        high_gib=1.08 * certain + high * unsure,
        parts=in_gib,
        basis="arithmetic over the model's shape",
        device=work.device,
        host_gib=host,
    )


def _parts(work: Workload) -> dict[str, float]:
    """Bytes by part at the peak."""
    recipe, trained = work.habits, work.trained_parameters
    parts = weight_bytes(work)
    number = PRECISION_BYTES[work.precision]
    exact = work.method != "full" or recipe.float32_masters or number == 4
    size = 4.0 if exact else float(number)
    if work.method != "full":
        parts["adapter"] = 4.0 * trained
    elif exact and number == 2:
        parts["16-bit copies"] = 2.0 * trained
    whole = 4.0 if recipe.float32_masters else float(number)
    parts["whole modules"] = whole * work.whole
    parts["gradients"] = size * trained + whole * work.whole
    parts["optimizer"] = STATE_BYTES[work.optimizer] * (size * trained + whole * work.whole) / 4
    if work.quantized != "none":
        parts["optimizer"] += recipe.quantised_state_bytes * trained
    parts["activations"] = activation_bytes(work)
    parts["logits"] = logit_bytes(work)
    if work.quantized != "none":
        parts["dequantised"] = float(_largest_matrix(work.shape) * (4 if number == 4 else 2))
        if number == 2 and work.raised:  # the float32 head is cast for the product
            parts["dequantised"] += 2.0 * work.shape.vocab * work.shape.hidden
    if work.method == "dora":
        parts["dora norms"] = 2.0 * _largest_matrix(work.shape) * number
    step = recipe.step_bytes * (work.whole + (0 if exact else trained))
    during = parts["activations"] + parts["logits"]
    # Gradients come as activations go, unless those of earlier micro-batches are kept.
    together = parts["gradients"] + during
    peak = max(parts["gradients"] + step, together if work.accumulates else during)
    parts["not at once"] = peak - together
    return parts


def _largest_matrix(shape: Shape) -> int:
    return max(li.inputs * li.outputs for li in shape.linears)


def _spread(work: Workload, parts: dict[str, float]) -> dict[str, float]:
    """Share the state out over the cards. Source: ZeRO, arXiv 1910.02054, §5."""
    if work.engine == "single" or work.gpus < 2:
        return parts
    shared: dict[str, tuple[str, ...]] = {
        "ddp": (),
        "zero1": ("optimizer",),
        "zero2": ("optimizer", "gradients"),
        "zero3": ("optimizer", "gradients", "weights", "quantisation constants", "adapter"),
    }
    shared["fsdp"] = shared["zero3"]
    spread = dict(parts)
    for name in shared[work.engine]:
        spread[name] = spread.get(name, 0.0) / work.gpus
    if work.offload != "none":
        spread["optimizer"] = 0.0
    if work.offload == "parameters":
        spread["weights"] = 0.0
    spread["communication"] = min(parts["gradients"], 1.0 * GIB)
    if work.engine in {"zero3", "fsdp"}:
        layer = (parts["weights"] + parts.get("quantisation constants", 0.0)) / (
            work.shape.layers + 2
        )
        spread["communication"] += 2 * layer
    return spread


def quantised_linears(shape: Shape, device: str) -> list[Linear]:
    """Return the matrices that a quantised base really holds in few bits.

    On a CPU bitsandbytes wants inputs in multiples of 64 and outputs in multiples of 32; what
    does not fit stays in full precision. Source: seen with bitsandbytes 0.50.
    """
    return [
        li for li in shape.linears if device == "cuda" or not (li.inputs % 64 or li.outputs % 32)
    ]


def _quantised_weights(work: Workload) -> int:
    return work.shape.layers * sum(
        li.copies * li.inputs * li.outputs for li in quantised_linears(work.shape, work.device)
    )


def weight_bytes(work: Workload) -> dict[str, float]:
    """Bytes of the base model's weights, and of its quantisation constants."""
    dense = PRECISION_BYTES[work.precision]
    kind = work.quantized
    if work.method == "full" and work.habits.float32_masters:
        dense = 4
    if kind == "none":
        return {"weights": float(work.shape.parameters * dense)}
    matrices = _quantised_weights(work)
    rest = (work.shape.parameters - matrices) * (4 if work.raised else dense)
    bare = 1.0 if kind == "int8" else 0.5
    return {
        "weights": matrices * bare + rest,
        "quantisation constants": matrices * (QUANTIZED_BYTES[kind] - bare),
    }
