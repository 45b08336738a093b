"""Losses by name: how wrong each predicted token, or class, was. All take logits and targets.

A user's own loss comes only from an installed entry point of the group `luthier.losses`: a function
`(logits, targets) -> losses` on tensors of shapes (n, classes), (n) and (n). It is never taken from
a chat or from an uploaded file.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from tools.history.spec import TrainingSpec
from tools.jobs.honoured import offered_losses, unknown_loss

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the negative log-likelihood of each target, in nats."""
    return functional.cross_entropy(logits, targets, reduction="none")


def label_smoothing(
    logits: torch.Tensor, targets: torch.Tensor, *, weight: float = 0.1
) -> torch.Tensor:
    """Return cross-entropy against targets of which `weight` is spread evenly over all classes.

    Source: Szegedy et al. 2016, arXiv 1512.00567.
    """
    return functional.cross_entropy(logits, targets, reduction="none", label_smoothing=weight)


def focal(logits: torch.Tensor, targets: torch.Tensor, *, weight: float = 2.0) -> torch.Tensor:
    """Return cross-entropy times `(1 - p) ** weight`: what is known already counts little.

    Source: Lin et al. 2017, arXiv 1708.02002; `weight` is their gamma.
    """
    nats = cross_entropy(logits, targets)
    return (1 - torch.exp(-nats)).clamp(min=1e-9) ** weight * nats


def contrastive(
    logits: torch.Tensor, targets: torch.Tensor, *, weight: float = 1.0
) -> torch.Tensor:
    """Return cross-entropy plus what the target's lead over the best wrong class lacks to a margin.

    The second part is the multi-class hinge of Crammer and Singer 2001; `weight` is the margin.
    """
    right = logits.gather(1, targets[:, None])[:, 0]
    wrong = logits.scatter(1, targets[:, None], float("-inf")).max(dim=1).values
    return cross_entropy(logits, targets) + (weight - (right - wrong)).clamp(min=0)


NAMED = {"label_smoothing": label_smoothing, "focal": focal, "contrastive": contrastive}


def loss_of(spec: TrainingSpec) -> LossFunction:
    """Return the loss that a plan names.

    Raises:
        BadInput: No installed package offers the entry point.
    """
    if spec.loss_entry_point:
        return _installed(spec.loss_entry_point)
    if spec.loss == "cross_entropy":
        return cross_entropy
    named = NAMED[spec.loss]
    return named if spec.loss_weight is None else partial(named, weight=spec.loss_weight)


def _installed(name: str) -> LossFunction:
    offered = offered_losses()
    if name not in offered:
        raise unknown_loss(name)
    loaded: LossFunction = offered[name].load()
    return loaded
