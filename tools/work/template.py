"""Chat templates, padding and stop tokens: decided once, the same for every use of a model."""

from __future__ import annotations

import hashlib
from typing import Any

from tools.datasets.templates import FALLBACK_TEMPLATE, TURN_ENDS

_FILLERS = ("<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>", "<|endoftext|>", "<unk>")


def prepare_tokenizer(tokenizer: Any) -> Any:
    """Give a tokenizer a chat template and something to pad with, where it has none.

    Padding is never trained on: labels come from masks, not from the padding token, so that a
    model without a padding token still learns to stop.
    """
    if not tokenizer.chat_template:
        tokenizer.chat_template = FALLBACK_TEMPLATE
    if tokenizer.pad_token_id is None:
        vocabulary = tokenizer.get_vocab()
        spare = [t for t in _FILLERS if t in vocabulary and t != tokenizer.eos_token]
        tokenizer.pad_token = spare[0] if spare else tokenizer.eos_token
    return tokenizer


def template_notes(tokenizer: Any) -> list[tuple[str, str]]:
    """Return what a person should know of how this tokenizer is used, as (code, sentence)."""
    notes = []
    if tokenizer.chat_template == FALLBACK_TEMPLATE:
        notes.append(
            ("fallback_template", "The model has no chat template; a plain one is used and saved.")
        )
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        notes.append(
            (
                "pad_is_end",
                "The model has no padding token; its end token fills gaps, which are never "
                "trained on, and the end itself still is.",
            )
        )
    return notes


def template_hash(tokenizer: Any) -> str:
    """Return the hash of the chat template: equal at training, evaluation and export."""
    return hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()


def marks_generation(tokenizer: Any) -> bool:
    """Return whether the template says which tokens an assistant wrote."""
    return "{% generation" in str(tokenizer.chat_template).replace("{%-", "{%")


def stop_token_ids(tokenizer: Any, model: Any | None = None) -> list[int]:
    """Return the tokens that end an answer: the tokenizer's, the model's and known turn ends."""
    stops: set[int] = set()
    if tokenizer.eos_token_id is not None:
        stops.add(int(tokenizer.eos_token_id))
    added = {t.content: i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    stops |= {int(added[t]) for t in TURN_ENDS if t in added}
    declared = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if declared is not None:
        stops |= set(declared) if isinstance(declared, list) else {int(declared)}
    return sorted(stops)
