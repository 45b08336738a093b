"""Rows far longer than the rest."""

from __future__ import annotations

import math

from tools.datasets.gather import Gathered
from tools.datasets.mapping import Mapping

_SHORT = 400
"""Characters that no row is too long below."""


def outlier_indices(found: Gathered, mapping: Mapping) -> tuple[list[int], float, float]:
    """Return indices of outliers, the bound and the median length in characters.

    A row is one beyond five robust deviations (median absolute deviation / 0.6745) of the
    logarithm of its length, and at least eight times the median; thirty times the median is one
    however the lengths spread.
    """
    if mapping.objective == "text" or len(found.lengths) < 20:
        return [], math.inf, 0.0
    logs = sorted(math.log1p(length) for length in found.lengths)
    middle = logs[len(logs) // 2]
    spread = sorted(abs(value - middle) for value in logs)[len(logs) // 2] / 0.6745
    beyond = min(max(5 * max(spread, 0.15), math.log(8)), math.log(30))
    bound = max(middle + beyond, math.log(_SHORT))
    far = [i for i, length in enumerate(found.lengths) if math.log1p(length) > bound]
    return far, math.expm1(bound), math.expm1(middle)
