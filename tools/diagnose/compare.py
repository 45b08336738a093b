"""Did the cure work? A run that was started to cure another, beside that other."""

from __future__ import annotations

from typing import Any

from tools.context import Context
from tools.diagnose.report import Comparison
from tools.errors import NotFound
from tools.history.jobs import JobRecord
from tools.history.spec import TrainingSpec

_MEASURES = (
    ("accuracy", "accuracy", 1, 0.01),
    ("eval_loss", "validation loss", -1, 0.01),
    ("train_loss", "training loss", -1, 0.01),
)
_CODES = "diagnosed"


def with_sick(ctx: Context, record: JobRecord) -> Comparison | None:
    """Compare a run with the one it was to cure; None where it was to cure none.

    Better means: it ended, and its held-out figure is better than the sick run's last one. For a
    run that failed, ending at all is the cure.
    """
    sick_id = record.spec.cures if isinstance(record.spec, TrainingSpec) else None
    if not sick_id or record.state not in ("succeeded", "failed", "lost"):
        return None
    try:
        sick = ctx.store.jobs.get(sick_id)
    except NotFound:
        return None
    codes = tuple(str(c) for c in (sick.metrics.get(_CODES) or ()))
    return compared(sick, record, last_loss(ctx, sick), last_loss(ctx, record), codes)


def last_loss(ctx: Context, record: JobRecord) -> float | None:
    """Return the last validation loss that a run told, which its best checkpoint hides."""
    for event in reversed(ctx.store.jobs.events(record.id, kinds=["metrics"])):
        value = event.payload.get("eval_loss")
        if isinstance(value, int | float):
            return float(value)
    return None


def compared(
    sick: JobRecord,
    cured: JobRecord,
    sick_last: float | None,
    cured_last: float | None,
    codes: tuple[str, ...] = (),
) -> Comparison:
    """Say whether the cured run is better, by the figure that both have."""
    if cured.state != "succeeded":
        text = f"The cure of {sick.id} did not work: {cured.id} is {cured.state}."
        return Comparison(sick_job=sick.id, codes=codes, worked=False, text=text)
    if sick.state != "succeeded":
        text = f"The cure worked: {sick.id} was {sick.state}, {cured.id} ran to its end."
        return Comparison(sick_job=sick.id, codes=codes, worked=True, measure="state", text=text)
    before, after = _figures(sick, sick_last), _figures(cured, cured_last)
    told = []
    worked: bool | None = None
    chosen: tuple[str, float, float] | None = None
    for key, name, sign, least in _MEASURES:
        if key not in before or key not in after:
            continue
        gain = sign * (after[key] - before[key])
        told.append(f"{name} {before[key]:.3g} → {after[key]:.3g}")
        bound = least if key == "accuracy" else least * max(before[key], 0.1)
        if worked is None or (not worked and gain > bound):
            worked, chosen = gain > bound, (name, before[key], after[key])
    if chosen is None:
        text = f"{cured.id} and {sick.id} have no figure in common, so the cure cannot be judged."
        return Comparison(sick_job=sick.id, codes=codes, worked=None, text=text)
    head = "The cure worked" if worked else "The cure did not help"
    text = f"{head}: beside {sick.id}, {'; '.join(told)}."
    return Comparison(sick_job=sick.id, codes=codes, worked=worked, measure=chosen[0],
                      before=chosen[1], after=chosen[2], text=text)  # fmt: skip


def _figures(record: JobRecord, last_eval: float | None) -> dict[str, float]:
    metrics: dict[str, Any] = record.metrics
    found = {k: float(metrics[k]) for k, *_ in _MEASURES if isinstance(metrics.get(k), int | float)}
    if last_eval is not None:
        found["eval_loss"] = last_eval
    return found
