"""One word about a tuning, and the two sentences that go with it. Rules only; no model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tools.evaluate.compare import rows_needed
from tools.evaluate.figures import Difference, Estimate, Word

MIN_ROWS = 20
"""Fewer rows than this decide nothing: one row would be worth five points."""
MIN_CLEAN_SHARE = 0.5
"""Where more than half of the rows were trained on, the rest is not a fair sample either."""
SIGNIFICANT = 0.05
WORTH = {"accuracy": 0.03, "loss": 0.02}
"""Differences smaller than this are called no gain: three points, or 0.02 nats per token."""
REGRESSION_BOUND = 0.05
"""A slice, label or second measure may lose this much before a run is not called `ship`."""
TOO_WIDE = 0.15
"""An interval reaching further than this on each side says too little."""


@dataclass(frozen=True)
class Evidence:
    """What a verdict is made from.

    Attributes:
        difference: Of the primary measure, on rows that were not trained on.
        base, tuned: The primary measure of each model.
        excluded: Rows left out because the model was trained on them.
        majority: Share of the commonest label, for label tasks.
        regressions: What else got worse beyond its bound, in words.
        chose_checkpoint: The same rows chose which checkpoint was kept.
    """

    difference: Difference
    base: Estimate
    tuned: Estimate
    excluded: int = 0
    majority: float | None = None
    regressions: Sequence[str] = ()
    chose_checkpoint: bool = False


@dataclass(frozen=True)
class Verdict:
    """The word and the sentences for a person who decides."""

    word: Word
    text: str


def judge_evidence(evidence: Evidence) -> Verdict:
    """Return the verdict.

    `ship`: the interval of the difference lies above zero, the paired test agrees, and nothing
    regressed beyond its bound. `promising`: better, but not that surely or not everywhere.
    """
    word, reason = _word(evidence)
    return Verdict(word, f"{_figures(evidence)} {reason}".strip())


def contaminated(excluded: int, clean: int) -> Verdict | None:
    """Return a verdict where too many rows were trained on for any comparison, else None."""
    if clean >= MIN_ROWS and clean >= MIN_CLEAN_SHARE * (clean + excluded):
        return None
    if not excluded:
        return None
    return Verdict(
        "cannot tell",
        f"{excluded:,} of the {excluded + clean:,} rows were also trained on, so they prove "
        "nothing about new data. Judge on rows that the model has never seen.",
    )


def _word(evidence: Evidence) -> tuple[Word, str]:
    difference = evidence.difference
    worth = WORTH.get(difference.metric, REGRESSION_BOUND)
    wide = (difference.high - difference.low) / 2 > TOO_WIDE and difference.metric != "loss"
    more = f"About {rows_needed(difference, worth):,} more held-out rows would settle it."
    if difference.n < MIN_ROWS:
        return "cannot tell", f"{difference.n} rows are too few to say. {more}"
    if difference.high < 0 and difference.p <= SIGNIFICANT:
        return "regressed", "Do not use the tuned model; keep the base and look at the data."
    if difference.low > 0 and difference.p <= SIGNIFICANT:
        return _better(evidence, worth)
    if max(abs(difference.low), abs(difference.high)) <= worth:
        return "no gain", "Tuning changed nothing worth having; the base does as well."
    if wide:
        return "cannot tell", f"The interval is too wide to say. {more}"
    if difference.value > 0:
        return "promising", f"It may be better, but the interval touches zero. {more}"
    return "no gain", "Nothing shows that tuning helped; try more or cleaner data."


def _better(evidence: Evidence, worth: float) -> tuple[Word, str]:
    if evidence.difference.value < worth:
        return "no gain", "The gain is real but too small to be worth a change."
    if evidence.regressions:
        return "promising", f"But {evidence.regressions[0]}; look at that before you use it."
    low = evidence.tuned.low
    if evidence.majority is not None and low is not None and low <= evidence.majority:
        return (
            "promising",
            "But it is not surely better than always giving the commonest answer "
            f"({evidence.majority:.0%}).",
        )
    return "ship", "The gain is larger than chance explains and nothing else got worse."


def _figures(evidence: Evidence) -> str:
    difference, base, tuned = evidence.difference, evidence.base, evidence.tuned
    if difference.metric == "loss":
        moved = f"Held-out loss went from {base.value:.2f} to {tuned.value:.2f}"
    else:
        name = difference.metric.replace("_", " ").capitalize()
        moved = f"{name} went from {base.value:.0%} to {tuned.value:.0%}"
        if tuned.low is not None and tuned.high is not None:
            moved += f" ({tuned.low:.0%} to {tuned.high:.0%})"
    rows = f" on {difference.n:,} held-out rows"
    if evidence.excluded:
        rows += f" ({evidence.excluded:,} more were left out: they were trained on)"
    same = "; the same rows also chose the checkpoint" if evidence.chose_checkpoint else ""
    return f"{moved}{rows}{same}."
