"""What a search varies, and what a run looks like with one choice of it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from tools.errors import BadInput
from tools.history.spec import Between, TrainingSpec
from tools.methods import method

Space = dict[str, Between | tuple[float, ...] | tuple[str, ...]]

_REAL = frozenset({"learning_rate", "dropout", "weight_decay", "warmup_ratio", "beta"})
_WHOLE = frozenset({"rank", "alpha", "batch_size", "epochs"})
_WORDS = frozenset({"lr_scheduler", "method", "optimizer", "batching"})
VARIABLE = sorted(_REAL | _WHOLE | _WORDS)
_RANKS, _BATCHES, _LOWEST_RATE, _HIGHEST_RATE = (8, 16, 32, 64), (8, 16, 32), 1e-6, 1e-3
"""The search space of the course on fine-tuning small models: learning rate 1e-6…1e-3 (log),
rank 8…64, batch size 8, 16 or 32."""


def default_space(base: TrainingSpec) -> Space:
    """Return the usual space, widened where the plan's own values lie outside it."""
    space: Space = {
        "learning_rate": Between(
            low=min(_LOWEST_RATE, base.learning_rate),
            high=max(_HIGHEST_RATE, base.learning_rate),
            log=True,
        ),
        "batch_size": _with_own(_BATCHES, base.batch_size * base.gradient_accumulation),
    }
    if method(base.method).takes("rank"):
        space["rank"] = _with_own(_RANKS, base.rank)
    return space


def read_space(wishes: Sequence[str]) -> Space:
    """Read what a person wants varied, such as `learning_rate=1e-5..1e-3` or `rank=8,16`.

    Raises:
        BadInput: A name cannot be varied, or its values cannot be read.
    """
    space: Space = {}
    for wish in wishes:
        name, _, values = (part.strip() for part in wish.partition("="))
        if name not in VARIABLE:
            raise BadInput(
                f"A search cannot vary {name!r}.", hint=f"It can vary: {', '.join(VARIABLE)}."
            )
        try:
            space[name] = _read_values(name, values)
        except ValueError as error:
            raise BadInput(
                f"The values to vary {name} over cannot be read: {values!r}.",
                hint="Write a range as 1e-5..1e-3, or choices as 8,16,32.",
            ) from error
    return space


def variants_of(space: Space) -> float:
    """Return how many different variants a space holds; infinitely many where a range is in it."""
    counts = [
        math.inf if isinstance(values, Between) else len(set(values)) for values in space.values()
    ]
    return math.prod(counts)


def vary(base: TrainingSpec, values: Mapping[str, Any]) -> TrainingSpec:
    """Return the run with one choice of values, at least as small in memory per batch.

    The adapter's scale follows the rank, and evaluations keep their share of the run.

    Raises:
        BadInput: A value is out of its bounds.
    """
    changes = dict(values)
    rows = base.batch_size * base.gradient_accumulation
    if "batch_size" in changes:
        wanted = int(changes["batch_size"])
        micro = max(n for n in range(1, base.batch_size + 1) if wanted % n == 0)
        changes |= {"batch_size": micro, "gradient_accumulation": wanted // micro}
        for name in ("eval_steps", "save_steps"):
            changes[name] = max(1, round(getattr(base, name) * rows / wanted))
    if "rank" in changes and "alpha" not in changes:
        changes["alpha"] = max(1, round(changes["rank"] * base.alpha / base.rank))
    try:
        return TrainingSpec.model_validate(base.model_dump() | changes)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(
            f"A search cannot try {'.'.join(map(str, first['loc']))}: {first['msg']}.",
            hint="Correct what it varies.",
        ) from error


def own_values(base: TrainingSpec, space: Space) -> dict[str, Any]:
    """Return the plan's own point in the space, as far as it lies within."""
    own: dict[str, Any] = {name: getattr(base, name) for name in space}
    if "batch_size" in own:
        own["batch_size"] = base.batch_size * base.gradient_accumulation
    return {name: value for name, value in own.items() if _lies_in(space[name], value)}


def largest(base: TrainingSpec, space: Space) -> list[TrainingSpec]:
    """Return the variants that need the most memory: the highest rank, with each method."""
    values: dict[str, Any] = {}
    ranks = space.get("rank")
    if isinstance(ranks, tuple):
        values["rank"] = max(int(rank) for rank in ranks)
    methods = space.get("method")
    names = methods if isinstance(methods, tuple) else (base.method,)
    return [vary(base, values | {"method": str(name)}) for name in names]


def space_in_words(space: Mapping[str, Between | tuple[float, ...] | tuple[str, ...]]) -> str:
    """Return the space in a line for people."""
    parts = []
    for name, values in space.items():
        label = "rows per step" if name == "batch_size" else name.replace("_", " ")
        if isinstance(values, Between):
            parts.append(f"{label} {values.low:g} to {values.high:g}")
        else:
            shown = [f"{v:g}" if isinstance(v, float) else str(v) for v in values]
            parts.append(f"{label} {', '.join(shown)}")
    return "; ".join(parts)


def _read_values(name: str, text: str) -> Between | tuple[float, ...] | tuple[str, ...]:
    if name in _WORDS:
        words = tuple(word for word in re.split(r"[,\s]+", text) if word)
        if not words:
            raise ValueError(text)
        return words
    if ".." in text:
        low, high = (float(end) for end in text.split(".."))
        if not 0 <= low < high < math.inf:
            raise ValueError(text)
        if name in _REAL:
            return Between(low=low, high=high, log=low > 0)
        return _doubling(low, high)
    numbers = tuple(float(word) for word in re.split(r"[,\s]+", text) if word)
    if not numbers or (name in _WHOLE and any(n < 1 or n % 1 for n in numbers)):
        raise ValueError(text)
    return numbers


def _doubling(low: float, high: float) -> tuple[float, ...]:
    values = [max(1.0, low)]
    while values[-1] * 2 < high:
        values.append(values[-1] * 2)
    return (*values, high)


def _with_own(usual: tuple[int, ...], own: int) -> tuple[float, ...]:
    return tuple(float(n) for n in sorted({*usual, own}))


def _lies_in(values: Between | tuple[Any, ...], value: Any) -> bool:
    if isinstance(values, Between):
        return bool(values.low <= value <= values.high)
    return value in values
