"""Peak memory of a training step on a processor: what autograd keeps, and what the heap holds.

Counted in float32 as torch's CPU kernels allocate it; the counts were held against the exact trace
of such steps (tools/work/trace.py). A card differs: its dropout keeps masks of one byte, its
attention no scores, and its allocator uses freed blocks again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tools.advise.shapes import Linear, Shape
from tools.advise.workload import PRECISION_BYTES, Workload

_LOGIT_BYTES = 12.0
"""In float32: the logit, its log-probability and its gradient."""
_COMPOSED_GELU = frozenset({"gpt2", "phi"})
"""Families whose activation is written out in Python and keeps four tensors, not two."""
_UNTURNED = frozenset({"gpt2", "opt"})
"""Families with learned positions instead of rotary ones."""
_SCORES_KEPT = 3.0
"""Tensors of attention scores that a layer keeps where attention itself has dropout: the
probabilities, the mask, and their product."""


FLOOR_GIB = 0.55
"""Resident size of a worker with torch, transformers, peft and trl imported and rows read, before
the first step. Measured on x86-64 Linux, Python 3.11, torch 2.13."""
LOW, HIGH = 0.80, 1.25
"""The band round everything but the floor."""
_HELD, _HELD_ADAPTER, _HELD_QUANTISED = 1.4, 3.6, 5.2
"""What the heap holds beside what is alive, as a multiple of what one layer keeps: plainly, with an
adapter beside every matrix, and with one beside quantised matrices. glibc gives torch aligned
blocks and does not find the freed ones again for an equal request, so what a layer makes and drops
stays resident once, though not for every layer. An adapter makes more than it keeps: the base's
output, its own, scaled, and their sum. Where freed memory goes back at once (M_MMAP_THRESHOLD), all
of this is gone, but steps took 1.4 to 1.9 times as long (measured)."""
_HELD_OF_LOGITS = 0.3
"""The same multiple is taken of this share of the logits: of one of their three copies."""
_WITHOUT_CHECKPOINTING = 1.1
"""The same, times this, where the layers' kept tensors lie between the dropped ones."""
_UNPACKED = 6.0
"""Copies of one layer's matrices in float32 that unpacking a 4-bit base leaves in the heap."""
_STEPPING = 3.5
"""Copies of the largest trained matrix while AdamW steps through it."""
_BITSANDBYTES_GIB = 0.03
_GIB = 2**30


@dataclass(frozen=True)
class Step:
    """Bytes of one step.

    Attributes:
        kept: What the forward pass of all layers keeps for the backward pass.
        layer: What one layer keeps, dropout's masks apart.
        passing: Gradients inside the layer that the backward pass is in.
        logits: Logits of the trained tokens with their log-probabilities and gradients.
    """

    kept: float
    layer: float
    passing: float
    logits: float

    @property
    def live(self) -> float:
        """Bytes alive at the peak: at the logits, or in the layer that is gone through backward."""
        return self.kept + max(self.logits, self.passing)


def on_processor(work: Workload, parts: dict[str, float], kept_whole: int) -> dict[str, float]:
    """Return what a process on the processor takes, by part, from the bytes that a card takes.

    Args:
        kept_whole: Weights of a quantised base that stay in float32; preparing it copies them.
    """
    step = step_of(work)
    running = step.live + (parts["gradients"] if work.accumulates else 0.0)
    stepping = parts["gradients"]
    if work.optimizer == "adamw":
        stepping += _STEPPING * 4 * _largest_trained(work)
    held = _held(work, step)
    here = {
        **parts,
        "framework": FLOOR_GIB * _GIB,
        "activations": step.live - step.logits,
        "logits": step.logits,
        "not at once": max(stepping, running) - parts["gradients"] - step.live,
        "dequantised": 0.0,
        "the probe's copy": 4.0 * work.trained_parameters,
        "held by the heap": held,
    }
    if work.quantized != "none":
        here["raised copies"] = _BITSANDBYTES_GIB * _GIB + 4.0 * kept_whole
    return {name: max(1, work.gpus) * value for name, value in here.items()}


def _held(work: Workload, step: Step) -> float:
    """Bytes of dropped tensors that the heap cannot use again."""
    dropped = step.layer + step.passing + _HELD_OF_LOGITS * step.logits
    if work.method == "full":
        return _HELD * dropped
    linears = work.shape.linears
    wide = sum(li.outputs * li.active for li in linears)
    beside = sum(li.outputs * li.active for li in work.shape.targets(work.targets)) / wide
    most = _HELD_ADAPTER if work.quantized == "none" else _HELD_QUANTISED
    held = (_HELD + (most - _HELD) * beside) * dropped
    if work.quantized != "none":
        held += _UNPACKED * 4 * sum(li.inputs * li.outputs * li.active for li in linears)
    return held if work.checkpointing else _WITHOUT_CHECKPOINTING * held


def _largest_trained(work: Workload) -> int:
    """Numbers of the largest matrix that is trained."""
    shape = work.shape
    if work.method == "full":
        matrices = (li.inputs * li.outputs for li in shape.linears)
        return max(shape.vocab * shape.hidden, *matrices)
    return work.rank * max(max(li.inputs, li.outputs) for li in shape.linears)


def step_of(work: Workload) -> Step:
    """Count the bytes of a step on a processor."""
    shape = work.shape
    token = work.fill * work.rows * work.length * PRECISION_BYTES[work.precision]
    plain = token * _layer_floats(replace(work, dropout=0.0))
    layer = token * _layer_floats(work)
    passing = token * (3 * shape.intermediate * _experts(shape) + shape.hidden)
    logits = _LOGIT_BYTES * work.fill * work.logits
    kept = shape.layers * layer
    if work.checkpointing:
        # A layer is computed again when the logits are gone.
        inputs = token * shape.layers * shape.hidden
        kept = inputs + max(0.0, layer + passing - max(logits, passing))
    return Step(kept, plain, passing, logits)


def _experts(shape: Shape) -> int:
    return max((li.active for li in shape.linears), default=1)


def _layer_floats(work: Workload) -> float:
    """Numbers a token that one layer keeps."""
    shape = work.shape
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    learning = shape.linears if work.method == "full" else shape.targets(work.targets)
    floats = float(q + 2 * kv)
    if shape.family not in _UNTURNED:  # turned queries and keys are copies
        floats += 2 * q + shape.hidden
    floats += _feed_forward(shape) * shape.intermediate * _experts(shape)
    floats += shape.layer_norms * shape.hidden * (2 if work.method == "full" else 1)
    floats += _inputs(shape, learning)
    if shape.inner_dropout:
        floats += 2 * shape.hidden + _SCORES_KEPT * shape.heads * work.length
    elif work.attention == "eager":
        floats += _SCORES_KEPT * shape.heads * work.length
    return floats + (_adapter_floats(work, learning) if work.method != "full" else 0.0)


def _feed_forward(shape: Shape) -> int:
    """Tensors as wide as the feed-forward block that its activation keeps."""
    if shape.gated:
        return 3
    return 4 if shape.family in _COMPOSED_GELU else 1


def _inputs(shape: Shape, learning: tuple[Linear, ...]) -> float:
    """Inputs of what learns, each kept once: both blocks' norms and the inner product."""
    first = any(li.block == "attention" and li.inputs == shape.hidden for li in learning)
    second = any(li.block != "attention" and li.inputs == shape.hidden for li in learning)
    inner = any(li.block != "attention" and li.inputs != shape.hidden for li in learning)
    wide = shape.intermediate * _experts(shape)
    return shape.hidden * (first + second) + (wide if inner else 0)


def _adapter_floats(work: Workload, learning: tuple[Linear, ...]) -> float:
    """What the adapter's own branch keeps: its dropout's mask and product, and for DoRA both sums.

    With dropout the plain input is kept no longer.
    """
    floats = float(work.rank * sum(li.active for li in learning))
    if work.drops:
        floats += 2.0 * sum(li.inputs * li.active for li in learning)
        floats -= _inputs(work.shape, learning)
    if work.method == "dora":
        floats += 2.0 * sum(li.outputs * li.active for li in learning)
    return floats
