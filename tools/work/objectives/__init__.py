"""The objectives: one file for each kind, and the one function that chooses among them."""

from __future__ import annotations

from typing import Any

import torch

from tools.history.spec import TrainingSpec
from tools.methods import method
from tools.work.batching import Batcher
from tools.work.forward import Batch, trained_logits
from tools.work.last_layer import last_feed_forward
from tools.work.objectives.base import Objective, Scores
from tools.work.objectives.heads import SequenceHead, TokenHead
from tools.work.objectives.preference import Judged, Pairs
from tools.work.objectives.rewarded import Rewarded
from tools.work.objectives.supervised import Supervised
from tools.work.packing import may_pack
from tools.work.rows import Encoded

__all__ = ["Objective", "Scores", "may_be_sparse", "objective_of", "rows_stay_apart"]
_SAME = {torch.float32: 1e-4}
_SAME_OTHERWISE = 1e-2
_COMPARED = (4, 64)
_KINDS: dict[str, type[Objective]] = {
    "prompt_completion": Supervised,
    "chat": Supervised,
    "text": Supervised,
    "dpo": Pairs,
    "orpo": Pairs,
    "kto": Judged,
    "sequence_classification": SequenceHead,
    "token_classification": TokenHead,
    "grpo": Rewarded,
}


def objective_of(spec: TrainingSpec, tokenizer: Any, model: Any) -> Objective:
    """Return the objective of a plan, with its rows packed where plan, method and model allow."""
    kind = _KINDS[spec.objective]
    packed = (
        spec.batching == "packed"
        and kind.packs
        and method(spec.method).packs
        and method(spec.method).kind == "weights"
        and may_pack(model)
    )
    return kind(spec, tokenizer, Batcher(int(tokenizer.pad_token_id or 0), packed=packed))


def rows_stay_apart(model: Any, rows: Encoded) -> bool:
    """Tell whether a few short rows have the same loss packed as they have alone.

    An architecture may ignore what keeps packed rows apart; then it must not be given any.
    """
    ids, _ = _some_short(rows)
    packed, padded = (
        _loss_of(model, Batcher(0, packed=one).join(ids, ids)) for one in (True, False)
    )
    return _alike(packed, padded, model)


def may_be_sparse(objective: Objective, model: Any, rows: Encoded) -> bool:
    """Tell whether answers have the same loss where the last layer reckons for them alone."""
    if not isinstance(objective, Supervised) or last_feed_forward(model) is None:
        return False
    ids, labels = _some_short(rows)
    batch = Batcher(0).join(ids, labels)
    sparse, whole = (_loss_of(model, batch, sparse=one) for one in (True, False))
    return _alike(sparse, whole, model)


def _some_short(rows: Encoded) -> tuple[list[list[int]], list[list[int]]]:
    """Return ids and labels of the shortest rows, cut; at least the last token is trained."""
    most, longest = _COMPARED
    short = sorted(range(len(rows)), key=lambda i: len(rows.input_ids[i]))[:most]
    ids = [rows.input_ids[i][-longest:] for i in short]
    labels = [[*rows.labels[i][-longest:-1], rows.input_ids[i][-1]] for i in short]
    return ids, labels


def _loss_of(model: Any, batch: Batch, *, sparse: bool = False) -> float:
    was_training = model.training
    model.eval()
    batch = {name: value.to(model.device) for name, value in batch.items()}
    with torch.no_grad():
        logits, targets, _ = trained_logits(model, batch, sparse=sparse)
        loss = float(torch.nn.functional.cross_entropy(logits, targets))
    model.train(was_training)
    return loss


def _alike(one: float, other: float, model: Any) -> bool:
    near = _SAME.get(model.dtype, _SAME_OTHERWISE)
    return abs(one - other) <= near * max(1e-6, abs(other))
