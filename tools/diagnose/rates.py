"""Which learning rate is usual for a run; the yardstick of "too high" and "too low"."""

from __future__ import annotations

from dataclasses import dataclass

from tools.diagnose.evidence import Run
from tools.methods import methods

_TINY = 50e6
_ADAPTER_RATES = ((_TINY, 3e-3), (1e9, 5e-4), (13.5e9, 2e-4), (float("inf"), 1e-4))
_FULL_RATES = ((_TINY, 1e-3), (5e8, 1e-4), (4e9, 2e-5), (float("inf"), 1e-5))
"""Parameters below → rate; the same as plans are made with (`tools.advise.defaults`)."""
_UNKNOWN_SIZE = 1e9


@dataclass(frozen=True)
class Rate:
    """A run's learning rate beside the usual one.

    Attributes:
        ratio: Rate over usual; None where the rate is not known.
        certain: Whether the model's size is known, and so what is usual.
        smallest, largest: What is usual for any size.
    """

    rate: float | None
    usual: float
    certain: bool
    smallest: float
    largest: float

    @property
    def ratio(self) -> float | None:
        """How many times the usual rate this is."""
        return self.rate / self.usual if self.rate else None

    @property
    def surely_above(self) -> float:
        """Times the usual rate, cautiously: of an unknown model the largest usual one."""
        if self.ratio is None:
            return 0.0
        return self.ratio if self.certain else (self.rate or 0.0) / self.largest

    @property
    def surely_below(self) -> float:
        """Usual rate over this one, cautiously: of an unknown model the smallest usual one."""
        if not self.rate:
            return 0.0
        return (self.usual if self.certain else self.smallest) / self.rate


def rate_of(run: Run) -> Rate:
    """Return the run's highest learning rate: of its settings, else the highest measured."""
    rate = run.spec.get("learning_rate")
    if not isinstance(rate, int | float):
        measured = run.curve("learning_rate")
        rate = measured.highest if measured else None
    sizes = [usual_rate(run, size) for size in (1e6, 1e12)]
    known = run.parameters is not None
    return Rate(float(rate) if rate else None, usual_rate(run), known, min(sizes), max(sizes))


def usual_rate(run: Run, size: float | None = None) -> float:
    """Return the usual learning rate for this method and size.

    Args:
        size: Parameters; the run's own where left out.
    """
    method = str(run.spec.get("method") or "lora").lower()
    size = size or run.parameters or _UNKNOWN_SIZE
    table = _FULL_RATES if method in {"full", "sft", "none"} else _ADAPTER_RATES
    base = next(rate for below, rate in table if size < below)
    known = methods().get(method)
    return base * known.rate if known and table is _ADAPTER_RATES else base
