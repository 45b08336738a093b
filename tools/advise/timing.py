"""The work that a plan holds, counted for the estimate of its time: reading, judging, answering."""

from __future__ import annotations

import math

from tools.advise.draft import Draft
from tools.advise.duration import Run, Spoken, estimate_duration
from tools.advise.figures import Range
from tools.answering import ANSWERS_AT_ONCE, rows_to_answer, tokens_to_answer
from tools.history.spec import TrainingSpec

_ROWS_READ = {"dpo": 2.0, "orpo": 2.0, "kto": 1.5, "grpo": 4.0}
"""Rows that are read for each row of the data, in forward and backward passes: both answers of a
pair; the second one of KTO forward only; the four answers to a prompt."""
_REFERENCED = frozenset({"dpo", "kto"})
"""Objectives that first ask the untouched base for both answers of every row."""
_PROBE_STEPS = 2
"""Real steps on the longest rows before the run."""
_SAMPLED_TOKENS, _SAMPLED_ANSWERS = 32, 4
"""Answers that GRPO draws for each prompt."""


def duration_of(draft: Draft, spec: TrainingSpec, factor: float) -> Range:
    """Return how long a plan will take, from its start to its verdict."""
    rows = draft.manifest.splits["train"]
    held_out = sum(count for name, count in draft.manifest.splits.items() if name != "train")
    per_step = spec.batch_size * spec.gradient_accumulation
    steps = spec.max_steps or math.ceil(spec.epochs * max(1, math.ceil(rows / per_step)))
    width = min(spec.max_length, 1.25 * draft.lengths.mean)
    evaluations = steps // spec.eval_steps + 4
    read = _ROWS_READ.get(spec.objective, 1.0)
    referred = 2 * (rows + held_out) if spec.objective in _REFERENCED else 0
    probed = _PROBE_STEPS if spec.probe else 0
    sampled = Spoken()
    if spec.objective == "grpo":
        drawn = steps * spec.gradient_accumulation
        judged = (steps // spec.eval_steps + 1) * held_out / (spec.batch_size * _SAMPLED_ANSWERS)
        sampled = Spoken(drawn + judged, spec.batch_size * _SAMPLED_ANSWERS, _SAMPLED_TOKENS)
    run = Run(
        shape=draft.model.shape,
        method=spec.method,
        tokens=read * (steps * per_step * width + probed * spec.batch_size * spec.max_length),
        micro_steps=steps * spec.gradient_accumulation + probed,
        eval_tokens=(evaluations * held_out * min(read, 2) + referred) * width,
        checkpointing=spec.gradient_checkpointing,
        device=spec.device,
        trained_share=draft.lengths.answer_share(spec.max_length),
        width=width,
        spoken=_answered(draft, spec, held_out),
        sampled=sampled,
    )
    return estimate_duration(run, draft.machine, correction=factor)


def _answered(draft: Draft, spec: TrainingSpec, held_out: int) -> Spoken:
    """Return the answers that the verdict asks of each model; none of text, pairs or a head."""
    if spec.objective not in ("prompt_completion", "chat", "grpo"):
        return Spoken()
    longest = round(max((tokens * share for tokens, share in draft.lengths.rows), default=0))
    most = rows_to_answer(spec.task, labelled=bool(draft.manifest.labels), longest=longest)
    rows = min(most, held_out)
    return Spoken(
        batches=math.ceil(rows / ANSWERS_AT_ONCE),
        rows=min(rows, ANSWERS_AT_ONCE),
        tokens=tokens_to_answer(longest, spec.max_length),
    )
