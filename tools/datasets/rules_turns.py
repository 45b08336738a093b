"""Rules for conversations, and for answers that were compared or judged."""

from __future__ import annotations

from tools.datasets.mapping import Format, Mapping, Role
from tools.datasets.preferences import verdict_of
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
)


def messages(columns: Columns) -> Mapping | None:
    """Conversations as lists of messages."""
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
        because = f"{reason}, judged by {verdict.name}"
        return build(columns, "kto", roles, 0.95, because, objective="kto")
    if form == "chat" and called:
        form = "tool_calls"
    task = "tool_calls" if called else "chat"
    return build(columns, form, roles, 0.99, reason, task=task, objective="chat")


_CONTRASTS = (
    ("chosen", "rejected"),
    ("preferred", "rejected"),
    ("preferred", "non_preferred"),
    ("preferred", "dispreferred"),
    ("accepted", "rejected"),
    ("winner", "loser"),
    ("winning", "losing"),
    ("win", "lose"),
    ("better", "worse"),
    ("best", "worst"),
    ("good", "bad"),
    ("positive", "negative"),
)
"""What the better answer is called, and what the worse; names may hold other words beside it."""
_ANSWERS = ("text", "object", "list of object", "list of text")


def preference(columns: Columns) -> Mapping | None:
    """Pairs of a better and a worse answer."""
    pair = _contrast(columns)
    if pair is None:
        return None
    chosen, rejected = pair
    roles: dict[str, Role] = {chosen.name: "chosen", rejected.name: "rejected"}
    rest = {c.name: c for c in columns.values() if c.name not in roles}
    history = named(rest, ("conversations", "messages", "conversation", "history"),
                    "list of object")  # fmt: skip
    instruction = named(rest, INSTRUCTION_NAMES, "text")
    asked = named(rest, (*PROMPT_NAMES, *QUESTION_NAMES, *INPUT_NAMES, *CONTEXT_NAMES))
    if history and not (instruction or (asked and asked.shape == "text")):
        roles[history.name] = "history"
    elif instruction or asked:
        if instruction:
            roles[instruction.name] = "instruction"
        if asked:
            roles[asked.name] = "history" if asked.shape == "list of object" else "input"
    system = named(rest, ("system", "system_prompt"), "text")
    if system:
        roles[system.name] = "system"
    reason = f"{chosen.name} and {rejected.name} hold a better and a worse answer"
    return build(columns, "preference", roles, 0.98, reason, objective="dpo")


def _contrast(columns: Columns) -> tuple[Column, Column] | None:
    """Return the columns of the better and the worse answer, by contrasting names."""
    answers = {c.lower: c for c in columns.values() if c.values and c.shape in _ANSWERS}
    for good, bad in _CONTRASTS:
        for name, column in answers.items():
            words = f"_{name}_"
            if f"_{good}_" not in words or f"_{bad}_" in words:
                continue
            other = answers.get(words.replace(f"_{good}_", f"_{bad}_").strip("_"))
            if other is None or other.shape != column.shape:
                continue
            # Worse answers are often drawn from a handful of phrases; labels would stand in both.
            if column.shape != "text" or not (column.looks_like_labels and other.looks_like_labels):
                return column, other
    return None


VERDICT_NAMES = (
    "label", "kto_tag", "desirable", "is_desirable", "thumbs_up", "is_good", "good", "accepted",
    "is_accepted", "preferred", "feedback", "verdict", "rating", "liked", "helpful",
)  # fmt: skip


def kto(columns: Columns) -> Mapping | None:
    """Single answers to a prompt, each judged good or bad."""
    prompt = named(columns, (*PROMPT_NAMES, *INSTRUCTION_NAMES, *QUESTION_NAMES))
    answer = named(columns, (*OUTPUT_NAMES, *ANSWER_NAMES))
    verdict = named(columns, VERDICT_NAMES)
    if not prompt or not answer or not verdict or answer.looks_like_labels:
        return None
    if prompt.shape not in _ANSWERS or answer.shape not in _ANSWERS:
        return None
    said = {value.lower() for value in verdict.counts}
    telling = verdict.shape == "bool" or said <= {"true", "false"}
    known = len(said) <= 2 and all(verdict_of(value) is not None for value in said)
    if not telling and not (known and prompt.lower in PROMPT_NAMES):
        return None
    return build(
        columns,
        "kto",
        {prompt.name: "input", answer.name: "output", verdict.name: "verdict"},
        0.99 if telling else 0.98,
        f"{answer.name} is judged good or bad by {verdict.name}",
        objective="kto",
    )
