"""One word about a tuning, and the two sentences that go with it. Rules only; no model is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tools.evaluate.compare import rows_needed
from tools.evaluate.figures import Difference, Estimate, Word

MIN_ROWS = 20
"""Fewer rows than this decide nothing: one row would be worth five points."""
MIN_CLEAN_SHARE = 0.5
"""Where more than half of the rows were trained on, the rest is not a fair sample either."""
SIGNIFICANT = 0.05
WORTH = {
    "accuracy": 0.03, "loss": 0.02, "token_f1": 0.03, "sentence_chrf": 0.02, "rougeL": 0.02,
    "entity_f1": 0.03, "preference_win_rate": 0.03, "preference_margin": 0.02, "reward": 0.03,
}  # fmt: skip
"""Differences smaller than this are called no gain: three points, or 0.02 nats per token."""
IN_NATS = frozenset({"loss", "preference_margin"})
"""Measures that are no share of anything."""
REGRESSION_BOUND = 0.05
"""A slice, label or second measure may lose this much before a run is not called `ship`."""
TOO_WIDE = 0.15
"""An interval reaching further than this on each side says too little."""
_GUESS_FROM = 5
"""Of fewer rows not even the width of the interval is a hint at how many it takes."""
_MANY_NEAR = 0.1
_MOST_IS_GONE = 10
"""Perplexity of general text that is so many times as high."""
_SOME_FORGETTING = 0.05
_MOST_NATS = 10.0


@dataclass(frozen=True)
class Evidence:
    """What a verdict is made from.

    Attributes:
        difference: Of the primary measure, on rows that were not trained on.
        base, tuned: The primary measure of each model.
        rival: What `base` is called: the base, or another run.
        excluded: Rows left out because the model was trained on them.
        majority: Share of the commonest label, for label tasks.
        one_label: All rows carry the same label.
        unseen: Rows whose label was never trained on.
        regressions: What else got worse beyond its bound, in words.
        chose_checkpoint: The same rows chose which checkpoint was kept.
        likelier: The expected answers became surely likelier, whatever was said.
        near: Of the `rows` that were judged, those that nearly repeat a training row; `clear` is
            the difference on the others, None where there are none or nearly none.
        repeats: Of the `rows`, those that repeat another of them word for word; `once` is the
            difference on each row once, None where none is repeated.
        forgetting: General text, tuned minus base in nats per token.
    """

    difference: Difference
    base: Estimate
    tuned: Estimate
    rival: str = "the base"
    excluded: int = 0
    majority: float | None = None
    one_label: bool = False
    unseen: int = 0
    regressions: Sequence[str] = ()
    chose_checkpoint: bool = False
    likelier: bool = False
    near: int = 0
    rows: int = 0
    clear: Difference | None = None
    repeats: int = 0
    once: Difference | None = None
    forgetting: Difference | None = None


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
    word, reason = _unfair(evidence) or _word(evidence)
    if word in ("no gain", "cannot tell") and _likelier_at_least(evidence):
        word, reason = (
            "promising",
            "The expected answers became surely likelier, but what it says is not yet measurably "
            "better.",
        )
    parts = (_figures(evidence), reason, _near(evidence), _forgotten(evidence))
    return Verdict(word, " ".join(part for part in parts if part))


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


def _unfair(evidence: Evidence) -> tuple[Word, str] | None:
    """Return `cannot tell` where the rows, however many, are no test of the task."""
    rows = evidence.rows or evidence.difference.n
    if evidence.unseen * 2 > rows:
        return (
            "cannot tell",
            f"{evidence.unseen:,} of the rows carry labels that training never had; judge on rows "
            "with the labels it was trained on.",
        )
    if evidence.one_label:
        return "cannot tell", "All these rows carry one label; nothing was told apart."
    if evidence.repeats and rows - evidence.repeats < MIN_ROWS:
        different = rows - evidence.repeats
        return (
            "cannot tell",
            f"Only {different} of these rows {'is' if different == 1 else 'are'} different from "
            "the others, which is too few to say; judge on more.",
        )
    if evidence.near * 2 > rows and rows - evidence.near < MIN_ROWS:
        return (
            "cannot tell",
            "Most of these rows nearly repeat rows that it was trained on; judge on others.",
        )
    return None


def _likelier_at_least(evidence: Evidence) -> bool:
    difference = evidence.difference
    fair = _unfair(evidence) is None and difference.n >= MIN_ROWS
    told = difference.metric not in ("loss", "accuracy")
    return fair and told and evidence.likelier and difference.value >= 0


def _word(evidence: Evidence) -> tuple[Word, str]:
    difference = evidence.difference
    worth = WORTH.get(difference.metric, REGRESSION_BOUND)
    half = (difference.high - difference.low) / 2
    wide = half > TOO_WIDE and difference.metric not in IN_NATS
    needed = MIN_ROWS - difference.n
    if difference.n >= _GUESS_FROM:
        needed = max(rows_needed(difference, worth), needed)
    more = f"About {needed:,} more held-out rows would settle it."
    if difference.n < MIN_ROWS:
        few = "1 row is" if difference.n == 1 else f"{difference.n} rows are"
        return "cannot tell", f"{few} too few to say. {more}"
    if difference.high < 0 and difference.p <= SIGNIFICANT:
        return (
            "regressed",
            f"Do not use the tuned model; keep {evidence.rival} and look at the data.",
        )
    if difference.low > 0 and difference.p <= SIGNIFICANT:
        return _better(evidence, worth)
    if max(abs(difference.low), abs(difference.high)) <= worth:
        return "no gain", f"Tuning changed nothing worth having; {evidence.rival} does as well."
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
    once = evidence.once
    if once and once.low <= 0:
        return (
            "promising",
            f"But {evidence.repeats:,} of the rows repeat others, and with each row counted once "
            "the gain is not sure.",
        )
    clear = evidence.clear
    if clear and evidence.near > _MANY_NEAR * evidence.rows and clear.low <= 0:
        return (
            "promising",
            f"But on the {clear.n:,} rows that do not nearly repeat training rows the gain is not "
            "sure.",
        )
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
    before = "" if evidence.rival == "the base" else f" ({evidence.rival})"
    if difference.metric in IN_NATS:
        name = "Held-out loss" if difference.metric == "loss" else _spoken(difference.metric)
        moved = f"{name} went from {base.value:.2f}{before} to {tuned.value:.2f}"
    else:
        name = _spoken(difference.metric)
        moved = f"{name} went from {base.value:.0%}{before} to {tuned.value:.0%}"
        if tuned.low is not None and tuned.high is not None:
            moved += f" ({tuned.low:.0%} to {tuned.high:.0%})"
    rows = f" on {difference.n:,} held-out row{'s' if difference.n != 1 else ''}"
    if evidence.excluded:
        rows += f" ({evidence.excluded:,} more were left out: they were trained on)"
    same = "; the same rows also chose the checkpoint" if evidence.chose_checkpoint else ""
    return f"{moved}{rows}{same}."


def _spoken(metric: str) -> str:
    text = metric.replace("_", " ")
    return text[:1].upper() + text[1:]


def _near(evidence: Evidence) -> str:
    if evidence.near <= _MANY_NEAR * evidence.rows:
        return ""
    return f"{evidence.near:,} of these rows nearly repeat rows that it was trained on."


def _forgotten(evidence: Evidence) -> str:
    lost = evidence.forgetting
    if lost is None or lost.high >= 0 or lost.value > -_SOME_FORGETTING:
        return "" if lost is None else "It forgot no general language."
    times = math.exp(min(-lost.value, _MOST_NATS))
    much = "some" if times < _MOST_IS_GONE else "most of its"
    return f"It forgot {much} general language: perplexity there is {times:,.1f} times as high."
