"""Greedy answers of a torch model, batched and bounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel

from tools.work.scoring import left_pad


@dataclass(frozen=True)
class Answer:
    """Generated ids without the stop token, and whether the model stopped by itself."""

    ids: list[int]
    stopped: bool


@torch.inference_mode()
def greedy_answers(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    *,
    stops: Sequence[int],
    pad: int,
    max_new_tokens: int,
    batch: int = 32,
    tick: Callable[[int], None] = lambda done: None,
) -> list[Answer]:
    """Return the most likely continuation of every prompt, in the order given."""
    found: list[Answer | None] = [None] * len(prompts)
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=list(stops) or None,
        pad_token_id=pad,
    )
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), batch):
        picked = order[start : start + batch]
        ids, mask, _ = left_pad([prompts[i] for i in picked], pad, model.device)
        generate: Any = model.generate
        out = generate(input_ids=ids, attention_mask=mask, generation_config=config)
        for i, row in zip(picked, out[:, ids.shape[1] :].tolist(), strict=True):
            found[i] = until_stop(row, stops)
        tick(len(picked))
    return [answer for answer in found if answer is not None]


def until_stop(ids: Sequence[int], stops: Sequence[int]) -> Answer:
    """Cut at the first stop token."""
    for i, token in enumerate(ids):
        if token in stops:
            return Answer(list(ids[:i]), True)
    return Answer(list(ids), False)
