"""Cures of how rows are written, masked and cut."""

from __future__ import annotations

import math
import re

from tools.diagnose.changes import Changes, changed
from tools.diagnose.evidence import Run
from tools.diagnose.report import Cure

_LONGEST = re.compile(r"the longest has (\d+) tokens")


def mask(run: Run) -> Cure:
    """Train the answers, and only those."""
    return Cure(
        changes=changed(run, objective="prompt_completion")
        if run.spec.get("objective") == "text"
        else {},
        predicted="The answers' tokens, and only those, should count in the loss.",
        why="The model learns exactly the tokens that count in the loss.",
        todo="Name the columns of question and answer (`--input-column`, `--output-column`), and "
        "look at the mask with `luthier inspect FILE --lens`.",
    )


def stop(run: Run) -> Cure:
    """Train the end of answers."""
    changes: Changes = {}
    if run.number("truncated_share") or run.number("answers_cut_share"):
        changes = _longer(run)
    return Cure(
        changes=changes,
        predicted="Answers should end by themselves in at least nine of ten cases.",
        why="A model stops only where its end token was part of what it was trained on.",
        todo="Train again with Luthier's own masks, which always train the end token, and ask with "
        "the same template.",
    )


def pad(run: Run) -> Cure:
    """Give padding a token of its own."""
    return Cure(
        predicted="The end token should count in the loss of every answer.",
        why="Where padding and end are one token, masking padding by its id masks the end too.",
        todo="Give the tokenizer a padding token of its own, or mask padding by position, as "
        "Luthier does; then train again.",
    )


def template(run: Run) -> Cure:
    """Write rows one way everywhere."""
    return Cure(
        changes=changed(run, template=None) if run.spec.get("template") else {},
        predicted="Held-out loss should be the same in training and when asked afterwards.",
        why="A tuned model knows its task only in the form that it was trained on.",
        todo="Use the model's own chat template for training, evaluation and export alike; the "
        "tuned folder holds the one it was trained with.",
    )


def _longer(run: Run) -> Changes:
    limit = int(run.number("max_length") or 512)
    longest = run.number("tokens_longest") or run.gates.get("labels", {}).get("longest_tokens")
    longest = max(longest or 0.0, *(_told_longest(text) for _, text in run.warnings), 0.0) or None
    p95 = run.number("tokens_p95")
    wanted = float(longest) if longest and longest > limit else (p95 or 2 * limit)
    wanted = max(wanted, 2 * limit if not longest or longest <= limit else wanted)
    context = run.number("context_tokens")
    new = int(math.ceil(min(wanted, 8192) / 32) * 32)
    new = min(new, int(context)) if context else new
    return changed(run, max_length=new) if new > limit else {}


def _told_longest(warning: str) -> float:
    """Return the length that a warning of cut rows tells: all that is left of a refused run."""
    found = _LONGEST.search(warning)
    return float(found.group(1)) if found else 0.0


def truncation(run: Run) -> Cure:
    """Let rows be as long as they are."""
    changes = _longer(run)
    batch = run.number("batch_size")
    if changes and batch and batch > 1 and run.on_gpu:
        many = int(run.number("gradient_accumulation") or 1)
        half = max(1, int(batch) // 2)
        changes |= changed(run, batch_size=half, gradient_accumulation=many * int(batch) // half)
    return Cure(
        changes=changes,
        predicted="Fewer than 2 % of the rows should be cut, and no answer.",
        why="What is cut off cannot be learned; longer rows cost memory, so a batch may have to be "
        "smaller.",
        todo="" if changes else "Shorten or split the long rows: the model reads no more at once.",
    )
