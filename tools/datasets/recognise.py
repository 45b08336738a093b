"""Which kind of training data this is, by content first and names second."""

from __future__ import annotations

from tools.datasets.mapping import Mapping
from tools.datasets.reading import Columns, Rule, build
from tools.datasets.rules_answers import (
    alpaca,
    prompt_completion,
    question_answer,
    summary,
    translation,
    two_texts,
)
from tools.datasets.rules_labels import classification, multi_label, text, tokens
from tools.datasets.rules_turns import kto, messages, preference


def recognise(columns: Columns) -> tuple[Mapping, ...]:
    """Return the readings that fit, surest first; at least one, perhaps `unknown`."""
    found = [mapping for rule in RULES if (mapping := rule(columns)) is not None]
    if not found:
        return (_unknown(columns),)
    if any(mapping.format == "preference" for mapping in found):
        found = [mapping for mapping in found if mapping.objective != "chat"]
    best: dict[tuple[str, ...], Mapping] = {}
    for mapping in sorted(found, key=lambda m: -m.confidence):
        best.setdefault(
            (mapping.format, *mapping.having("input"), *mapping.having("output")), mapping
        )
    return tuple(best.values())


def _unknown(columns: Columns) -> Mapping:
    return build(
        columns,
        "unknown",
        {},
        0.3,
        "no column holds text to learn from",
        objective=None,
        obstacle="No column holds text that a language model could learn to write.",
        advice="Add a column with the text and, for a task with answers, one with the answer.",
    )


RULES: tuple[Rule, ...] = (
    preference,
    messages,
    kto,
    tokens,
    alpaca,
    question_answer,
    prompt_completion,
    translation,
    summary,
    classification,
    multi_label,
    two_texts,
    text,
)
