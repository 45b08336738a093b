"""Peak memory of a training step by arithmetic over the model's shape, in microseconds.

Every part is computed in bytes as PyTorch allocates it; `framework` adds what the process costs
before a model is there. Not covered: several GPUs (see `sharding`), packing, custom kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tools.advise.architecture import Linear, Shape
from tools.advise.figures import GIB, MemoryEstimate
from tools.history.spec import Device, Precision

Quantization = Literal["none", "nf4", "nf4-dq", "int8"]
Optimizer = Literal["adamw", "adamw_8bit", "adafactor", "sgd"]

PRECISION_BYTES: dict[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
STATE_BYTES: dict[str, float] = {"adamw": 8, "adamw_8bit": 2.1, "adafactor": 0.1, "sgd": 0}
"""Optimiser state per trained parameter. Source: AdamW keeps two fp32 moments; the 8-bit one
keeps two bytes and a scale per 256; Adafactor one row and one column."""
QUANTIZED_BYTES: dict[str, float] = {
    "nf4": 0.5 + 4 / 64,
    "nf4-dq": 0.5 + 1 / 64 + 4 / (64 * 256),
    "int8": 1.0,
}
"""Bytes per quantised weight with its constants. Source: QLoRA (arXiv 2305.14314) §3."""

CPU_FLOOR_GIB = 0.545
"""Resident size of a worker with torch, transformers, peft and trl imported and a trainer built.
Measured on x86-64 Linux, Python 3.11, torch 2.13 (0.534–0.544 over eight runs)."""
CPU_ACTIVATION_FACTOR = 1.75
"""Resident growth per byte of saved activations: gradients of activations, the heap's slack."""
CUDA_CONTEXT_GIB = 0.55
"""CUDA context, cuBLAS workspaces and loaded kernels of one process."""
CUDA_SLACK = 0.04
"""Share that the caching allocator reserves beyond what is allocated."""


@dataclass(frozen=True)
class Workload:
    """One training step whose memory is asked.

    Attributes:
        batch: Rows of one micro-batch; accumulation does not change the peak.
        length: Tokens of the longest row after truncation.
        trained_share: Share of the tokens whose logits are computed for the loss.
        engine, gpus: How the state is spread, and over how many cards.
        offload: Optimiser state (and with ZeRO-3 the weights) lie in the machine's memory.
    """

    shape: Shape
    method: str
    batch: int
    length: int
    rank: int = 16
    targets: str | tuple[str, ...] = "all-linear"
    precision: Precision = "float32"
    quantization: Quantization = "none"
    optimizer: Optimizer = "adamw"
    checkpointing: bool = False
    device: Device = "cpu"
    trained_share: float = 1.0
    engine: str = "single"
    gpus: int = 1
    offload: bool = False

    @property
    def quantized(self) -> Quantization:
        """QLoRA means double-quantised NF4 where nothing else is said."""
        return "nf4-dq" if self.method == "qlora" and self.quantization == "none" else (
            self.quantization
        )  # fmt: skip

    @property
    def trained_parameters(self) -> int:
        """Parameters that get a gradient."""
        if self.method == "full":
            return self.shape.parameters
        if self.method in {"prompt_tuning", "prefix_tuning"}:
            layers = 2 * self.shape.layers if self.method == "prefix_tuning" else 1
            return 20 * self.shape.hidden * layers
        if self.method == "ia3":
            return self.shape.layers * (
                2 * self.shape.kv_heads * self.shape.head_dim + self.shape.intermediate
            )
        return self.shape.adapter_parameters(self.rank, self.targets, dora=self.method == "dora")


def estimate_memory(work: Workload) -> MemoryEstimate:
    """Return the peak memory of a training step, by part and with its band."""
    parts = _spread(work, _parts(work))
    if work.device == "cpu":
        parts["framework"] = CPU_FLOOR_GIB * GIB
        spread_low, spread_high, host = 0.12, 0.2, 0.0
    else:
        allocated = sum(parts.values())
        parts["framework"] = CUDA_CONTEXT_GIB * GIB + CUDA_SLACK * allocated
        spread_low, spread_high, host = 0.12, 0.15, 1.6 + 0.3 * work.shape.parameters * 2 / GIB
    in_gib = {name: value / GIB for name, value in parts.items() if value}
    expected = sum(in_gib.values())
    certain = in_gib["framework"] if work.device == "cpu" else 0.0
    unsure = expected - certain
    return MemoryEstimate(
        low_gib=0.96 * certain + (1 - spread_low) * unsure,
        expected_gib=expected,
        high_gib=1.08 * certain + (1 + spread_high) * unsure,
        parts=in_gib,
        basis="arithmetic over the model's shape",
        device=work.device,
        host_gib=host,
    )


def _parts(work: Workload) -> dict[str, float]:
    """Bytes by part at the peak."""
    parts = weight_bytes(work)
    trained = work.trained_parameters
    weight = PRECISION_BYTES[work.precision]
    if work.method == "full":
        gradient = weight
        state = STATE_BYTES[work.optimizer] * (weight / 4 if work.optimizer == "adamw" else 1)
    else:
        parts["adapter"] = 4.0 * trained
        gradient, state = 4, STATE_BYTES[work.optimizer]
    parts["gradients"] = float(gradient * trained)
    parts["optimizer"] = state * trained
    saved, logits = _saved_bytes(work), _logit_bytes(work)
    one_layer = _layer_bytes(work)
    factor = CPU_ACTIVATION_FACTOR if work.device == "cpu" else 1.0
    parts["activations"] = factor * (max(saved + one_layer, saved) if work.checkpointing else saved)
    parts["logits"] = factor * logits
    if work.quantized in {"nf4", "nf4-dq"}:
        largest = max(li.inputs * li.outputs for li in work.shape.linears)
        parts["dequantised"] = float(largest * (4 if work.device == "cpu" else 2))
    if work.method == "dora":
        largest = max(li.inputs * li.outputs for li in work.shape.linears)
        parts["dora norms"] = 2.0 * largest * weight
    return parts


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
    if work.offload:
        spread["optimizer"] = 0.0
        if work.engine == "zero3":
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


def weight_bytes(work: Workload) -> dict[str, float]:
    """Bytes of the base model's weights, and of its quantisation constants."""
    dense = PRECISION_BYTES[work.precision]
    kind = work.quantized
    if kind == "none":
        return {"weights": float(work.shape.parameters * dense)}
    matrices = work.shape.layers * sum(
        li.copies * li.inputs * li.outputs for li in quantised_linears(work.shape, work.device)
    )
    rest = (work.shape.parameters - matrices) * dense
    bare = 1.0 if kind == "int8" else 0.5
    return {
        "weights": matrices * bare + rest,
        "quantisation constants": matrices * (QUANTIZED_BYTES[kind] - bare),
    }


def _layer_bytes(work: Workload) -> float:
    """Bytes that one layer's forward pass keeps for its backward pass, without checkpointing."""
    shape, tokens = work.shape, work.batch * work.length
    number = PRECISION_BYTES[work.precision]
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    attention = 2 * q + 2 * kv + q
    experts = max((li.active for li in shape.linears), default=1)
    feed_forward = (4 if shape.gated else 2) * shape.intermediate * experts
    norms = shape.layer_norms * shape.hidden * (number + (4 if number == 2 else number))
    adapters = 0.0
    if work.method != "full":
        copies = sum(li.inputs * li.active for li in shape.targets(work.targets))
        ranks = work.rank * sum(li.active for li in shape.targets(work.targets))
        adapters = ranks * number + (copies * number if number == 2 else 0)
        if work.method == "dora":
            adapters += number * sum(li.outputs * li.active for li in shape.targets(work.targets))
    return tokens * ((attention + feed_forward) * number + norms + adapters)


def _saved_bytes(work: Workload) -> float:
    """Bytes all layers keep: everything, or only each layer's input with checkpointing."""
    if not work.checkpointing:
        return work.shape.layers * _layer_bytes(work)
    number = PRECISION_BYTES[work.precision]
    return float(work.shape.layers * work.batch * work.length * work.shape.hidden * number)


def _logit_bytes(work: Workload) -> float:
    """Bytes of the logits with their copies in the loss: fp32 and gradient."""
    number = PRECISION_BYTES[work.precision]
    copies = number + 4 + 4 if number == 2 else 3 * 4
    return work.trained_share * work.batch * work.length * work.shape.vocab * copies
