"""What the curves of the loss say of the fit: too little was learned, or rows by heart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tools.diagnose.evidence import Run
from tools.diagnose.rates import rate_of
from tools.diagnose.signs_loss import frozen, loss_at
from tools.diagnose.suspicion import Suspicion, ramp, suspect

_FAR_ABOVE = 6.0
_FAR_BELOW = 10.0
_FEW = 20
"""Optimiser steps in which no model learns a task."""
_ROWS_TO_JUDGE = 10


def too_little(run: Run) -> Iterator[Suspicion]:
    """A loss that hardly moved: the rate too low, or too little training."""
    loss, rate = run.loss, rate_of(run)
    if not loss or run.not_finite or frozen(run) or run.spec.get("objective") == "grpo":
        return  # the loss of rewards is about nought at all times
    yield from _hardly_begun(run)
    if len(loss) < 4:
        return
    start, end = loss.part(0.0, 0.1).mean, loss.part(0.8, 1.0).mean
    fall = (start - end) / max(start, 1e-9)
    if end <= 0.1 or fall < -0.1 - loss.noise:
        return
    below = rate.surely_below
    if below >= _FAR_BELOW and fall < 0.35 + 0.5 * loss.noise:
        yield _rate_low(run, start, end, fall)
    if rate.surely_above < _FAR_ABOVE and below < 3 * _FAR_BELOW:
        yield from _too_short(run, start, end, fall)


def _rate_low(run: Run, start: float, end: float, fall: float) -> Suspicion:
    rate = rate_of(run)
    below = rate.surely_below
    confidence = ramp(below, _FAR_BELOW, 50, 0.45, 0.95) - (0.2 if fall > 0.2 else 0)
    # A curve that fell and then levelled off was moved by its steps.
    confidence -= 0.3 if fall > 0.12 and run.loss.half_way > 0.8 and below < 100 else 0.0
    return suspect(
        "lr_too_low",
        confidence,
        f"The training loss went from {start:.3g} to {end:.3g} ({max(fall, 0):.0%}) in "
        f"{run.total_steps} steps with a learning rate of {rate.rate:g}; usual here is about "
        f"{rate.usual:g}.",
        steps=[run.total_steps],
        learning_rate=rate.rate,
        usual=rate.usual,
        fall=fall,
    )


def _hardly_begun(run: Run) -> Iterator[Suspicion]:
    """A handful of steps, less than one pass over the rows: nothing can be learned in them."""
    planned, passes = run.number("max_steps"), run.curve("epoch")
    seen = passes.highest if passes else None
    brief = (planned is not None and planned <= _FEW) or (seen is not None and 0 < seen < 0.9)
    if run.unfinished or not brief or not 0 < run.total_steps <= _FEW:
        return
    tuned, base = run.number("accuracy"), run.number("base_accuracy")
    learned = tuned is not None and base is not None and tuned >= base + 0.15
    much = 0.8 if seen is not None and seen < 0.9 else 0.5
    if learned or run.loss.last < 0.3 or run.loss.fall > much:
        return
    part = f", {seen:.0%} of one pass over the rows" if seen is not None and seen < 1 else ""
    yield suspect(
        "underfitting",
        0.65,
        f"It ended after {run.total_steps} steps{part}: the training loss went from "
        f"{run.loss.first:.3g} to {run.loss.last_value:.3g}.",
        steps=[run.total_steps],
        total_steps=float(run.total_steps),
        epochs=seen,
    )


def _resumed(run: Run) -> bool:
    """Whether the first losses are missing, so that the whole fall is not known."""
    steps = run.loss.steps
    gaps = sorted(b - a for a, b in pairwise(steps))
    return bool(gaps) and steps[0] > 5 * max(1, gaps[len(gaps) // 2])


def _too_short(run: Run, start: float, end: float, fall: float) -> Iterator[Suspicion]:
    evals = run.eval_loss
    if run.spec.get("objective") in ("dpo", "kto") and fall > 0.15:
        return  # starts at ln 2 and has no end to reach
    if run.unfinished or _resumed(run) or (len(evals) >= 3 and evals.rise_after_lowest > 0.02):
        return
    falling = _falling(run, fall)
    tuned, base = run.number("accuracy"), _floor(run)
    weak = _is_judged(run) and tuned is not None and base is not None and tuned <= base + 0.05
    simple = run.number("tfidf_accuracy", "predictable")
    could = simple is not None and tuned is not None and simple >= tuned + 0.15
    few = 0 < run.total_steps <= 40
    confidence = 0.0
    if fall < 0.5 and falling:
        confidence = 0.45 + 0.1 * falling + 0.1 * (fall < 0.25)
    if weak and could and (fall < 0.6 or few) and end > 0.3:
        confidence = max(confidence, 0.75) + 0.05 * few
    small = str(run.spec.get("method") or "") != "full" and (run.number("rank") or 99) <= 2
    if small and fall < 0.45:
        confidence = max(confidence + 0.1, 0.55)
    if confidence and few:
        confidence += 0.08
    if confidence < 0.4:
        return
    reached = f" It answers {tuned:.0%} right, the base {base:.0%}." if weak else ""
    yield suspect(
        "underfitting",
        min(confidence, 0.9),
        f"The training loss went from {start:.3g} to {end:.3g} in {run.total_steps} steps"
        f"{', and was still falling' if falling else ''}.{reached}",
        steps=[run.total_steps],
        start=start,
        end=end,
        accuracy=tuned,
        base_accuracy=base,
    )


def _falling(run: Run, fall: float) -> int:
    """How many curves, of training and validation, were still falling when the run ended."""
    evals = run.eval_loss
    levelled = False
    if len(evals) >= 2:
        late = evals.values[-2] - evals.last_value
        whole = max(1e-9, evals.values[0] - evals.last_value)
        levelled = late < 0.02 * evals.last_value or (len(evals) >= 3 and late < 0.12 * whole)
    straight = run.loss.half_way < 0.7 and fall > 0.01
    clear = not levelled and run.loss.noise <= 0.35 * max(fall, 0.0)
    held_out = len(evals) >= 3 and evals.half_way < 0.7 and evals.fall > 0.05 and not levelled
    return (straight and clear) + held_out


def _floor(run: Run) -> float | None:
    """Accuracy that is to be bettered: the base's, or that of the most frequent label."""
    known = (run.number("base_accuracy"), run.number("majority_share"))
    return max((value for value in known if value is not None), default=None)


def _is_judged(run: Run) -> bool:
    return (run.number("n") or _ROWS_TO_JUDGE) >= _ROWS_TO_JUDGE


def too_much(run: Run) -> Iterator[Suspicion]:
    """Training loss falls while validation loss rises: rows are learned by heart."""
    evals, loss = run.eval_loss, run.loss
    if len(evals) < 3:
        return
    low, last = min(evals.values), evals.last_value
    rise = evals.rise_after_lowest
    train_end = loss.last if loss else None
    falling = not loss or loss.last < loss_at(run, evals.lowest_step) * 0.98
    gap = None if train_end is None else last - train_end
    if not falling or last - low < 0.04 or (gap is not None and gap <= 0.05 * last):
        return
    stopped = _stopped_early(run)
    needed = 0.25 if stopped else 0.1
    if rise < needed or evals.points_after_lowest < 1:
        return
    confidence = ramp(rise, needed, 0.6, 0.6, 0.95)
    trained = f" while the training loss fell to {train_end:.3g}" if train_end is not None else ""
    yield suspect(
        "overfitting",
        confidence,
        f"The validation loss was lowest at step {evals.lowest_step} ({low:.3g}) and rose to "
        f"{last:.3g} by step {evals.steps[-1]} ({rise:+.0%}){trained}.",
        steps=[evals.lowest_step, evals.steps[-1]],
        lowest=low,
        last=last,
        train_loss=train_end,
    )


def wide_gap(run: Run) -> Iterator[Suspicion]:
    """Training rows known by heart while held-out rows are not, though the loss never turned."""
    evals, loss = run.eval_loss, run.loss
    if len(evals) < 2 or len(loss) < 4 or evals.rise_after_lowest >= 0.1:
        return
    end = loss.last
    known = end < 0.3 * loss.first and end < 0.15
    if known and evals.last_value > max(6 * end, 0.6) and evals.fall < 0.5:
        yield suspect(
            "overfitting",
            0.6,
            f"The training loss fell to {end:.3g}, the validation loss only to "
            f"{evals.last_value:.3g}.",
            steps=[evals.steps[-1]],
            train_loss=end,
            eval_loss=evals.last_value,
        )


def _stopped_early(run: Run) -> bool:
    codes = {code for code, _ in run.warnings}
    return "stopped_early" in codes or bool(run.number("early_stopping_patience"))


RULES = (too_little, too_much, wide_gap)
