"""How fast this processor multiplies matrices: measured in seconds, kept in the home."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tools.context import Context
from tools.reports import Report
from tools.settings import Settings

_SIZE = 1024
_SECONDS = 2.0
TRAINING_SHARE = 0.55
"""Of the speed of large products, what a training step reaches: small products, norms, copies.
Basis: 45 GFLOP/s a core assumed for steps beside about 80 measured for products."""


class CalibrationReport(Report):
    """What was measured."""

    gflops: float
    seconds: float

    def text(self) -> str:
        """Return the figure and what it is for."""
        return (
            f"This processor multiplies matrices at {self.gflops:.0f} GFLOP/s just now. "
            "Estimates of time on it rest on that from here on, until its own runs say more."
        )


def calibrate(ctx: Context) -> CalibrationReport:
    """Multiply matrices for two seconds and keep the speed. The median counts: others may work."""
    import numpy as np  # noqa: PLC0415  not needed to list commands

    left = np.ones((_SIZE, _SIZE), dtype=np.float32)
    took: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < _SECONDS:
        at = time.perf_counter()
        left @ left
        took.append(time.perf_counter() - at)
    middle = sorted(took)[len(took) // 2]
    report = CalibrationReport(
        gflops=round(2 * _SIZE**3 / middle / 1e9, 1),
        seconds=round(time.perf_counter() - began, 1),
    )
    path = _path(ctx.settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"gflops": report.gflops}), encoding="utf-8")
    temporary.replace(path)
    return report


def measured_gflops(settings: Settings) -> float | None:
    """Return the kept speed, or None where this machine was never measured."""
    try:
        value = json.loads(_path(settings).read_text(encoding="utf-8"))["gflops"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _path(settings: Settings) -> Path:
    return settings.home / "cache" / "calibration.json"
