"""Rules for rows with an answer in words: instructions, questions, translations, summaries."""

from __future__ import annotations

from collections.abc import Sequence

from tools.datasets.mapping import Mapping, Role
from tools.datasets.profile import Column
from tools.datasets.reading import Columns, build, named
from tools.datasets.signs import (
    ANSWER_NAMES,
    CONTEXT_NAMES,
    INPUT_NAMES,
    INSTRUCTION_NAMES,
    OUTPUT_NAMES,
    PROMPT_NAMES,
    QUESTION_NAMES,
    SUMMARY_NAMES,
    language_of_name,
    languages_differ,
    shares_words,
)


def question_answer(columns: Columns) -> Mapping | None:
    """Questions with answers, perhaps about a passage or from a choice."""
    question = named(columns, QUESTION_NAMES)
    answer = named(columns, ANSWER_NAMES)
    if not question or not answer or answer.shape == "list of list":
        return None
    if question.shape not in ("text", "list of text"):
        return None
    roles: dict[str, Role] = {question.name: "input", answer.name: "output"}
    context = named(columns, CONTEXT_NAMES, "text")
    choices = named(columns, ("choices", "options", "endings"))
    if choices:
        roles[choices.name] = "choices"
    if context:
        roles[context.name] = "context"
    if context and context.words > 15 and answer.shape in ("object", "list of object"):
        return build(
            columns,
            "qa",
            roles,
            0.99,
            f"{question.name} is answered by a passage of {context.name}",
            task="extractive_qa",
        )
    return build(columns, "qa", roles, 0.97, f"{question.name} is answered in {answer.name}")


def alpaca(columns: Columns) -> Mapping | None:
    """Instructions, perhaps with an input, and what came of them."""
    instruction = named(columns, INSTRUCTION_NAMES, "text")
    output = named(columns, (*OUTPUT_NAMES, *ANSWER_NAMES), "text")
    nested = named(columns, ("instances",), "list of object")
    if not instruction or not (output or nested):
        return None
    answer = nested or output
    assert answer is not None
    roles: dict[str, Role] = {instruction.name: "instruction", answer.name: "output"}
    extra = named(columns, ("input", "inputs", *CONTEXT_NAMES))
    if extra and extra.name not in roles and not nested:
        roles[extra.name] = "input"
    system = named(columns, ("system", "system_prompt"), "text")
    if system:
        roles[system.name] = "system"
    history = named(columns, ("history",))
    if history and history.shape.startswith("list"):
        roles[history.name] = "history"
    return build(
        columns,
        "alpaca",
        roles,
        0.98 if extra or nested else 0.96,
        f"{instruction.name} is carried out in {answer.name}",
    )


def prompt_completion(columns: Columns) -> Mapping | None:
    """A prompt and what completes it."""
    pairs: tuple[tuple[Sequence[str], Sequence[str], float], ...] = (
        (PROMPT_NAMES, (*OUTPUT_NAMES, *ANSWER_NAMES), 0.97),
        (INPUT_NAMES, (*OUTPUT_NAMES, *ANSWER_NAMES), 0.92),
        (("source", "src"), ("target", "tgt"), 0.85),
    )
    for before, after, sure in pairs:
        prompt = named(columns, before)
        answer = named(columns, after)
        if not prompt or not answer or prompt.shape not in ("text", "list of object"):
            continue
        if answer.looks_like_labels and answer.values >= 12:
            continue  # a fixed set of answers: classification
        roles: dict[str, Role] = {prompt.name: "input", answer.name: "output"}
        system = named(columns, ("system", "system_prompt"), "text")
        if system and system.name not in roles:
            roles[system.name] = "system"
        return build(
            columns,
            "prompt_completion",
            roles,
            sure,
            f"{answer.name} answers {prompt.name}",
        )
    return None


def translation(columns: Columns) -> Mapping | None:
    """The same text in two languages."""
    for column in columns.values():
        codes = [key for key in sorted(column.keys) if language_of_name(key)]
        if column.shape == "object" and len(codes) >= 2:
            first, second = codes[:2]
            return build(
                columns,
                "translation",
                {column.name: "input"},
                0.98,
                f"{column.name} holds the same text by language",
                languages=(first, second),
            )
    texts = [c for c in columns.values() if c.is_text and not c.looks_like_labels]
    coded = [c for c in texts if language_of_name(c.name)]
    if len(coded) >= 2 and languages_differ(coded[0], coded[1]) is not False:
        return _pair(columns, coded[0], coded[1], 0.97, "are named after languages")
    if len(texts) == 2 and languages_differ(*texts) is True:
        return _pair(
            columns, texts[0], texts[1], 0.88, "hold texts of like length in two languages"
        )
    return None


def _pair(columns: Columns, one: Column, two: Column, sure: float, why: str) -> Mapping:
    languages = (
        language_of_name(one.name) or one.name,
        language_of_name(two.name) or two.name,
    )
    return build(
        columns,
        "translation",
        {one.name: "input", two.name: "output"},
        sure,
        f"{one.name} and {two.name} {why}",
        languages=languages,
    )


def summary(columns: Columns) -> Mapping | None:
    """Long texts and their short versions."""
    summary = named(columns, SUMMARY_NAMES, "text")
    texts = [c for c in columns.values() if c.is_text and c is not summary]
    long = named(columns, ("article", "document", "dialogue", "dialog", "transcript"), "text")
    long = long or max(texts, key=lambda c: c.characters, default=None)
    if summary and long and long.characters > 1.5 * summary.characters:
        weak = summary.lower in ("title", "headline")
        return build(
            columns,
            "summarization",
            {long.name: "input", summary.name: "output"},
            0.75 if weak else 0.97,
            f"{summary.name} shortens {long.name}",
        )
    if len(texts) == 2 and not summary:
        short, longer = sorted(texts, key=lambda c: c.characters)
        if (
            longer.words > 60
            and longer.words > 4 * short.words > 24
            and shares_words(short, longer)
        ):
            return build(
                columns,
                "summarization",
                {longer.name: "input", short.name: "output"},
                0.7,
                f"{short.name} is a short text with the words of {longer.name}",
            )
    return None


def two_texts(columns: Columns) -> Mapping | None:
    """Two columns of free text that nothing names: perhaps the second answers the first."""
    texts = [c for c in columns.values() if c.is_text and not c.looks_like_id and c.words >= 2]
    if len(texts) != 2 or any(c.looks_like_labels for c in texts):
        return None
    asked, answer = texts
    marks = sum(value.rstrip().endswith(("?", "？", "؟")) for value in asked.counts)
    questions = marks > 0.6 * len(asked.counts)
    why = "reads as an answer to the questions of" if questions else "may answer"
    return build(
        columns,
        "prompt_completion",
        {asked.name: "input", answer.name: "output"},
        0.78 if questions else 0.5,
        f"{answer.name} {why} {asked.name}",
    )
