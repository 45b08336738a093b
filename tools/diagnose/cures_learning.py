"""Cures of what went wrong in learning: fit, rate, broken losses, labels, splits."""

from __future__ import annotations

import math

from tools.diagnose.changes import Changes, changed, has_adapter, nice
from tools.diagnose.evidence import Run
from tools.diagnose.rates import rate_of, usual_rate
from tools.diagnose.report import Cure

_SEEN_OFTEN = 100
"""Times that the rows of a rare label have to be seen, whichever of them."""
_MOST_PASSES = 20


def overfitting(run: Run) -> Cure:
    """Learn less by heart: a smaller adapter, dropout, decay, an earlier end."""
    rank, epochs = run.number("rank"), run.number("epochs")
    changes: Changes = {}
    if has_adapter(run):
        lower = max(4, int(min(rank / 4, 16))) if rank and rank > 4 else None
        if lower:
            changes |= changed(run, rank=lower, alpha=2 * lower)
        changes |= changed(run, dropout=max(0.1, run.number("dropout") or 0.0))
    changes |= changed(run, weight_decay=max(0.01, run.number("weight_decay") or 0.0))
    best, total = _best_step(run), run.total_steps
    # A smaller adapter learns more slowly; early stopping ends it where it is at its best.
    if "rank" in changes:
        best = 0
    if run.spec.get("max_steps") and best and total > 1.3 * best:
        changes |= changed(run, max_steps=max(1, math.ceil(1.15 * best)))
    elif epochs and best and total > 1.3 * best:
        changes |= changed(run, epochs=max(0.5, math.ceil(20 * epochs * best / total * 1.15) / 20))
    changes |= changed(run, early_stopping_patience=run.spec.get("early_stopping_patience") or 3)
    lowest = min(run.eval_loss.values, default=None)
    ends = f"near {lowest:.3g}, its lowest so far, or below" if lowest else "at its lowest"
    return Cure(
        changes=changes,
        predicted=f"The validation loss should end {ends}.",
        why="A smaller adapter with dropout and weight decay can learn less by heart, and the run "
        "ends before it does; more or more varied rows help most of all.",
        todo="Add more, and more varied, rows if you can.",
    )


def _best_step(run: Run) -> int:
    return run.eval_loss.lowest_step if run.eval_loss else 0


def underfitting(run: Run) -> Cure:
    """Learn longer, with an adapter that is large enough."""
    epochs, steps, rank = run.number("epochs"), run.number("max_steps"), run.number("rank")
    changes: Changes = {}
    rate, usual = rate_of(run).rate, usual_rate(run)
    if rate and rate < 0.5 * usual:
        changes |= changed(run, learning_rate=nice(usual))
    if steps:
        changes |= changed(run, max_steps=int(steps * (4 if steps < 100 else 3)))
    else:
        changes |= changed(run, epochs=round(max(3.0, 3 * (epochs or 1.0)), 2))
    if has_adapter(run) and rank and rank < 8:
        changes |= changed(run, rank=16, alpha=32)
    return Cure(
        changes=changes,
        predicted="The training loss should go on falling, and the validation loss with it.",
        why="It was still learning when it ended: more steps, and an adapter that is large enough.",
    )


def lower_rate(run: Run) -> Cure:
    """Take smaller steps, after a warm-up."""
    rate, usual = rate_of(run).rate, usual_rate(run)
    new = min(usual, rate / 10) if rate and rate > 2 * usual else (rate or usual) / 5
    if rate and rate > 2 * usual:
        new = usual
    changes = changed(run, learning_rate=nice(new))
    if (run.number("warmup_ratio") or 0.0) < 0.05:
        changes |= changed(run, warmup_ratio=0.1)
    return Cure(
        changes=changes,
        predicted="The loss should fall steadily from the first steps, without jumps.",
        why="Steps this large overshoot; the usual rate for this method and size, reached through "
        "a warm-up, does not.",
    )


def raise_rate(run: Run) -> Cure:
    """Take steps that move the weights."""
    return Cure(
        changes=changed(run, learning_rate=nice(usual_rate(run))),
        predicted="The loss should fall visibly within the first tenth of the steps.",
        why="Steps this small hardly move the weights; this is the usual rate for the method and "
        "the model's size.",
    )


def nan(run: Run) -> Cure:
    """Keep numbers finite: a wider format, smaller steps."""
    changes: Changes = {}
    if run.spec.get("precision") == "float16":
        changes |= changed(run, precision="bfloat16" if run.setup.get("bfloat16") else "float32")
    rate, usual = rate_of(run).rate, usual_rate(run)
    if rate and rate > 3 * usual:
        changes |= changed(run, learning_rate=nice(usual))
    elif not changes and rate:
        changes |= changed(run, learning_rate=nice(rate / 5))
    if (run.number("warmup_ratio") or 0.0) < 0.05:
        changes |= changed(run, warmup_ratio=0.1)
    return Cure(
        changes=changes,
        predicted="The loss should stay a number to the end.",
        why="float16 overflows above 65,504, and large steps get there sooner; a wider format, "
        "smaller steps and a warm-up avoid it.",
    )


def zero(run: Run) -> Cure:
    """Let the loss be a loss again."""
    changes: Changes = {}
    if run.spec.get("batching") == "packed":
        changes |= changed(run, batching="grouped")
    if run.spec.get("precision") in ("bfloat16", "float16"):
        changes |= changed(run, precision="float32")
    return Cure(
        changes=changes,
        predicted="The first loss should lie well above zero and fall from there.",
        why="Packed rows with plain attention in 16 bits, or labels that are all masked, give "
        "exactly zero.",
        todo="Look at what is trained, token by token: `luthier inspect FILE --lens`.",
    )


def constant(run: Run) -> Cure:
    """Train weights that take part in the loss."""
    changes = changed(run, target_modules="all-linear") if has_adapter(run) else {}
    if not run.number("learning_rate") or rate_of(run).surely_below > 30:
        changes |= changed(run, learning_rate=nice(usual_rate(run)))
    return Cure(
        changes=changes,
        predicted="The gradient norm should be above zero, and the loss should move.",
        why="No trained weight takes part in the loss, or its steps are zero.",
        todo="Check that the method's target modules exist in this model.",
    )


def noise(run: Run) -> Cure:
    """Correct the answers; learn fewer of the wrong ones by heart."""
    changes = changed(run, loss="label_smoothing") if run.is_label_task else {}
    epochs = run.number("epochs")
    if epochs and epochs > 2:
        changes |= changed(run, epochs=2.0)
    return Cure(
        changes=changes,
        predicted="With clean labels accuracy should rise well above the most frequent label's "
        "share; smoothing and fewer epochs only keep the model from learning the errors by heart.",
        why="Quality of data comes before everything else: no setting makes wrong answers right.",
        todo="Look at the rows that `luthier inspect` names and correct their answers first.",
    )


def leakage(run: Run) -> Cure:
    """Keep held-out rows apart."""
    return Cure(
        changes=changed(run, dedupe=True),
        predicted="The held-out figures should fall to what new rows will see.",
        why="A row that was trained on says nothing about new ones.",
        todo="Prepare the data again so that equal rows stand on one side of the split, drop a "
        "column that gives the answer away, or judge on a file of new rows.",
    )


def collapse(run: Run) -> Cure:
    """Let rarer labels count."""
    changes = changed(run, loss="focal") if run.is_label_task else {}
    epochs, steps, passes = run.number("epochs"), run.number("max_steps"), _passes_for_rare(run)
    rows, each = run.number("rows"), run.batch_rows
    if steps:
        needed = math.ceil(passes * rows / each) if rows and each else 0
        changes |= changed(run, max_steps=max(2 * int(steps), needed))
    elif epochs:
        changes |= changed(run, epochs=max(4.0, 2 * epochs, passes))
    return Cure(
        changes=changes,
        predicted="Macro F1 should rise as the rarer labels are said too.",
        why="A loss that weighs what is still wrong, and more passes, teach the rarer labels; more "
        "of their rows teach them best.",
        todo="Add rows of the rarer labels, or thin out the most frequent one.",
    )


def _passes_for_rare(run: Run) -> float:
    """Return the passes over the data in which the rarest label is seen often enough."""
    counts = run.data.get("label_counts")
    seen = [n for n in counts.values() if n] if isinstance(counts, dict) else []
    return float(min(_MOST_PASSES, math.ceil(_SEEN_OFTEN / min(seen)))) if seen else 0.0


def forgetting(run: Run) -> Cure:
    """Change less of the base."""
    rate, usual = rate_of(run).rate, usual_rate(run)
    changes: Changes = {}
    if not has_adapter(run):
        changes |= changed(run, method="lora", rank=16, alpha=32)
        smaller = Run(spec=run.spec | {"method": "lora"}, setup=run.setup)
        changes |= changed(run, learning_rate=nice(usual_rate(smaller)))
    elif rate:
        changes |= changed(run, learning_rate=nice(min(rate / 3, usual)))
    epochs = run.number("epochs")
    if epochs and epochs > 2:
        changes |= changed(run, epochs=round(max(1.0, epochs / 2), 2))
    elif run.spec.get("max_steps"):
        changes |= changed(run, max_steps=max(1, int(run.spec["max_steps"]) // 2))
    return Cure(
        changes=changes,
        predicted="The loss on general text should rise by less than half of what it rose.",
        why="An adapter with a small rate leaves most of the base as it was.",
        todo="Mix in rows of the general kind that must not be lost.",
    )


def shift(run: Run) -> Cure:
    """Split rows of one source."""
    return Cure(
        changes=changed(run, eval_fraction=run.number("eval_fraction") or 0.15),
        predicted="Validation and training loss should start close to each other.",
        why="Held-out rows must come from the same source as those trained on.",
        todo="Put all rows into one file and let Luthier split it: shuffled, and by label in equal "
        "shares.",
    )
