"""What this person's own runs measured, held against what the scenario matrix says."""

from __future__ import annotations

from dataclasses import dataclass

from tools.advise.figures import Reason

_CLEAR = 0.03
"""Runs differ by a few per cent by themselves; less than this says nothing."""


@dataclass(frozen=True)
class MeasuredRun:
    """One finished run: what it was, and what it needed.

    Attributes:
        alike: What else decides the need, such as model, data, batch, length and steps.
        peak_gib, seconds: Measured; None where it was not.
    """

    job: str
    method: str
    alike: tuple[object, ...]
    peak_gib: float | None
    seconds: float | None


def against_matrix(
    runs: tuple[MeasuredRun, ...], row: str, method: str, says: str
) -> Reason | None:
    """Say whether runs here agree with a cell of the rows `memory` and `cost`, or contradict it.

    A method is held against full tuning of the same model with the same settings.

    Args:
        says: `yes` or `no`: the revised edition's cell.
    """
    if method == "full" or row not in {"memory", "cost"}:
        return None
    for own in reversed(runs):
        if own.method != method:
            continue
        for full in reversed(runs):
            pair = _figures(own, full, row)
            if full.method != "full" or full.alike != own.alike or pair is None:
                continue
            mine, other, unit = pair
            if abs(mine - other) < _CLEAR * other:
                continue
            holds = ("yes" if mine < other else "no") == says
            verb = "agrees with" if holds else "contradicts"
            text = (
                f"measured here, {method} took {mine:.2f} {unit} where full tuning took "
                f"{other:.2f}: this machine {verb} the matrix"
            )
            return Reason(method, text, f"your runs: {own.job}, {full.job}")
    return None


def _figures(own: MeasuredRun, full: MeasuredRun, row: str) -> tuple[float, float, str] | None:
    mine, other = (own.peak_gib, full.peak_gib) if row == "memory" else (own.seconds, full.seconds)
    return (mine, other, "GiB" if row == "memory" else "s") if mine and other else None
