"""Which learning rate is usual for a run; the yardstick of "too high" and "too low"."""

from __future__ import annotations

from dataclasses import dataclass

from tools.diagnose.evidence import Run
from tools.methods import methods

_TINY = 50e6
_ADAPTER_RATES = ((_TINY, 3e-3), (1e9, 5e-4), (13.5e9, 2e-4), (float("inf"), 1e-4))
_FULL_RATES = ((_TINY, 1e-3), (5e8, 1e-4), (4e9, 2e-5), (float("inf"), 1e-5))
"""Parameters below → rate; the same as plans are made with (`tools.advise.defaults`)."""
_GENTLEST = {"dpo": 0.05, "kto": 0.05, "orpo": 0.05, "grpo": 0.01}
"""Preferences and rewards are learned with rates of 1e-7 (full) or 1e-6 (adapters) and up."""
_UNKNOWN_SIZE = 1e9


@dataclass(frozen=True)
class Rate:
    """A run's learning rate beside the usual one.

    Attributes:
        ratio: Rate over usual; None where the rate is not known.
        certain: Whether size and method are known, and so what is usual.
        smallest, largest: What is usual for any size and method that the run may have.
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
        return (self.rate or 0.0) / self.largest

    @property
    def surely_below(self) -> float:
        """Usual rate over this one, cautiously: of an unknown model the smallest usual one."""
        return self.smallest / self.rate if self.rate else 0.0


def rate_of(run: Run) -> Rate:
    """Return the run's highest learning rate: of its settings, else the highest measured."""
    rate = run.spec.get("learning_rate")
    if not isinstance(rate, int | float):
        measured = run.curve("learning_rate")
        rate = measured.highest if measured else None
    sizes = [run.parameters] if run.parameters else [1e6, 1e12]
    methods = [None] if _method_is_known(run) else ["lora", "full"]
    usual = [usual_rate(run, size, method) for size in sizes for method in methods]
    gentlest = _GENTLEST.get(str(run.spec.get("objective") or ""), 1.0)
    return Rate(
        rate=float(rate) if rate else None,
        usual=usual_rate(run),
        certain=len(usual) == 1,
        smallest=min(usual) * gentlest,
        largest=max(usual),
    )


def _method_is_known(run: Run) -> bool:
    return bool(run.spec.get("method") or run.number("rank") or run.number("trained_parameters"))


def usual_rate(run: Run, size: float | None = None, method: str | None = None) -> float:
    """Return the usual learning rate for this method and size.

    Args:
        size, method: Parameters and method; the run's own where left out.
    """
    method = (method or method_of(run)).lower()
    size = size or run.parameters or _UNKNOWN_SIZE
    table = _FULL_RATES if method in {"full", "sft", "none"} else _ADAPTER_RATES
    base = next(rate for below, rate in table if size < below)
    known = methods().get(method)
    return base * known.rate if known and table is _ADAPTER_RATES else base


def method_of(run: Run) -> str:
    """Return the method: told, else an adapter unless every weight is trained."""
    told = run.spec.get("method")
    if told:
        return str(told)
    trained, whole = run.number("trained_parameters"), run.number("parameters")
    return "full" if trained and whole and trained > 0.5 * whole else "lora"
