"""Did the cure work? A run that was started to cure another, beside that other."""

from __future__ import annotations

from typing import Any

from tools.diagnose.report import Comparison
from tools.errors import NotFound
from tools.history.jobs import JobRecord
from tools.history.spec import TrainingSpec
from tools.history.store import Store

_MEASURES = (
    ("accuracy", "accuracy", 1, 0.01),
    ("eval_loss", "validation loss", -1, 0.01),
    ("train_loss", "training loss", -1, 0.01),
)


def with_sick(store: Store, record: JobRecord, *, state: str | None = None) -> Comparison | None:
    """Compare a run with the one it was to cure; None where it was to cure none.

    Better means: it ended, and its held-out figure is better than the sick run's last one. For a
    run that failed, ending at all is the cure.

    Args:
        state: How the run is about to end, where its record does not say so yet.
    """
    sick_id = record.spec.cures if isinstance(record.spec, TrainingSpec) else None
    ended = state or record.state
    if not sick_id or ended not in ("succeeded", "failed", "lost"):
        return None
    try:
        sick = store.jobs.get(sick_id)
    except NotFound:
        return None
    ending = record.model_copy(update={"state": ended})
    return compared(sick, ending, last_loss(store, sick), last_loss(store, record))


def last_loss(store: Store, record: JobRecord) -> float | None:
    """Return the last validation loss that a run told, which its best checkpoint hides."""
    for event in reversed(store.jobs.events(record.id, kinds=["metrics"])):
        value = event.payload.get("eval_loss")
        if isinstance(value, int | float):
            return float(value)
    return None


def compared(
    sick: JobRecord,
    cured: JobRecord,
    sick_last: float | None,
    cured_last: float | None,
) -> Comparison:
    """Say whether the cured run is better, by the figure that both have."""
    if cured.state != "succeeded":
        text = f"The cure of {sick.id} did not work: {cured.id} is {cured.state}."
        return Comparison(sick_job=sick.id, worked=False, text=text)
    if sick.state != "succeeded":
        text = f"The cure worked: {sick.id} was {sick.state}, {cured.id} ran to its end."
        return Comparison(sick_job=sick.id, worked=True, measure="state", text=text)
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
        return Comparison(sick_job=sick.id, worked=None, text=text)
    head = "The cure worked" if worked else "The cure did not help"
    text = f"{head}: beside {sick.id}, {'; '.join(told)}."
    return Comparison(sick_job=sick.id, worked=worked, measure=chosen[0],
                      before=chosen[1], after=chosen[2], text=text)  # fmt: skip


def _figures(record: JobRecord, last_eval: float | None) -> dict[str, float]:
    metrics: dict[str, Any] = record.metrics
    found = {k: float(metrics[k]) for k, *_ in _MEASURES if isinstance(metrics.get(k), int | float)}
    if last_eval is not None:
        found["eval_loss"] = last_eval
    return found
