"""What the data says: wrong answers, held-out rows that are known, or that are not alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tools.diagnose.evidence import Run
from tools.diagnose.suspicion import Suspicion, ramp, suspect

_LEAST_ROWS = 30


def noise(run: Run) -> Iterator[Suspicion]:
    """Answers that contradict each other or have nothing to do with their questions."""
    rows = run.number("rows") or run.number("n") or 0
    conflicts = run.number("conflicting_rows") or 0
    found = 0.0
    if rows >= _LEAST_ROWS and conflicts / rows >= 0.04:
        found = ramp(conflicts / rows, 0.04, 0.2, 0.65, 0.95)
        yield suspect(
            "label_noise",
            found,
            f"{conflicts:,.0f} of {rows:,.0f} rows have the very "
            "input of another row and a different answer.",
            conflicting_rows=conflicts,
            rows=rows,
        )
    simple = run.number("predictable", "tfidf_accuracy")
    majority = run.number("majority_share")
    doubtful = run.number("doubtful_share")
    tuned, base = run.number("accuracy"), run.number("base_accuracy") or 0.0
    floor = max(majority or 0.0, 0.0)
    learned = tuned is not None and tuned >= max(floor, base) + 0.2 and (simple or 0) < tuned - 0.1
    enough = rows >= _LEAST_ROWS and not learned
    known = simple is not None and majority is not None and majority < 0.85
    if enough and known and (simple or 0.0) <= (majority or 0.0) + 0.06:
        sure = 0.85 if tuned is None or tuned <= floor + 0.1 else 0.55
        sure += 0.05 if rows >= 100 else -0.1 if rows < 60 else 0
        yield suspect(
            "label_noise",
            max(found, sure),
            "The words of an input say nothing about "
            f"its label: counting them gets {simple:.0%} right, always saying the "
            f"most frequent label {majority:.0%}.",
            predictable=simple,
            majority_share=majority,
            accuracy=tuned,
        )
        return
    if enough and doubtful is not None and doubtful >= 0.08:
        yield suspect(
            "label_noise",
            max(found, ramp(doubtful, 0.08, 0.25, 0.55, 0.93)),
            f"{doubtful:.0%} of the labels contradict what rows with the same words are called.",
            doubtful_share=doubtful,
            predictable=simple,
        )


def leaks(run: Run) -> Iterator[Suspicion]:
    """Held-out rows that were trained on, or inputs that hold their own answer."""
    shared, held = run.number("overlap_rows"), run.number("eval_rows")
    excluded, judged = run.number("excluded"), run.number("n")
    if shared is not None and held and shared / held >= 0.1 and shared >= 3:
        share = shared / held
        yield suspect(
            "leakage",
            ramp(share, 0.1, 0.3, 0.6, 0.97),
            f"{shared:,.0f} of {held:,.0f} "
            f"held-out rows ({share:.0%}) are trained on as well, so the figures are too "
            "good to be true.",
            overlap_rows=shared,
            eval_rows=held,
        )
    elif excluded and judged is not None and excluded >= max(3, 0.1 * (excluded + judged)):
        yield suspect(
            "leakage",
            0.8,
            f"{excluded:,.0f} of {excluded + judged:,.0f} held-out rows were trained on.",
            excluded=excluded,
            n=judged,
        )
    told = run.number("answer_in_input_share")
    if told is not None and told >= 0.9:
        yield suspect(
            "leakage",
            ramp(told, 0.9, 1.0, 0.6, 0.85),
            f"In {told:.0%} of the rows the input already holds its own label.",
            answer_in_input_share=told,
        )
    yield from _too_good(run)


def _too_good(run: Run) -> Iterator[Suspicion]:
    """Free text whose held-out loss falls to nothing can only be known by heart."""
    evals, loss = run.eval_loss, run.loss
    simple, tuned = run.number("tfidf_accuracy", "predictable"), run.number("accuracy")
    if simple is not None and tuned is not None and tuned >= 0.995 and simple <= tuned - 0.25:
        yield suspect(
            "leakage",
            0.6,
            f"{tuned:.0%} right where counting words gets {simple:.0%}: too good to be true.",
            accuracy=tuned,
            tfidf_accuracy=simple,
        )
    if run.is_label_task or len(evals) < 3 or not loss or run.number("overlap_rows") == 0:
        return
    last = evals.last_value
    if last < 0.12 and evals.fall > 0.9 and last < 2.5 * max(loss.last, 0.01):
        objective = run.spec.get("objective")
        if objective is None and loss.first < 1.5:
            return  # may be labels or other short answers, which are learned this well
        long = objective in ("text", "chat")
        yield suspect(
            "leakage",
            0.75 if long else 0.6,
            f"The validation loss fell to {last:.3g} "
            f"together with the training loss ({loss.last:.3g}): the held-out rows are "
            "known by heart.",
            steps=[evals.steps[-1]],
            eval_loss=last,
        )


def shifts(run: Run) -> Iterator[Suspicion]:
    """Held-out rows that are not like those trained on."""
    signs: list[tuple[float, str, dict[str, float]]] = []
    far = _distance(run.data.get("label_counts"), run.data.get("eval_label_counts"))
    lopsided = float(run.data.get("majority_share") or 0.0) >= 0.85
    if far is not None and far > 0.25 and not (lopsided and _one_label(run)):
        signs.append(
            (
                ramp(far, 0.25, 0.6, 0.6, 0.93),
                f"{far:.0%} of the held-out labels would "
                "have to change to have training's distribution",
                {"label_distance": far},
            )
        )
    new, usual = run.number("unseen_words_share"), run.number("expected_unseen_words_share")
    if new is not None and new > (usual if usual is not None else 0.15) + 0.18:
        signs.append(
            (
                ramp(new - (usual or 0.15), 0.18, 0.5, 0.6, 0.93),
                f"{new:.0%} of the words "
                "of held-out inputs never occur in training, where "
                f"{usual or 0.15:.0%} would be usual",
                {"unseen_words_share": new},
            )
        )
    ours, theirs = run.number("tokens_p50"), run.number("eval_tokens_p50")
    if ours and theirs and max(ours, theirs) / min(ours, theirs) >= 1.8:
        signs.append(
            (
                ramp(max(ours, theirs) / min(ours, theirs), 1.8, 4, 0.55, 0.85),
                f"held-out rows have {theirs:.0f} tokens, training rows {ours:.0f} (medians)",
                {"tokens_p50": ours, "eval_tokens_p50": theirs},
            )
        )
    within, across = run.number("predictable"), run.number("eval_predictable", "tfidf_accuracy")
    if within is not None and across is not None and within - across > 0.3 and len(signs):
        signs.append(
            (
                ramp(within - across, 0.3, 0.6, 0.55, 0.8),
                "counting words gets "
                f"{within:.0%} right within the training rows and {across:.0%} on held-out "
                "ones",
                {"predictable": within, "eval_predictable": across},
            )
        )
    signs += list(_parallel_gap(run))
    for confidence, words, numbers in signs:
        bonus = 0.04 * (len(signs) - 1)
        text = f"{words[0].upper()}{words[1:]}."
        yield suspect("eval_shift", confidence + bonus, text, figures=numbers)


def _one_label(run: Run) -> bool:
    """Whether one label is said for all: then the shift is not what went wrong first."""
    said = run.judged.get("predictions")
    return isinstance(said, Mapping) and max(said.values(), default=0) >= 0.9 * sum(said.values())


def _parallel_gap(run: Run) -> Iterator[tuple[float, str, dict[str, float]]]:
    """The held-out loss lies far above the training loss from the first evaluation on."""
    evals, loss = run.eval_loss, run.loss
    if len(evals) < 3 or len(loss) < 8:
        return
    near = [v for s, v in zip(loss.steps, loss.values, strict=True) if s <= evals.steps[0]][-8:]
    if not near:
        return
    beside = sum(near) / len(near)
    gap_first, gap_last = evals.values[0] - beside, evals.last_value - loss.last
    base, epoch = run.number("base_eval_loss"), _epoch_of(run, evals.steps[0])
    if (base is not None and base < 1.25 * loss.part(0.0, 0.1).mean) or (epoch or 0.0) > 1.2:
        # Both began alike, or rows were already learned by heart: no shift.
        return
    early = evals.steps[0] <= 0.25 * max(1, run.total_steps)
    big = gap_first > 0.6 * beside and gap_first > 0.4
    clear = gap_first > 3 * max(loss.noise, 0.02) * beside / len(near) ** 0.5 + 0.2
    if len(near) < 3 and loss.noise > 0.1:
        return
    if (
        early
        and big
        and clear
        and gap_last < 2.2 * gap_first
        and evals.values[0] > loss.part(0.0, 0.1).mean * 1.15
    ):
        yield (
            0.62,
            f"the validation loss lies {gap_first:.2g} above the training loss from the "
            "first evaluation on",
            {"gap_first": gap_first, "gap_last": gap_last},
        )


def _epoch_of(run: Run, step: int) -> float | None:
    found = [row.get("epoch") for row in run.steps if row.get("step") == step]
    return max((float(e) for e in found if isinstance(e, int | float)), default=None)


def _distance(one: object, other: object) -> float | None:
    """Return the total variation between two label counts, less what chance explains."""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping) or not one or not other:
        return None
    total, held = sum(one.values()), sum(other.values())
    if total < 10 or held < 8:
        return None
    labels = set(one) | set(other)
    shares = [(one.get(k, 0) / total, other.get(k, 0) / held) for k in labels]
    chance = 0.4 * sum((p * (1 - p) / held) ** 0.5 for p, _ in shares)
    distance: float = sum(abs(p - q) for p, q in shares) / 2 - chance
    return max(0.0, distance)


RULES = (noise, leaks, shifts)
