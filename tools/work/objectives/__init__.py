"""The objectives: one file for each kind, and the one function that chooses among them."""

from __future__ import annotations

from typing import Any

from tools.history.spec import TrainingSpec
from tools.methods import method
from tools.work.batching import Batcher
from tools.work.forward import may_pack
from tools.work.objectives.base import Objective, Scores
from tools.work.objectives.heads import SequenceHead, TokenHead
from tools.work.objectives.preference import Judged, Pairs
from tools.work.objectives.rewarded import Rewarded
from tools.work.objectives.supervised import Supervised

__all__ = ["Objective", "Scores", "objective_of"]
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
