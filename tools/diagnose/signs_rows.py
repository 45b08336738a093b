"""What the rows and their labels say: masks, stop tokens, template, cuts, noise, leaks, shifts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tools.diagnose.evidence import Run
from tools.diagnose.suspicion import Suspicion, ramp, suspect

_MARKUP = re.compile(
    r"<\|[a-z_]+\|>|\[/?INST\]|<start_of_turn>|<end_of_turn>|###\s*(?:Question|Answer|Response|"
    r"Instruction|User|Assistant)|<</?SYS>>|\bim_(?:start|end)\b|</?s>",
    re.IGNORECASE,
)
_END = re.compile(r"eos|end", re.IGNORECASE)
_REPEATS = 0.5


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
    elif prompts is not None and prompts > 0.4 and not plain:
        yield suspect(
            "wrong_mask",
            ramp(prompts, 0.4, 0.8, 0.7, 0.95),
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
    confidence = ramp(0.9 - share, 0, 0.6, 0.6, 0.93)
    if trained is None:
        looping = any(repeats(str(s.get("answer", ""))) > _REPEATS for s in run.samples)
        # One answer that reached its longest length may just be a long one.
        confidence = (0.45 if seen == 1 else 0.6) + 0.1 * looping
    if same or told:
        yield suspect(
            "pad_eos_confusion",
            min(0.97, confidence + 0.05),
            "The padding token is the "
            f"end token, and masking padding masks the end as well. {what}",
            stop_trained_share=trained,
            pad_token_id=_int(pad),
        )
    yield suspect(
        "untrained_stop",
        confidence,
        what,
        steps=[run.total_steps] if endless and run.total_steps else [],
        stop_trained_share=trained,
        answers_seen=float(seen) if endless else None,
    )


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
            "The chat template of training is not the one that the result was judged with: "
            f"their hashes differ, {str(trained)[:12]} and {str(judged)[:12]}.",
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
    if best is None or not isinstance(final, int | float) or not _same_rows(run):
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


def _same_rows(run: Run) -> bool:
    """Whether the result was judged on much the same rows as in training: none known left out."""
    n, excluded = run.judged.get("n"), run.judged.get("excluded") or 0
    return n is None or (n >= 8 and excluded <= 0.25 * n)


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
    refused = any(f.get("refused_by") == "labels" for f in run.failures)
    told = next((message for code, message in run.warnings if code == "rows_cut"), "")
    if not share and told and refused:
        yield suspect("truncation", 0.97, f"{told} Then nothing was left to mask, or to learn.")
        return
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


RULES = (masks, stops, template, cuts)
