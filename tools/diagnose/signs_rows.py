"""What the rows and their labels say: masks, stop tokens, template, cuts, noise, leaks, shifts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tools.diagnose.evidence import Run
from tools.diagnose.suspicion import Suspicion, ramp, suspect

_MARKUP = re.compile(
    r"<\|[a-z_]+\|>|\[/?INST\]|<start_of_turn>|<end_of_turn>|###\s*(?:Question|Answer|Response|"
    r"Instruction|User|Assistant)|<</?SYS>>|\bim_(?:start|end)\b|</?s>",
    re.IGNORECASE,
)
_END = re.compile(r"eos|end", re.IGNORECASE)
_REPEATS = 0.5
_LEAST_ROWS = 30


def _measure(run: Run, name: str, gate: str = "") -> float | None:
    value = run.number(name)
    if value is None:
        found = run.gates.get("labels", {}).get(gate or name)
        value = float(found) if isinstance(found, int | float) else None
    return value


def masks(run: Run) -> Iterator[Suspicion]:
    """Nothing trained, or questions trained as well, or answers left out."""
    trained = _measure(run, "trained_token_share")
    prompts, answers = run.number("prompts_trained_share"), run.number("answers_trained_share")
    said = " ".join(str(f.get("message", "")) for f in run.failures).lower()
    none = answers == 0 and (trained is None or trained < 0.01)
    told = any(sign in said for sign in ("nothing to learn from", "every token is masked"))
    if trained == 0 or none or told:
        yield suspect(
            "empty_mask",
            0.97,
            "Not one token of an answer counts in the loss: every label is masked.",
            trained_token_share=trained or 0.0,
        )
        return
    plain = run.spec.get("objective") == "text"
    if "nothing is masked" in said or (trained is not None and trained >= 0.97 and not plain):
        yield suspect(
            "wrong_mask",
            0.92,
            "The questions are trained as well as the answers: "
            f"{trained or 1.0:.0%} of all tokens count in the loss.",
            trained_token_share=trained or 1.0,
        )
    elif prompts is not None and prompts > 0.25 and not plain:
        yield suspect(
            "wrong_mask",
            ramp(prompts, 0.25, 0.7, 0.7, 0.95),
            f"{prompts:.0%} of the questions' tokens count in the loss.",
            prompts_trained_share=prompts,
        )
    elif answers is not None and answers < 0.6:
        yield suspect(
            "wrong_mask",
            ramp(0.6 - answers, 0, 0.5, 0.65, 0.95),
            f"Only {answers:.0%} of the answers' tokens count in the loss.",
            answers_trained_share=answers,
        )
    elif trained is not None and trained < 0.005:
        yield suspect(
            "wrong_mask",
            0.6,
            f"Only {trained:.2%} of all tokens count in the loss.",
            trained_token_share=trained,
        )


def stops(run: Run) -> Iterator[Suspicion]:
    """Answers that never end, and why."""
    trained = _measure(run, "stop_trained_share", "rows_that_stop")
    said = " ".join(str(f.get("message", "")) for f in run.failures).lower()
    if "no answer ends with a token that stops" in said:
        trained = 0.0
    plain = run.spec.get("objective") == "text"
    endless, seen = _endless(run)
    pad, ends = run.setup.get("pad_token_id"), run.setup.get("stop_token_ids") or ()
    same = pad is not None and pad in ends
    told = [c for c, m in run.warnings if "pad" in c.lower() and _END.search(f"{c} {m}")]
    untrained = trained is not None and trained < 0.9 and not plain
    if not untrained and not (endless and trained is None):
        if endless and (seen >= 3 or trained is not None):
            yield suspect(
                "untrained_stop",
                0.55,
                f"None of {seen} answers after training ended by itself.",
                samples=float(seen),
            )
        return
    share = trained if trained is not None else 0.0
    what = (
        f"Only {share:.0%} of the answers end with a token that stops the model and counts in "
        "the loss."
        if trained is not None
        else "Answers after training do not end by themselves."
    )
    if endless:
        what += f" None of {seen} answers after training ended by itself."
    confidence = 0.6 if trained is None else ramp(0.9 - share, 0, 0.6, 0.6, 0.93)
    if same or told:
        yield suspect(
            "pad_eos_confusion",
            min(0.97, confidence + 0.05),
            "The padding token is the "
            f"end token, and masking padding masks the end as well. {what}",
            stop_trained_share=trained,
            pad_token_id=_int(pad),
        )
    yield suspect("untrained_stop", confidence, what, stop_trained_share=trained)


def _int(value: object) -> float | None:
    return float(value) if isinstance(value, int) else None


def _endless(run: Run) -> tuple[bool, int]:
    """Whether answers made after training do not stop, and how many were seen."""
    share, n = run.number("answers_stopped_share"), run.number("answers") or 0
    if share is not None:
        return share < 0.5, int(n) or 8
    last = run.total_steps
    late = [
        s
        for s in run.samples
        if (s.get("step") or 0) > 0.5 * last > 0 or s.get("phase") in ("evaluate", "save", "final")
    ]
    ended = sum(bool(s.get("stopped")) for s in late)
    return bool(late) and ended == 0, len(late)


def repeats(text: str) -> float:
    """Return the share of a text's word triples that were already said before."""
    words = text.split()
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(triples)) / len(triples) if len(triples) >= 6 else 0.0


def template(run: Run) -> Iterator[Suspicion]:
    """Rows written one way for training and another way for asking."""
    trained, judged = run.setup.get("template_hash"), run.judged.get("template_hash")
    if trained and judged and trained != judged:
        yield suspect(
            "template_mismatch",
            0.95,
            "The chat template of training is not the one "
            "that the result was judged with: their hashes differ.",
        )
        return
    late = [s for s in run.samples if (s.get("step") or 0) > 0 or s.get("phase") == "evaluate"]
    leaking = [s for s in late if _MARKUP.search(str(s.get("answer", "")))]
    if leaking and len(leaking) >= 0.5 * len(late):
        yield suspect(
            "template_mismatch",
            0.7,
            f"{len(leaking)} of {len(late)} answers after training hold marks of a chat template.",
            samples=float(len(leaking)),
            quote=str(leaking[0].get("answer", ""))[:120],
        )
    best = min(run.eval_loss.values, default=None)
    final, base = run.judged.get("eval_loss"), run.judged.get("base_eval_loss")
    if best is None or not isinstance(final, int | float):
        return
    same_as_base = isinstance(base, int | float) and abs(final - base) < 0.02 * max(base, 0.1)
    if final > 1.5 * best + 0.25 and not same_as_base:
        yield suspect(
            "template_mismatch",
            0.72,
            f"The held-out loss was {best:.3g} in training and "
            f"is {final:.3g} when the result is judged: the rows look different to it.",
            in_training=best,
            judged=float(final),
        )


def cuts(run: Run) -> Iterator[Suspicion]:
    """Rows longer than the limit, above all where the answer is cut off."""
    rows = run.number("rows") or run.gates.get("labels", {}).get("rows")
    cut_rows = run.gates.get("labels", {}).get("rows_cut")
    dropped = run.gates.get("labels", {}).get("rows_dropped") or 0
    share = run.number("truncated_share")
    if share is None and rows and isinstance(cut_rows, int | float):
        share = cut_rows / max(1.0, float(rows) + float(dropped))
    answers = run.number("answers_cut_share")
    limit, long = run.number("max_length"), run.number("tokens_p95")
    if share is None and limit and long and long > limit:
        share = 0.1
    if not share and not answers:
        return
    at = f" at {limit:.0f} tokens" if limit else ""
    if answers and answers >= 0.02:
        yield suspect(
            "truncation",
            ramp(answers, 0.02, 0.3, 0.7, 0.97),
            f"{answers:.0%} of the rows lose a part of their answer{at}.",
            answers_cut_share=answers,
            truncated_share=share,
            max_length=limit,
            tokens_p95=long,
        )
    elif share and share >= 0.08:
        yield suspect(
            "truncation",
            ramp(share, 0.08, 0.5, 0.5, 0.95),
            f"{share:.0%} of the rows are longer than allowed and cut{at}.",
            truncated_share=share,
            max_length=limit,
            tokens_p95=long,
        )


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
        long = (run.spec.get("objective") or "text") in ("text", "chat")
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
    if far is not None and far > 0.25:
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
    early = evals.steps[0] <= 0.25 * max(1, run.total_steps)
    big = gap_first > 0.6 * beside and gap_first > 0.4
    if early and big and gap_last < 2.2 * gap_first and evals.values[0] > loss.first * 1.15:
        yield (
            0.62,
            f"the validation loss lies {gap_first:.2g} above the training loss from the "
            "first evaluation on",
            {"gap_first": gap_first, "gap_last": gap_last},
        )


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


RULES = (masks, stops, template, cuts, noise, leaks, shifts)
