"""What the curve of the loss says of its steps: too large, without effect, or no number."""

from __future__ import annotations

from collections.abc import Iterator

from tools.diagnose.evidence import Run
from tools.diagnose.rates import rate_of
from tools.diagnose.suspicion import Suspicion, ramp, suspect

_EXPLODED = 1.3
_FAR_ABOVE = 6.0
_FAR_BELOW = 10.0


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
        highest=run.loss.highest,
        end=run.loss.last,
    )


def loss_at(run: Run, step: int) -> float:
    """Return the training loss around a step: the mean of the last few up to it."""
    near = [v for s, v in zip(run.loss.steps, run.loss.values, strict=True) if s <= step]
    tail = near[-max(3, len(run.loss) // 20) :]
    return sum(tail) / len(tail) if tail else run.loss.first


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
    sudden = bool(zero) and (zero[0] == loss.steps[0] or loss_at(run, zero[0] - 1) > 0.05)
    if "exactly 0.0" in messages or (sudden and len(zero) >= max(2, min(3, len(loss)))):
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


RULES = (broken_numbers, diverging, standing_still, nearly_still)
