"""What the curves of the loss say: rate, divergence, fitting too much or too little."""

from __future__ import annotations

from collections.abc import Iterator

from tools.diagnose.evidence import Run
from tools.diagnose.rates import rate_of
from tools.diagnose.suspicion import Suspicion, ramp, suspect

_EXPLODED = 1.3
_FAR_ABOVE = 6.0
_FAR_BELOW = 10.0
_MEMORISED = 0.02


def broken_numbers(run: Run) -> Iterator[Suspicion]:
    """A loss or gradient that is not a number."""
    broken = {k: s for k, s in run.not_finite.items() if k in ("loss", "eval_loss", "grad_norm")}
    told = next((f for f in run.failures if _says_nan(str(f.get("message", "")))), None)
    if not broken and told is None:
        return
    step = min(broken.values()) if broken else run.total_steps
    names = " and ".join(sorted(broken)).replace("_", " ") or "loss"
    half = " The run computes in float16." if run.spec.get("precision") == "float16" else ""
    yield suspect(
        "nan_loss",
        0.93,
        f"The {names} was not a number from step {step} on.{half}",
        steps=[step],
        first_step=float(step),
    )
    if half:
        return
    rate = rate_of(run)
    if rate.surely_above >= _FAR_ABOVE:
        yield suspect(
            "lr_too_high",
            0.95,
            f"The learning rate {rate.rate:g} is {rate.surely_above:.0f} times the usual "
            f"{rate.usual:g}, and the {names} stopped being a number at step {step}.",
            steps=[step],
            learning_rate=rate.rate,
            usual=rate.usual,
        )
    elif run.loss and run.loss.highest > 2.0 * run.loss.first:
        yield suspect(
            "divergence",
            0.8,
            f"Before that the loss grew from {run.loss.first:.3g} to {run.loss.highest:.3g}.",
            steps=[run.loss.highest_step],
            highest=run.loss.highest,
        )


def _says_nan(text: str) -> bool:
    lowered = text.lower()
    return any(
        sign in lowered
        for sign in ("became nan", "became inf", "is not a number", "loss is nan", "nan loss")
    )


def diverging(run: Run) -> Iterator[Suspicion]:
    """A loss that grows, spikes or stands still high, and the rate that may be behind it."""
    loss, rate = run.loss, rate_of(run)
    if len(loss) < 4:
        return
    smooth = loss.calm()
    low, end, start = min(smooth.values), smooth.values[-1], max(loss.first, 0.05)
    grew, rose = end / start, end / max(low, 0.05)
    spike = loss.highest / start
    above = rate.surely_above
    held_out_fell = _held_out_fell(run)
    clear = end - low > 2.5 * loss.noise * max(low, 0.2) and not held_out_fell
    figures = {"start": start, "lowest": low, "end": end, "highest": loss.highest}
    far = (grew > _EXPLODED and end - start > 0.3) or (rose > 1.8 and end - low > 0.5)
    if far and clear:
        words = (
            f"The training loss ended at {end:.3g}, after {start:.3g} at the start and "
            f"{low:.3g} at its lowest."
        )
        yield suspect(
            "divergence",
            ramp(max(grew, rose / 2), 1.2, 2.5, 0.7, 0.92),
            words,
            steps=[smooth.lowest_step, loss.highest_step],
            figures=figures,
        )
        if above >= _FAR_ABOVE:
            yield _rate_high(run, 0.96, words)
        else:
            fell_first = (start - low) > 0.25 * start and smooth.lowest_step > smooth.steps[0]
            confidence = 0.6 if fell_first or 0 < above < 3 else 0.75
            if above == 0 and not fell_first:
                confidence = 0.95
            yield _rate_high(run, confidence, words)
        return
    yield from _rough(run, above, grew, spike, start, end)


def _rough(
    run: Run, above: float, grew: float, spike: float, start: float, end: float
) -> Iterator[Suspicion]:
    loss = run.loss
    stuck = loss.part(0.3, 0.6).mean <= end * (1.08 + 0.4 * loss.noise) and end > 0.25
    held = run.eval_loss
    level = len(held) >= 3 and held.fall < 0.03 and held.last_value > 0.25
    spiked = spike > 1.5 and loss.highest - start > max(0.5, 5 * loss.wobble)
    rough = loss.noise > 0.5 and end > 0.3
    poor = loss.fall < 0.25
    wild = [v for v in run.curve("grad_norm").values if v > 50]
    signs = [
        (spiked, f"the loss jumped to {loss.highest:.3g} at step {loss.highest_step}"),
        (stuck, f"it stood still at {end:.3g} from a third of the run on"),
        (rough, f"it swings by {loss.noise:.0%} from step to step"),
        (level, f"the validation loss stayed at {held.last_value if held else 0:.3g}"),
        (poor, f"it fell by only {max(0.0, loss.fall):.0%}"),
        (len(wild) > 3, f"{len(wild)} gradients had a norm above 50"),
    ]
    seen = [words for sign, words in signs if sign]
    if above >= _FAR_ABOVE and seen:
        confidence = min(0.93, ramp(above, _FAR_ABOVE, 60, 0.6, 0.85) + 0.06 * (len(seen) - 1))
        yield _rate_high(run, confidence, "In the training loss, " + "; ".join(seen) + ".")
    elif _held_out_fell(run):
        return
    elif above >= 2.5 and spiked and (stuck or poor or rough):
        yield _rate_high(run, 0.62, "In the training loss, " + "; ".join(seen) + ".")
    elif (above == 0 or not rate_of(run).certain) and spiked and rough:
        yield _rate_high(run, 0.6, "In the training loss, " + "; ".join(seen) + ".")


def _held_out_fell(run: Run) -> bool:
    """Whether the validation loss says that the run learned, whatever single batches say."""
    evals = run.eval_loss
    if len(evals) < 2 or max(evals.values) > 1.15 * evals.values[0]:
        return False
    return evals.fall > 0.02 and evals.rise_after_lowest < 0.08


def _rate_high(run: Run, confidence: float, words: str) -> Suspicion:
    rate = rate_of(run)
    if rate.rate is None:
        text = f"{words} The learning rate is not known."
    else:
        text = f"{words} The learning rate is {rate.rate:g}; usual here is about {rate.usual:g}."
    usual = rate.usual if rate.rate else None
    return suspect(
        "lr_too_high",
        confidence,
        text,
        steps=[run.loss.highest_step],
        learning_rate=rate.rate,
        usual=usual,
    )


def too_little(run: Run) -> Iterator[Suspicion]:
    """A loss that hardly moved: the rate too low, or too little training."""
    loss, rate = run.loss, rate_of(run)
    if len(loss) < 4 or run.not_finite or frozen(run):
        return
    start, end = loss.part(0.0, 0.1).mean, loss.part(0.8, 1.0).mean
    fall = (start - end) / max(start, 1e-9)
    if end <= 0.1 or fall < -0.1 - loss.noise:
        return
    below = rate.surely_below
    if below >= _FAR_BELOW and fall < 0.35 + 0.5 * loss.noise:
        confidence = ramp(below, _FAR_BELOW, 100, 0.75, 0.95) - (0.2 if fall > 0.2 else 0)
        yield suspect(
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
    if rate.surely_above < _FAR_ABOVE:
        yield from _too_short(run, start, end, fall, below)


def _too_short(
    run: Run, start: float, end: float, fall: float, below: float
) -> Iterator[Suspicion]:
    evals = run.eval_loss
    if run.unfinished or (len(evals) >= 3 and evals.rise_after_lowest > 0.02):
        return
    tuned, floors = (
        run.number("accuracy"),
        (
            run.number("base_accuracy"),
            run.number("majority_share"),
        ),
    )
    base = max((f for f in floors if f is not None), default=None)
    simple = run.number("tfidf_accuracy", "predictable")
    linear = run.loss.half_way < 0.7 and fall > 0.01
    levelled = len(evals) >= 3 and (
        evals.values[-2] - evals.last_value < 0.12 * max(1e-9, evals.values[0] - evals.last_value)
    )
    levelled = levelled or (
        len(evals) >= 2 and evals.values[-2] - evals.last_value < 0.02 * evals.last_value
    )
    still = len(evals) >= 3 and evals.half_way < 0.7 and evals.fall > 0.05 and not levelled
    if levelled or run.loss.noise > 0.35 * max(fall, 0.0):
        linear = False
    weak = tuned is not None and base is not None and tuned <= base + 0.05
    could = simple is not None and tuned is not None and simple >= tuned + 0.15
    confidence = 0.0
    if fall < 0.5 and (linear or still):
        confidence = 0.55 + 0.1 * (linear and still) + 0.1 * (fall < 0.25)
    few = 0 < run.total_steps <= 40
    if weak and could and (fall < 0.6 or few) and end > 0.3:
        confidence = max(confidence, 0.75) + 0.05 * few
    small = str(run.spec.get("method") or "") != "full" and (run.number("rank") or 99) <= 2
    if small and fall < 0.45:
        confidence = max(confidence + 0.1, 0.55)
    if confidence and few:
        confidence += 0.08
    if confidence < 0.4 or below >= 3 * _FAR_BELOW:
        return
    reached = f" It answers {tuned:.0%} right, the base {base:.0%}." if weak else ""
    yield suspect(
        "underfitting",
        min(confidence, 0.9),
        f"The training loss is {end:.3g} after {start:.3g} and was still falling after "
        f"{run.total_steps} steps.{reached}",
        steps=[run.total_steps],
        start=start,
        end=end,
        accuracy=tuned,
        base_accuracy=base,
    )


def too_much(run: Run) -> Iterator[Suspicion]:
    """Training loss falls while validation loss rises: rows are learned by heart."""
    evals, loss = run.eval_loss, run.loss
    if len(evals) < 3:
        return
    low, last = min(evals.values), evals.last_value
    rise = evals.rise_after_lowest
    train_end = loss.last if loss else None
    falling = not loss or loss.last < _loss_at(run, evals.lowest_step) * 0.98
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


def _loss_at(run: Run, step: int) -> float:
    near = [v for s, v in zip(run.loss.steps, run.loss.values, strict=True) if s <= step]
    tail = near[-max(3, len(run.loss) // 20) :]
    return sum(tail) / len(tail) if tail else run.loss.first


def _stopped_early(run: Run) -> bool:
    codes = {code for code, _ in run.warnings}
    return "stopped_early" in codes or bool(run.number("early_stopping_patience"))


def frozen(run: Run) -> bool:
    """Tell whether nothing at all moved."""
    loss, evals = run.loss, run.eval_loss
    still = len(evals) >= 3 and max(evals.values) - min(evals.values) < 1e-6
    same = len(loss) >= 8 and max(loss.values) - min(loss.values) < 1e-6
    norms = run.curve("grad_norm")
    dead = len(norms) >= 4 and norms.highest < 1e-10
    rates = run.curve("learning_rate")
    no_rate = len(rates) >= 4 and rates.highest == 0
    return still or same or dead or no_rate


def standing_still(run: Run) -> Iterator[Suspicion]:
    """A loss that is exactly zero, or exactly constant."""
    loss, evals = run.loss, run.eval_loss
    zero = [s for s, v in zip(loss.steps, loss.values, strict=True) if v == 0.0]
    messages = " ".join(str(f.get("message", "")) for f in run.failures).lower()
    sudden = bool(zero) and (zero[0] == loss.steps[0] or _loss_at(run, zero[0] - 1) > 0.05)
    if "exactly 0.0" in messages or (sudden and len(zero) >= min(3, len(loss))):
        step = zero[0] if zero else run.total_steps
        yield suspect(
            "zero_loss",
            0.9,
            f"The loss is exactly 0.0 from step {step} on.",
            steps=[step],
            zeros=float(len(zero)),
        )
        return
    dead = "has not moved at all" in messages or "no weight receives a gradient" in messages
    if dead or (frozen(run) and (loss.last if loss else 1.0) > 0):
        value = loss.last if loss else evals.last_value if evals else 0.0
        norms, rates = run.curve("grad_norm"), run.curve("learning_rate")
        why = ""
        if len(norms) >= 4 and norms.highest < 1e-10:
            why = " Every gradient is zero: no trained weight takes part in the loss."
        elif len(rates) >= 4 and rates.highest == 0:
            why = " The learning rate is 0 at every step."
        yield suspect(
            "constant_loss",
            0.92,
            f"The loss stands at {value:.4g} without moving.{why}",
            steps=[run.total_steps],
            value=value,
        )


def nearly_still(run: Run) -> Iterator[Suspicion]:
    """A loss that only flickers: nothing trained has an effect on it."""
    loss, evals = run.loss, run.eval_loss
    if len(loss) < 10 or frozen(run) or loss.last <= 0.05:
        return
    spread = (max(loss.values) - min(loss.values)) / max(abs(loss.mean), 1e-9)
    held = (max(evals.values) - min(evals.values)) / max(evals.mean, 1e-9) if evals else 0.0
    if spread < 0.004 and held < 0.004:
        far_below = rate_of(run).surely_below >= _FAR_BELOW
        yield suspect(
            "constant_loss",
            0.6 if far_below else 0.8,
            f"The loss stays within {spread:.2%} of {loss.mean:.4g} for {run.total_steps} steps.",
            steps=[run.total_steps],
            value=loss.mean,
        )


RULES = (broken_numbers, diverging, too_little, too_much, wide_gap, standing_still, nearly_still)
