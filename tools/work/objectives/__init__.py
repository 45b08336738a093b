"""The objectives: one file for each kind, and the one function that chooses among them."""

from __future__ import annotations

from typing import Any

import torch

from tools.history.spec import TrainingSpec
from tools.methods import method
from tools.work.batching import Batcher
from tools.work.forward import may_pack, trained_logits
from tools.work.objectives.base import Objective, Scores
from tools.work.objectives.heads import SequenceHead, TokenHead
from tools.work.objectives.preference import Judged, Pairs
from tools.work.objectives.rewarded import Rewarded
from tools.work.objectives.supervised import Supervised
from tools.work.rows import Encoded

__all__ = ["Objective", "Scores", "objective_of", "rows_stay_apart"]
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
    most, longest = _COMPARED
    short = sorted(range(len(rows)), key=lambda i: len(rows.input_ids[i]))[:most]
    ids = [rows.input_ids[i][:longest] for i in short]
    found = []
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for packed in (True, False):
            batch = Batcher(0, packed=packed).join(ids, ids)
            batch = {name: value.to(model.device) for name, value in batch.items()}
            logits, targets, _ = trained_logits(model, batch)
            found.append(float(torch.nn.functional.cross_entropy(logits, targets)))
    model.train(was_training)
    near = _SAME.get(model.dtype, _SAME_OTHERWISE)
    return abs(found[0] - found[1]) <= near * max(1e-6, abs(found[1]))
