"""Which kind of training data this is, by content first and names second."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tools.datasets.mapping import Format, Mapping, Role
from tools.datasets.profile import Column
from tools.datasets.signs import (
    ANSWER_NAMES,
    CONTEXT_NAMES,
    INPUT_NAMES,
    INSTRUCTION_NAMES,
    LABEL_NAMES,
    OUTPUT_NAMES,
    PROMPT_NAMES,
    QUESTION_NAMES,
    SUMMARY_NAMES,
    TEXT_NAMES,
    language_of_name,
    languages_differ,
    shares_words,
)
from tools.history.spec import Objective

Columns = dict[str, Column]
Rule = Callable[[Columns], Mapping | None]


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


def build(
    columns: Columns,
    form: Format,
    roles: dict[str, Role],
    confidence: float,
    reason: str,
    *,
    task: str = "",
    objective: Objective | None = "prompt_completion",
    languages: tuple[str, str] | None = None,
    obstacle: str = "",
    advice: str = "",
) -> Mapping:
    """Return a mapping in which every column has a role."""
    full: dict[str, Role] = {}
    for name, column in columns.items():
        fallback: Role = "id" if column.looks_like_id else "ignored"
        full[name] = roles.get(name, fallback)
    needed = _NEEDED - {"input"} if form == "alpaca" else _NEEDED
    covered = [columns[name].filled for name, role in roles.items() if role in needed]
    sure = confidence * (min(covered) ** 0.5 if covered else 1.0)
    return Mapping(
        format=form,
        task=task or form,
        objective=objective,
        columns=full,
        languages=languages,
        confidence=round(min(max(sure, 0.05), 0.99), 2),
        reason=reason,
        obstacle=obstacle,
        advice=advice,
    )


_NEEDED = frozenset({"input", "output", "instruction", "messages", "text", "chosen", "tokens"})


def named(columns: Columns, names: Sequence[str], shape: str | None = None) -> Column | None:
    """Return the first column with one of these names (in their order) and shape."""
    by_name = {column.lower: column for column in reversed(list(columns.values()))}
    for name in names:
        column = by_name.get(name)
        if column and column.values and (shape is None or column.shape == shape):
            return column
    return None


def _messages(columns: Columns) -> Mapping | None:
    for column in columns.values():
        if column.shape != "list of object":
            continue
        if {"role", "content"} <= column.keys or column.keys >= {"role"}:
            return _conversation(columns, column, "chat", "role and content")
        if {"from", "value"} <= column.keys:
            return _conversation(columns, column, "sharegpt", "from and value")
    return None


def _conversation(columns: Columns, column: Column, form: Format, keys: str) -> Mapping:
    roles: dict[str, Role] = {column.name: "messages"}
    tools = named(columns, ("tools", "functions", "tool_definitions"))
    called = "tool_calls" in column.keys or tools is not None
    if tools:
        roles[tools.name] = "tools"
    system = named(columns, ("system", "system_prompt", "system_message"), "text")
    if system:
        roles[system.name] = "system"
    verdict = named(columns, ("kto_tag", "label", "desirable"), "bool")
    reason = f"{column.name} holds lists of messages with {keys}"
    if verdict:
        roles[verdict.name] = "verdict"
        return build(
            columns,
            "kto",
            roles,
            0.95,
            f"{reason}, judged by {verdict.name}",
            objective=None,
            obstacle="Answers judged good or bad (KTO) cannot be trained on yet.",
            advice="Keep the rows judged good and save them as chat messages.",
        )
    if form == "chat" and tools is not None:
        form = "tool_calls"
    task = "tool_calls" if called else "chat"
    return build(columns, form, roles, 0.99, reason, task=task, objective="chat")


def _preference(columns: Columns) -> Mapping | None:
    pairs = (
        ("chosen", "rejected"),
        ("preferred", "rejected"),
        ("preferred_output", "non_preferred_output"),
        ("accepted", "rejected"),
        ("chosen_response", "rejected_response"),
        ("response_chosen", "response_rejected"),
        ("answer_chosen", "answer_rejected"),
        ("winner", "loser"),
        ("better", "worse"),
    )
    for good, bad in pairs:
        chosen, rejected = named(columns, (good,)), named(columns, (bad,))
        if not chosen or not rejected or chosen.shape in ("number", "bool"):
            continue
        roles: dict[str, Role] = {chosen.name: "chosen", rejected.name: "rejected"}
        history = named(columns, ("conversations", "messages", "conversation"), "list of object")
        asked = named(columns, (*PROMPT_NAMES, *QUESTION_NAMES, *INSTRUCTION_NAMES, *INPUT_NAMES))
        if history:
            roles[history.name] = "history"
        elif asked:
            roles[asked.name] = "history" if asked.shape == "list of object" else "input"
        return build(
            columns,
            "preference",
            roles,
            0.98,
            f"{chosen.name} and {rejected.name} hold a better and a worse answer",
            objective=None,
            obstacle="Pairs of a better and a worse answer cannot be trained on as pairs yet.",
            advice=f"Train on the better answers alone: name {chosen.name} as the output column.",
        )
    return None


def _kto(columns: Columns) -> Mapping | None:
    prompt = named(columns, PROMPT_NAMES, "text")
    answer = named(columns, (*OUTPUT_NAMES, *ANSWER_NAMES), "text")
    verdict = named(columns, ("label", "kto_tag", "desirable", "thumbs_up"))
    if not prompt or not answer or not verdict or answer.looks_like_labels:
        return None
    if verdict.shape != "bool" and not {v.lower() for v in verdict.counts} <= {"true", "false"}:
        return None
    return build(
        columns,
        "kto",
        {prompt.name: "input", answer.name: "output", verdict.name: "verdict"},
        0.99,
        f"{answer.name} is judged true or false by {verdict.name}",
        objective=None,
        obstacle="Answers judged good or bad (KTO) cannot be trained on yet.",
        advice=f"Keep the rows whose {verdict.name} is true and drop that column.",
    )


def _tokens(columns: Columns) -> Mapping | None:
    tokens = named(columns, ("tokens", "words", "sentence_words"), "list of text")
    tags = named(
        columns, ("tags", "ner_tags", "labels", "ner", "entities", "pos_tags", "chunk_tags", "pos")
    )
    if not tokens or not tags or tags.shape not in ("list of text", "list of number"):
        return None
    return build(
        columns,
        "token_classification",
        {tokens.name: "tokens", tags.name: "tags"},
        0.98,
        f"every token of {tokens.name} has a tag in {tags.name}",
    )


def _question_answer(columns: Columns) -> Mapping | None:
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


def _alpaca(columns: Columns) -> Mapping | None:
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
        0.98 if extra or nested else 0.9,
        f"{instruction.name} is carried out in {answer.name}",
    )


def _prompt_completion(columns: Columns) -> Mapping | None:
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


def _translation(columns: Columns) -> Mapping | None:
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
        return _pair(columns, texts[0], texts[1], 0.8, "hold texts of like length in two languages")
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


def _summary(columns: Columns) -> Mapping | None:
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


def _classification(columns: Columns) -> Mapping | None:
    texts = [c for c in columns.values() if c.is_text and not c.looks_like_id]
    labels = [c for c in columns.values() if c.filled > 0.5 and _is_label(c, len(texts))]
    if not labels:
        return None
    label = max(labels, key=lambda c: (-_name_rank(c), c.filled, -c.distinct))
    premise = named(columns, ("premise", "sentence1", "question1", "text_a"), "text")
    hypothesis = named(columns, ("hypothesis", "sentence2", "question2", "text_b"), "text")
    known = label.lower in LABEL_NAMES
    if premise and hypothesis:
        return build(
            columns,
            "classification",
            {premise.name: "input", hypothesis.name: "input", label.name: "output"},
            0.95,
            f"{label.name} judges pairs of {premise.name} and {hypothesis.name}",
            task="pair_classification",
        )
    inputs = [c for c in texts if c is not label and not c.looks_like_labels]
    inputs = inputs or [c for c in texts if c is not label]
    if not inputs:
        return None
    text = named({c.name: c for c in inputs}, TEXT_NAMES) or max(inputs, key=lambda c: c.characters)
    sure = 0.97 if known and label.looks_like_labels else 0.9 if label.looks_like_labels else 0.6
    rivals = [c.name for c in labels if c is not label and _name_rank(c) < len(LABEL_NAMES)]
    if rivals and not known:
        sure -= 0.15
    also = f"; {', '.join(rivals[:3])} could be the label too" if rivals and not known else ""
    few = f"{label.distinct} different values in {label.values:,} rows"
    return build(
        columns,
        "classification",
        {text.name: "input", label.name: "output"},
        sure,
        f"{label.name} has {few}, {text.name} is free text{also}",
    )


def _is_label(column: Column, texts: int) -> bool:
    if column.lower in ("id", "idx", "index", "split", "date", "user", "url"):
        return False
    if column.looks_like_labels:
        return True
    small = column.values < 12 and column.words <= 2.5 and column.longest <= 40
    return column.lower in LABEL_NAMES and small and texts > 0


def _name_rank(column: Column) -> int:
    """Return how far down the list of label names the column's name, or a word of it, stands."""
    names = list(LABEL_NAMES)
    if column.lower in names:
        return names.index(column.lower)
    words = [word for word in column.lower.split("_") if word in names]
    telling = [names.index(word) for word in words if word not in ("text", "name", "y", "code")]
    return min(max(telling, default=2 * len(names)) + 0, len(names) - 1) if telling else len(names)


def _text(columns: Columns) -> Mapping | None:
    texts = [c for c in columns.values() if c.is_text and not c.looks_like_id]
    useful = [c for c in texts if c.words >= 2 or c.lower in TEXT_NAMES]
    if not useful:
        return None
    known = named({c.name: c for c in useful}, TEXT_NAMES)
    column = known or max(useful, key=lambda c: c.characters * c.filled)
    others = [c for c in columns.values() if c is not column and not c.looks_like_id and c.values]
    alone = not any(c.is_text or c.looks_like_labels for c in others)
    sure = 0.9 if alone and known else 0.8 if alone else 0.35
    return build(
        columns,
        "text",
        {column.name: "text"},
        sure,
        f"{column.name} is {'the only' if alone else 'a'} column of free text",
        task="text",
        objective="text",
    )


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
    _preference,
    _messages,
    _kto,
    _tokens,
    _alpaca,
    _question_answer,
    _prompt_completion,
    _translation,
    _summary,
    _classification,
    _text,
)
