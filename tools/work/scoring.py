"""How likely a model finds given answers: batched, with the prompt encoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from tools.work.encode import Encoded

Tick = Callable[[int], None]
_LOGIT_BYTES = 192 * 2**20
"""Room for one batch's logits in float32."""
MOST_CHOICES = 24
_PLAIN_CACHE_LAYERS = {"DynamicLayer", "DynamicSlidingWindowLayer"}


@dataclass(frozen=True)
class Likelihoods:
    """Summed log-probabilities in nats and their token counts, per row (and answer).

    Attributes:
        ends: The part of `sums` that belongs to the last token, the stop.
    """

    sums: npt.NDArray[np.float64]
    tokens: npt.NDArray[np.float64]
    ends: npt.NDArray[np.float64]

    @property
    def means(self) -> npt.NDArray[np.float64]:
        """Log-probability per token: answers of unequal length compare by this."""
        return self.sums / np.maximum(self.tokens, 1)

    @property
    def means_without_stop(self) -> npt.NDArray[np.float64]:
        """Log-probability per token of the answer alone: a stop says nothing about which it is."""
        with np.errstate(invalid="ignore"):
            found = (self.sums - self.ends) / np.maximum(self.tokens - 1, 1)
        # Answers that were not followed have minus infinity in both.
        return np.where(np.isneginf(self.sums), -np.inf, found)


def score_answers(
    model: PreTrainedModel, rows: Sequence[Encoded], *, pad: int, batch: int, tick: Tick
) -> Likelihoods:
    """Return the likelihood of each row's own answer. Teacher-forced; nothing is generated.

    Args:
        pad: Token id for padding; any id will do, it is masked.
        batch: Rows per batch at most; long or many-worded ones get smaller batches.
        tick: Called with the number of rows done.
    """
    sums, ends = np.zeros(len(rows)), np.zeros(len(rows))
    vocabulary = int(model.config.get_text_config().vocab_size)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].prompt) + len(rows[i].answer))
    for picked in _batches(order, [len(r.answer) for r in rows], vocabulary, batch):
        sums[picked], ends[picked] = _score_batch(model, [rows[i] for i in picked], pad)
        tick(len(picked))
    return Likelihoods(sums, np.array([len(r.answer) for r in rows], dtype=float), ends)


def score_choices(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    choices: Sequence[list[int]],
    own: Sequence[int],
    *,
    pad: int,
    batch: int,
    tick: Tick,
    stops_count: bool = True,
) -> Likelihoods:
    """Return the likelihood of each of the same answers after every prompt: (rows, choices).

    The prompt is encoded once and its cache is shared by all choices. Where there are more than
    `MOST_CHOICES`, only those with the likeliest first token are followed, and the row's own; the
    others get minus infinity. Models with other caches (state-space, linear attention) are scored
    without sharing.

    Args:
        own: Number of the expected choice of each row.
        stops_count: False where choices are compared without their last token. Choices of one
            token and a stop then need no pass of their own: only the row's own sum holds its stop.
    """
    sums = np.full((len(prompts), len(choices)), -np.inf)
    ends = np.full((len(prompts), len(choices)), -np.inf)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    vocabulary = int(model.config.get_text_config().vocab_size)
    single = not stops_count and all(len(choice) == 2 for choice in choices)
    choose = _choose_first if single else _choose_batch
    per_row = 2 if single else min(len(choices), MOST_CHOICES) * max(map(len, choices))
    for picked in _batches(order, [per_row] * len(prompts), vocabulary, batch):
        chosen, found, last = choose(
            model, [prompts[i] for i in picked], choices, [own[i] for i in picked], pad
        )
        for whole, part in ((sums, found), (ends, last)):
            np.put_along_axis(block := whole[picked], chosen, part, axis=1)
            whole[picked] = block
        tick(len(picked))
    lengths = np.array([len(choice) for choice in choices], dtype=float)
    return Likelihoods(sums, np.broadcast_to(lengths, sums.shape), ends)


@torch.inference_mode()
def _score_batch(
    model: PreTrainedModel, rows: list[Encoded], pad: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    # Returns each row's sum over its answer, and the last token's part of it.
    ids, mask, positions = left_pad([r.prompt + r.answer for r in rows], pad, model.device)
    keep = max(len(r.answer) for r in rows) + 1
    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        use_cache=False,
        logits_to_keep=keep,
    )
    logits, targets = out.logits[:, -keep:-1], ids[:, -keep + 1 :]
    chosen = _log_probabilities(logits, targets)
    lengths = torch.tensor([len(r.answer) for r in rows], device=ids.device)
    columns = torch.arange(keep - 1, device=ids.device)
    counted = columns[None, :] >= (keep - 1 - lengths)[:, None]
    sums = (chosen * counted).sum(1, dtype=torch.float64)
    return sums.cpu().numpy(), chosen[:, -1].double().cpu().numpy()


Chosen = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]


@torch.inference_mode()
def _choose_first(
    model: PreTrainedModel,
    prompts: list[list[int]],
    choices: Sequence[list[int]],
    own: list[int],
    pad: int,
) -> Chosen:
    # As `_choose_batch`, for choices of one token and a stop: one pass over prompt and own answer.
    rows = [prompt + choices[number] for prompt, number in zip(prompts, own, strict=True)]
    ids, mask, positions = left_pad(rows, pad, model.device)
    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        use_cache=False,
        logits_to_keep=3,
    )
    scores = torch.log_softmax(out.logits[:, -3:-1].float(), -1).double()
    heads = torch.tensor([choice[0] for choice in choices], device=ids.device)
    ends = torch.zeros(len(rows), len(choices), dtype=torch.float64, device=ids.device)
    places = torch.tensor(own, device=ids.device)[:, None]
    ends.scatter_(1, places, scores[:, 1].gather(1, ids[:, -1:]))
    sums = scores[:, 0, heads] + ends
    every = np.tile(np.arange(len(choices)), (len(rows), 1))
    return every, sums.cpu().numpy(), ends.cpu().numpy()


@torch.inference_mode()
def _choose_batch(
    model: PreTrainedModel,
    prompts: list[list[int]],
    choices: Sequence[list[int]],
    own: list[int],
    pad: int,
) -> Chosen:
    # Returns the numbers of the choices that were followed, their sums, and the last tokens'
    # parts: all (rows, followed).
    ids, mask, positions = left_pad(prompts, pad, model.device)
    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        use_cache=True,
        logits_to_keep=1,
    )
    answers, counted, _ = right_pad(choices, pad, model.device)
    first = torch.log_softmax(out.logits[:, -1].float(), -1)[:, answers[:, 0]]
    followed = _likeliest(first, own)
    first = first.gather(1, followed)
    count, width = followed.shape[1], answers.shape[1]
    chosen = followed.cpu().numpy()
    if width == 1:
        sums = first.double().cpu().numpy()
        return chosen, sums, sums
    cache = out.past_key_values
    layers = {type(layer).__name__ for layer in getattr(cache, "layers", [object()])}
    if not layers <= _PLAIN_CACHE_LAYERS:
        rows = [Encoded(p, choices[c]) for p, cs in zip(prompts, chosen, strict=True) for c in cs]
        sums, ends = _score_batch(model, rows, pad)
        return chosen, sums.reshape(chosen.shape), ends.reshape(chosen.shape)
    cache.batch_repeat_interleave(count)
    repeated = answers[followed.flatten()]
    real = counted[followed.flatten()]
    starts = mask.sum(1).repeat_interleave(count)
    steps = torch.arange(width - 1, device=ids.device)
    rest = model(
        input_ids=repeated[:, :-1],
        attention_mask=torch.cat([mask.repeat_interleave(count, 0), real[:, :-1]], dim=1),
        position_ids=starts[:, None] + steps[None, :],
        past_key_values=cache,
        use_cache=True,
    )
    each = (_log_probabilities(rest.logits, repeated[:, 1:]) * real[:, 1:]).double()
    # Before the answers' second tokens stand their first, so that the last one is always found.
    each = torch.cat([first.double().reshape(-1, 1), each], dim=1)
    last = each.gather(1, real.sum(1, keepdim=True) - 1)
    shape = (len(prompts), count)
    return chosen, each.sum(1).view(shape).cpu().numpy(), last.view(shape).cpu().numpy()


def _likeliest(first: torch.Tensor, own: list[int]) -> torch.Tensor:
    # (rows, choices) -> numbers of the choices to follow, each row's own always among them.
    count = first.shape[1]
    if count <= MOST_CHOICES:
        return torch.arange(count, device=first.device).repeat(first.shape[0], 1)
    lifted = first.clone()
    lifted[torch.arange(len(own)), torch.tensor(own)] = torch.inf
    return lifted.topk(MOST_CHOICES, dim=1).indices


def _log_probabilities(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    # (batch, steps, vocabulary) and (batch, steps) -> (batch, steps)
    scores = logits.float()
    picked = scores.gather(-1, targets[..., None]).squeeze(-1)
    return picked - torch.logsumexp(scores, -1)


def left_pad(
    rows: Sequence[list[int]], pad: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ids, mask and positions, each (rows, longest), rows aligned at their end."""
    width = max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(r)) + r for r in rows], device=device)
    mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=device)
    return ids, mask, (mask.cumsum(1) - 1).clamp(min=0)


def right_pad(
    rows: Sequence[list[int]], pad: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ids, mask and positions, each (rows, longest), rows aligned at their start."""
    width = max(map(len, rows))
    ids = torch.tensor([r + [pad] * (width - len(r)) for r in rows], device=device)
    mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows], device=device)
    return ids, mask, (mask.cumsum(1) - 1).clamp(min=0)


def _batches(
    order: Sequence[int], logits_per_row: Sequence[int], vocabulary: int, largest: int
) -> Iterator[list[int]]:
    """Give batches of row numbers whose logits fit into the room there is for them."""
    room = _LOGIT_BYTES // (4 * vocabulary)
    batch: list[int] = []
    widest = 0
    for i in order:
        widest_then = max(widest, logits_per_row[i] + 1)
        if batch and (len(batch) >= largest or widest_then * (len(batch) + 1) > room):
            yield batch
            batch, widest_then = [], logits_per_row[i] + 1
        batch.append(i)
        widest = widest_then
    if batch:
        yield batch
