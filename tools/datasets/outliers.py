"""Rows far longer than the rest."""

from __future__ import annotations

import math

from tools.datasets.gather import Gathered
from tools.datasets.mapping import Mapping

_SHORT = 400
"""Characters that no row is too long below."""


def outlier_indices(found: Gathered, mapping: Mapping) -> tuple[list[int], float, float]:
    """Return indices of outliers, the bound and the median length in characters.

    A row is one beyond six robust deviations (median absolute deviation / 0.6745) of the
    logarithm of its length, and at least eight times the median.
    """
    if mapping.objective == "text" or len(found.lengths) < 20:
        return [], math.inf, 0.0
    logs = sorted(math.log1p(length) for length in found.lengths)
    middle = logs[len(logs) // 2]
    spread = sorted(abs(value - middle) for value in logs)[len(logs) // 2] / 0.6745
    bound = max(middle + 6 * max(spread, 0.15), middle + math.log(8), math.log(_SHORT))
    far = [i for i, length in enumerate(found.lengths) if math.log1p(length) > bound]
    return far, math.expm1(bound), math.expm1(middle)
