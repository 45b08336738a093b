"""Bytes of activations and logits at the peak of a step."""

from __future__ import annotations

from tools.advise.programs import EXACT_LOGIT
from tools.advise.workload import PRECISION_BYTES, Workload

_EAGER_KEPT, _EAGER_ONCE = 5.0, 9.0
"""Bytes for each attention score: kept in every layer, and in the layer at work. Measured: 7B at
2,048 tokens, with and without FlashAttention, 20 GiB apart (ms-swift's tables)."""


def activation_bytes(work: Workload) -> float:
    """Bytes that the forward pass keeps for the backward pass, at the moment of the peak."""
    scores = 0.0
    if work.attention == "eager":
        scores = float(work.rows * work.shape.heads * work.length**2)
    if not work.checkpointing:
        kept = _EAGER_KEPT * work.shape.layers + _EAGER_ONCE
        return work.shape.layers * _layer_bytes(work) + scores * kept
    number = PRECISION_BYTES[work.precision]
    number = 4 if _wide_stream(work) else number
    inputs = float(work.shape.layers * work.rows * work.length * work.shape.hidden * number)
    # One layer is computed again at a time, when the logits are gone already.
    again = _layer_bytes(work) + scores * (_EAGER_KEPT + _EAGER_ONCE)
    logits = work.logits * EXACT_LOGIT
    return inputs + max(0.0, again - logits)


def _wide_stream(work: Workload) -> bool:
    """Whether the hidden states between layers are float32, because the embeddings are."""
    masters = work.method == "full" and work.habits.float32_masters
    return masters or work.raised or work.precision == "float32"


def _layer_bytes(work: Workload) -> float:
    """Bytes that one layer's forward pass keeps for its backward pass, without checkpointing."""
    if work.habits.counted:
        return work.rows * work.length * _counted_token_bytes(work)
    return _judged_layer_bytes(work)


def _counted_token_bytes(work: Workload) -> float:
    """Bytes kept for each token of a layer by Luthier's own steps on a card, tensor by tensor.

    Held against what PyTorch saves for the backward pass, and against measured peaks of 0.5B to 8B
    models (tests/benchmarks/gpu_peaks.py).
    """
    shape, number = work.shape, PRECISION_BYTES[work.precision]
    full, dropped = work.method == "full", work.dropout > 0
    # Products with a 4-bit matrix come back in the type of their input: that of the wide stream.
    inner = 4 if work.raised else number
    targets = shape.targets(work.targets)
    inputs = sum(li.inputs * li.active for li in targets)
    attention = number * 2 * (shape.heads + shape.kv_heads) * shape.head_dim
    experts = max((li.active for li in shape.linears), default=1)
    kept_of_gate = (3 if dropped and not full else 4) if shape.gated else 2
    feed_forward = inner * kept_of_gate * shape.intermediate * experts
    norms = shape.layer_norms * shape.hidden * 4.0
    if full:  # the normalised values, and a 16-bit copy of them for every matrix
        wide = sum(li.inputs * li.active for li in shape.linears if li.inputs == shape.hidden)
        return attention + feed_forward + 2 * norms + (number * wide if number == 2 else 0)
    adapter = number * work.rank * sum(li.active for li in targets)
    if dropped:  # each matrix drops its own: the values left and a mask of one byte
        adapter += (number + 1) * inputs
    elif work.raised:
        adapter += number * inputs
    else:
        adapter += number * shape.layer_norms * shape.hidden
    if work.method == "dora":  # the base's output and the adapter's, each to be scaled
        adapter += 2 * number * sum(li.outputs * li.active for li in targets)
    return attention + feed_forward + norms + adapter


def _judged_layer_bytes(work: Workload) -> float:
    """The same for other programs, whose every tensor is not known."""
    shape, tokens = work.shape, work.rows * work.length
    number = PRECISION_BYTES[work.precision]
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    attention = 2 * q + 2 * kv + q
    experts = max((li.active for li in shape.linears), default=1)
    feed_forward = (4 if shape.gated else 2) * shape.intermediate * experts
    wide = _wide_stream(work)
    norms = shape.layer_norms * shape.hidden * (number + (8 if wide and number == 2 else 4))
    adapters = 0.0
    if work.method != "full":
        copies = sum(li.inputs * li.active for li in shape.targets(work.targets))
        ranks = work.rank * sum(li.active for li in shape.targets(work.targets))
        adapters = ranks * number + (copies * number if number == 2 else 0)
        if work.method == "dora":
            adapters += number * sum(li.outputs * li.active for li in shape.targets(work.targets))
    return tokens * ((attention + feed_forward) * number + norms + adapters)


def logit_bytes(work: Workload) -> float:
    """Bytes of the logits of the loss with their copies and their gradient."""
    recipe = work.habits
    each = EXACT_LOGIT if work.device == "cpu" else recipe.logit_bytes
    return work.logits * each
