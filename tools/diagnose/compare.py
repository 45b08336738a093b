"""Did the cure work? A run that was started to cure another, beside that other.

A cure is judged first by what it was meant to change: longer rows by how many are cut, fewer
evaluations by the time they take, and so on; then by what both runs were judged on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tools.diagnose.report import Comparison
from tools.errors import NotFound
from tools.history.jobs import JobRecord
from tools.history.spec import TrainingSpec
from tools.history.store import Store

Figures = dict[str, float]


@dataclass(frozen=True)
class Measure:
    """A figure that cured and sick run are compared by.

    Attributes:
        sign: 1 where more is better, else -1.
        least: A gain up to this share of the sick run's figure is none.
        floor: The share is taken of at least this much.
        noticed: A sick run's figure below this is no trouble that could be cured.
    """

    key: str
    name: str
    sign: int
    least: float = 0.1
    floor: float = 0.0
    noticed: float = 0.0

    def better(self, before: float, after: float) -> bool:
        """Tell whether the second figure is better by more than nothing."""
        return self.sign * (after - before) > self.least * max(abs(before), self.floor)


_LAST = Measure("eval_loss", "validation loss", -1, 0.01, 0.1)
_LOWEST = Measure("lowest_eval_loss", "lowest validation loss", -1, 0.01, 0.1)
USUAL = (
    Measure("accuracy", "accuracy", 1, 0.01, 1.0),
    _LAST,
    Measure("train_loss", "training loss", -1, 0.01, 0.1),
)
FORGOTTEN = Measure("general_loss_rise", "loss on general text above the base's", -1, 0.1, 0.1, 0.2)
AIMS = {
    "method": FORGOTTEN,
    "early_stopping_patience": _LAST,
    "max_length": Measure("truncated_share", "share of rows cut", -1, noticed=0.02),
    "batching": Measure("padding_share", "share of padding", -1, noticed=0.2),
    "eval_steps": Measure("eval_per_step", "seconds of evaluation a step", -1),
    "precision": Measure("tokens_per_s", "tokens a second", 1),
    "loss": Measure("macro_f1", "macro F1", 1, 0.01, 1.0),
}
"""Setting → what changing it is meant to better."""
_FEW_ROWS = 20
"""On fewer held-out rows one of them is worth more than most cures."""


def with_sick(store: Store, record: JobRecord, *, state: str | None = None) -> Comparison | None:
    """Compare a run with the one it was to cure; None where it was to cure none.

    For a run that failed, ending at all is the cure.

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
    if ended != "succeeded":
        text = f"The cure of {sick.id} did not work: {record.id} is {ended}."
        return Comparison(sick_job=sick.id, worked=False, text=text)
    if sick.state != "succeeded":
        text = f"The cure worked: {sick.id} was {sick.state}, {record.id} ran to its end."
        return Comparison(sick_job=sick.id, worked=True, measure="state", text=text)
    return _judged(sick, record, figures_of(store, sick), figures_of(store, record))


def figures_of(store: Store, record: JobRecord) -> Figures:
    """Return what a run measured, under the names of the measures.

    The validation loss is the last one that was told, which the best checkpoint hides.
    """
    found = _numbers(record.metrics)
    losses: list[float] = []
    meant: dict[str, list[float]] = {"padding_share": [], "tokens_per_s": []}
    evals_s = steps = 0.0
    for event in store.jobs.events(record.id, kinds=["data", "judged", "metrics"]):
        values = _numbers(event.payload)
        if event.kind != "metrics":
            found |= values
            continue
        steps = max(steps, values.get("step", 0.0))
        evals_s += values.get("eval_s", 0.0)
        losses += [values["eval_loss"]] if "eval_loss" in values else []
        for name, measured in meant.items():
            measured += [values[name]] if name in values else []
    found |= {name: sum(values) / len(values) for name, values in meant.items() if values}
    if losses:
        found |= {"eval_loss": losses[-1], "lowest_eval_loss": min(losses)}
    if steps:
        found |= {"steps": steps, "eval_per_step": evals_s / steps}
    if {"general_loss", "base_general_loss"} <= found.keys():
        rise = found["general_loss"] - found["base_general_loss"]
        found.setdefault("general_loss_rise", rise)
    return found


def _numbers(values: object) -> Figures:
    if not isinstance(values, dict):
        return {}
    return {
        str(name): float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def aims_of(sick: TrainingSpec, cured: TrainingSpec, before: Figures) -> Iterator[Measure]:
    """Give the measures of what was changed, as far as the sick run suffered there."""
    found = dict.fromkeys(
        aim for name, aim in AIMS.items() if getattr(sick, name) != getattr(cured, name)
    )
    yield from (aim for aim in found if before.get(aim.key, -1.0) >= aim.noticed)


def _judged(sick: JobRecord, cured: JobRecord, before: Figures, after: Figures) -> Comparison:
    """Say whether the cured run is better, by a figure that both have."""
    both = before.keys() & after.keys()
    aimed = [m for m in aims_of(sick.training, cured.training, before) if m.key in both]
    usual = [m for m in USUAL if m.key in both]
    few = min(before.get("n", _FEW_ROWS), after.get("n", _FEW_ROWS)) < _FEW_ROWS
    fair = [m for m in usual if m.key != "accuracy" or not few]
    if not aimed and not usual:
        text = f"{cured.id} and {sick.id} have no figure in common, so the cure cannot be judged."
        return Comparison(sick_job=sick.id, worked=None, text=text)
    decisive = aimed or fair or usual
    chosen = next((m for m in decisive if m.better(before[m.key], after[m.key])), decisive[0])
    worked = chosen.better(before[chosen.key], after[chosen.key])
    told = "; ".join(
        f"{m.name} {before[m.key]:.3g} → {after[m.key]:.3g}" for m in dict.fromkeys(aimed + usual)
    )
    head = "The cure worked" if worked else "The cure did not help"
    if worked and _LOWEST.key in both and _LOWEST.better(after[_LOWEST.key], before[_LOWEST.key]):
        told += (
            f". But at its best {sick.id} was better: {_LOWEST.name} {before[_LOWEST.key]:.3g}, "
            f"now {after[_LOWEST.key]:.3g}"
        )
    return Comparison(
        sick_job=sick.id, worked=worked, measure=chosen.name, before=before[chosen.key],
        after=after[chosen.key], text=f"{head}: beside {sick.id}, {told}.",
    )  # fmt: skip
