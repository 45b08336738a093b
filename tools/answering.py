"""How many held-out rows are answered by generation, and how long an answer may be.

The exam asks by these rules, and the estimate of a run's time counts by them.
"""

from __future__ import annotations

ANSWERED_TASKS = frozenset({"qa", "translation", "summarization"})
"""Tasks whose verdict rests on generated answers; that of others rests on labels or the loss."""
ANSWERS_AT_ONCE = 32
_SHORT_ANSWER_TOKENS = 32
PATIENCE_AT_END_S = 45.0
"""No further batch of answers is begun after so long, for each of the two models."""
_LONGEST_ANSWER_TOKENS = 256
_LABEL_SAMPLE = 64
_ANSWER_SAMPLE = 400
_LONG_SAMPLE = 32
_SPARE_TOKENS = 4


def rows_to_answer(task: str, *, labelled: bool, longest: int) -> int:
    """Return the most rows that are answered by generation.

    Args:
        labelled: Answers are labels, which are compared by likelihood as well.
        longest: Tokens of the longest expected answer.
    """
    if labelled:
        return _LABEL_SAMPLE
    short = longest <= _SHORT_ANSWER_TOKENS
    return _ANSWER_SAMPLE if short or task in ANSWERED_TASKS else _LONG_SAMPLE


def tokens_to_answer(longest: int, room: int) -> int:
    """Return the most tokens of a generated answer, within half of the room there is."""
    spare = max(_SPARE_TOKENS, longest // 4)
    return min(longest + spare, _LONGEST_ANSWER_TOKENS, room // 2) if longest else 0
