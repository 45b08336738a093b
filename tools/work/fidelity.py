"""Reading a model on the same rows as its reference, and comparing the two readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import logsumexp

from tools.export.parity import NEAR_TIE, Fidelity
from tools.work.answers import Answer
from tools.work.encode import Encoded

Logits = npt.NDArray[np.float32]
Reader = Callable[[list[int]], Logits]
_KEPT_POSITIONS = 4


@dataclass(frozen=True)
class Reading:
    """One model on one row, the expected answer being given.

    Attributes:
        logits: At the first positions of the answer: (at most 4, vocabulary).
        likeliest: The likeliest token at every position of the answer.
        loss: Summed negative log-likelihood of the answer, in nats.
    """

    logits: Logits
    likeliest: list[int]
    loss: float


def torch_reader(model: Any) -> Reader:
    """Return a function that gives a torch model's logits after every token."""

    def read(ids: list[int]) -> Logits:
        with torch.inference_mode():
            out = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False)
        # Learnt prompts stand before the text and have logits of their own.
        return np.asarray(out.logits[0, -len(ids) :].float().cpu().numpy())

    return read


def read_rows(reader: Reader, rows: Sequence[Encoded]) -> list[Reading]:
    """Read every row. One row at a time, so that a large vocabulary fits."""
    readings = []
    for row in rows:
        scores = reader(row.prompt + row.answer)[len(row.prompt) - 1 : -1]
        chosen = scores[np.arange(len(row.answer)), row.answer]
        loss = float((logsumexp(scores.astype(np.float64), axis=-1) - chosen).sum())
        readings.append(
            Reading(scores[:_KEPT_POSITIONS].copy(), scores.argmax(axis=-1).tolist(), loss)
        )
    return readings


def logit_error(reference: Sequence[Reading], other: Sequence[Reading]) -> float:
    """Return the largest difference of logits over the spread of the reference's logits."""
    spread = max(float(np.ptp(r.logits)) for r in reference) or 1.0
    worst = max(
        float(np.abs(r.logits - o.logits).max()) for r, o in zip(reference, other, strict=True)
    )
    return worst / spread


def compare_readings(
    name: str,
    rows: Sequence[Encoded],
    reference: Sequence[Reading],
    other: Sequence[Reading],
    agreement: tuple[float, int],
    *,
    answers: Sequence[Answer],
    reference_answers: Sequence[Answer],
) -> Fidelity:
    """Return how close a model comes to its reference.

    Args:
        agreement: Share of answers that are the same, and how many of these only nearly.
        answers: What the model itself says.
    """
    tokens = sum(len(row.answer) for row in rows)
    same = sum(
        a == b
        for r, o in zip(reference, other, strict=True)
        for a, b in zip(r.likeliest, o.likeliest, strict=True)
    )
    return Fidelity(
        name=name,
        prompts=len(rows),
        logit_error=logit_error(reference, other),
        agreement=agreement[0],
        token_agreement=same / tokens,
        loss=sum(o.loss for o in other) / tokens,
        reference_loss=sum(r.loss for r in reference) / tokens,
        correct=_correct(rows, answers),
        reference_correct=_correct(rows, reference_answers),
        near_ties=agreement[1],
        stopped=sum(a.stopped for a in answers) / max(1, len(answers)),
    )


def _correct(rows: Sequence[Encoded], answers: Sequence[Answer]) -> float:
    # The expected answer ends with its stop token, which a generated one is cut at.
    right = sum(a.ids == row.answer[:-1] for row, a in zip(rows, answers, strict=True))
    return right / len(rows)


def agreement_of(
    reader: Reader,
    rows: Sequence[Encoded],
    reference: Sequence[Answer],
    other: Sequence[Answer],
    stops: Sequence[int],
) -> tuple[float, int]:
    """Return the share of same answers, and how many of them differ only at a near tie.

    Args:
        reader: The reference model, asked again only where answers part.
    """
    same = ties = 0
    for row, ours, theirs in zip(rows, reference, other, strict=True):
        if ours.ids == theirs.ids:
            same += 1
        elif _near_tie(reader, row, ours, theirs, stops):
            same += 1
            ties += 1
    return same / len(rows), ties


def _near_tie(
    reader: Reader, row: Encoded, ours: Answer, theirs: Answer, stops: Sequence[int]
) -> bool:
    at = next(
        (i for i, (a, b) in enumerate(zip(ours.ids, theirs.ids, strict=False)) if a != b),
        min(len(ours.ids), len(theirs.ids)),
    )
    scores = reader(row.prompt + ours.ids[:at])[-1]
    ends = max(float(scores[i]) for i in stops) if stops else -np.inf
    ours_score = float(scores[ours.ids[at]]) if at < len(ours.ids) else ends
    theirs_score = float(scores[theirs.ids[at]]) if at < len(theirs.ids) else ends
    return abs(ours_score - theirs_score) <= NEAR_TIE * float(np.ptp(scores))
