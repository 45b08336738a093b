"""The figures an evaluation is made of: values with intervals. No arithmetic, nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Word = Literal["ship", "promising", "no gain", "regressed", "cannot tell"]


class Estimate(BaseModel):
    """A measured value with its 95 % interval; None where no interval was computed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float | None = None
    high: float | None = None


class LabelScore(BaseModel):
    """How one label is told from the others. `n` counts the rows that carry it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    n: int
    precision: float
    recall: float
    f1: float


class Difference(BaseModel):
    """Tuned minus base, signed so that more is better, with a 95 % interval and a paired test.

    Attributes:
        metric: What was compared, such as `accuracy` or `loss` (a fall of the loss is positive).
        p: Two-sided; exact McNemar for right or wrong, sign flips otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    value: float
    low: float
    high: float
    p: float
    n: int
