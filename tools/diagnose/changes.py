"""Small helpers of the cures."""

from __future__ import annotations

import math
from typing import Any

from tools.diagnose.evidence import Run

Changes = dict[str, tuple[Any, Any]]


def changed(run: Run, **new: Any) -> Changes:
    """Return the changes that are changes."""
    return {
        name: (run.spec.get(name), value)
        for name, value in new.items()
        if value is not None and run.spec.get(name) != value
    }


def nice(rate: float) -> float:
    """Round a rate to one or two figures, as people write them."""
    if rate <= 0:
        return rate
    power = 10.0 ** math.floor(math.log10(rate))
    return float(f"{round(rate / power * 2) / 2 * power:.2g}")


def has_adapter(run: Run) -> bool:
    """Tell whether only an adapter is trained."""
    return str(run.spec.get("method") or "lora") != "full"
