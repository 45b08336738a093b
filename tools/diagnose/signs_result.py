"""What the result says: one label for all, lost knowledge, an adapter or export without effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tools.diagnose.evidence import Run
from tools.diagnose.rates import rate_of
from tools.diagnose.suspicion import Suspicion, ramp, suspect

_TINY = 50e6


def collapse(run: Run) -> Iterator[Suspicion]:
    """The model says one label whatever it is asked."""
    said, due = run.judged.get("predictions"), run.judged.get("expected")
    tuned, majority = run.number("accuracy"), run.number("majority_share")
    if isinstance(due, Mapping) and len(due) > 0.5 * sum(due.values()) > 0:
        return  # as many answers as rows: no labels
    if isinstance(said, Mapping) and sum(said.values()) >= 8:
        total = sum(said.values())
        top = max(said.values()) / total
        share = majority
        if isinstance(due, Mapping) and due:
            share = max(due.values()) / max(1, sum(due.values()))
        kinds = len(due) if isinstance(due, Mapping) and due else 2
        never = sum(1 for label in due if not said.get(label)) if isinstance(due, Mapping) else 0
        untrained = 0 < run.total_steps <= 40 and (run.number("majority_share") or 0) < 0.6
        if top >= 0.9 and (share is None or top > share + 0.08) and kinds > 1:
            yield suspect(
                "class_collapse",
                ramp(top - (share or 0.5), 0.08, 0.4, 0.72, 0.75 if untrained else 0.93),
                f"{top:.0%} of the answers are one and the same label, which is "
                f"right for "
                f"{share or 0:.0%} of the rows.",
                top_share=top,
                majority_share=share,
            )
        elif top >= 0.99 and share is not None and share < 0.985 and total >= 20:
            yield suspect(
                "class_collapse",
                0.72,
                f"One label is said for all {total} rows; {1 - share:.0%} of them carry another.",
                top_share=top,
                majority_share=share,
            )
        elif kinds >= 3 and never >= 0.5 * kinds:
            yield suspect(
                "class_collapse",
                ramp(never / kinds, 0.5, 0.9, 0.55, 0.8),
                f"{never} of {kinds} labels are never said.",
                never=float(never),
            )
        return
    f1 = run.number("macro_f1")
    if None in (tuned, majority, f1) or tuned is None or majority is None or f1 is None:
        return
    labels = run.spec.get("labels") or run.data.get("label_counts") or ()
    kinds = max(2, len(labels) if isinstance(labels, list | tuple | dict) else 2)
    one_label_f1 = 2 * majority / (1 + majority) / kinds
    if abs(tuned - majority) <= 0.02 and f1 <= one_label_f1 * 1.15 + 0.01:
        yield suspect(
            "class_collapse",
            0.8,
            f"Accuracy {tuned:.0%} is the share of the most "
            f"frequent label, and macro F1 is {f1:.2f}: one label is said for all.",
            accuracy=tuned,
            majority_share=majority,
            macro_f1=f1,
        )


def forgetting(run: Run) -> Iterator[Suspicion]:
    """Loss on general text that rose through tuning."""
    after = run.number("general_loss", "forgetting_loss")
    before = run.number("base_general_loss", "base_forgetting_loss")
    rise = run.number("general_loss_rise")
    told = run.judged.get("forgetting")
    if rise is None and isinstance(told, Mapping) and isinstance(told.get("value"), int | float):
        rise = -float(told["value"])
    if after is not None and before is not None:
        rise = after - before
    if rise is None:
        return
    share = rise / max(before or 2.0, 0.2)
    small = (run.parameters or 1e9) < _TINY
    # A tiny model loses general text with every tuning; only an unusual one is a trouble.
    least, part = (0.8, 0.25) if small else (0.2, 0.12)
    if rise < least or share < part:
        return
    confidence = ramp(share, part, 4 * part, 0.6, 0.93)
    full = str(run.spec.get("method") or "lora") == "full"
    usual = rate_of(run).surely_above < (2.5 if full else 6.0)
    if small and usual:
        confidence = min(confidence, 0.45)
    beside = f" (from {before:.3g} to {after:.3g})" if before and after else ""
    yield suspect(
        "forgetting",
        confidence,
        f"The loss on general text rose by {rise:.2g}{beside}: the model lost what it could do "
        "before.",
        general_loss=after,
        base_general_loss=before,
        rise=rise,
    )


def without_effect(run: Run) -> Iterator[Suspicion]:
    """A tuned model that says what its base says although training went well."""
    learned = bool(run.loss) and run.loss.fall > 0.2
    effect = run.number("adapter_effect", "base_moved")
    parity = run.gates.get("parity", {}).get("base_moved")
    if effect is None and isinstance(parity, int | float):
        effect = float(parity)
    said = " ".join(str(f.get("message", "")) for f in run.failures).lower()
    if "adapter has no effect" in said or (effect is not None and effect <= 1e-6):
        yield suspect(
            "adapter_not_applied",
            0.95,
            "The tuned model's logits are those of its base: the adapter has no effect.",
            adapter_effect=effect or 0.0,
        )
        return
    tuned, base = run.judged.get("eval_loss"), run.judged.get("base_eval_loss")
    best = min(run.eval_loss.values, default=None)
    figures = isinstance(tuned, int | float) and isinstance(base, int | float)
    if figures and tuned is not None and base is not None and best is not None:
        same = abs(tuned - base) <= 0.01 * max(base, 0.1)
        if same and best < 0.8 * base and learned:
            yield suspect(
                "adapter_not_applied",
                0.9,
                f"In training the held-out loss fell to "
                f"{best:.3g}; the saved result reaches {tuned:.3g}, and the base alone "
                f"{base:.3g}.",
                in_training=best,
                judged=float(tuned),
                base=float(base),
            )


def exports(run: Run) -> Iterator[Suspicion]:
    """A merged or quantised model that no longer says what the tuned one said."""
    measures = dict(run.gates.get("parity", {}))
    message = " ".join(str(f.get("message", "")) for f in run.failures)
    for part, code in (
        ("merged", "merge_loss"),
        ("onnx_int4", "quantisation_loss"),
        ("int4", "quantisation_loss"),
        ("quantised", "quantisation_loss"),
    ):
        agreement = measures.get(f"{part}_agreement", run.judged.get(f"{part}_agreement"))
        error = measures.get(f"{part}_logit_error", run.judged.get(f"{part}_logit_error"))
        loss = measures.get(f"{part}_loss", run.judged.get(f"{part}_loss"))
        before = measures.get(f"{part}_reference_loss", run.judged.get("eval_loss"))
        told = f"{part} does not say what" in message
        bound = 0.98 if code == "merge_loss" else 0.88
        low = isinstance(agreement, int | float) and agreement < bound
        far = code == "merge_loss" and isinstance(error, int | float) and error > 0.02
        rose = (
            isinstance(loss, int | float)
            and isinstance(before, int | float)
            and loss - before > (0.05 if code == "merge_loss" else 0.25)
        )
        if not (told or low or far or rose):
            continue
        words = [f"answers agree in {agreement:.0%}"] if isinstance(agreement, int | float) else []
        if rose:
            words.append(f"the loss rose from {before:.3g} to {loss:.3g}")
        if far:
            words.append(f"logits differ by {error:.2g}")
        name = "merged" if code == "merge_loss" else "quantised"
        yield suspect(
            "merge_loss" if code == "merge_loss" else "quantisation_loss",
            0.93 if told or (low and rose) else 0.85,
            f"The {name} model does not say what the tuned one says"
            + (f": {'; '.join(words)}." if words else "."),
            agreement=agreement if isinstance(agreement, int | float) else None,
            loss=loss if rose else None,
            reference_loss=before if rose else None,
            logit_error=error if far else None,
        )
        return


RULES = (collapse, forgetting, without_effect, exports)
