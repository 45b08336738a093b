"""Cuts out what a person does not want: it is no wish, and it rules wishes out."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re

from assistant.brains.guided.cues import load_cues
from assistant.brains.guided.patterns import phrase

_END_OF_NEGATION = re.compile(r"[,;]| but | just | only |: | - ")


_CAN_BE_REFUSED = frozenset(
    {"start", "prepare", "forget", "cancel", "resume", "export", "inspect", "evaluate", "try"}
)


def cut_negations(clause: str) -> tuple[str, set[str]]:
    """Cut out what is negated: `don't train yet, just look` is a wish to look, and none to train."""
    refused: set[str] = set()
    kept = clause
    for intent, _, pattern in load_cues():
        if intent not in _CAN_BE_REFUSED:
            continue
        match = pattern.search(kept)
        while match:
            if not phrase("NEGATED").search(
                kept[: match.start()].rstrip() + " "
            ) and not _negated_inside(match[0]):
                break
            refused.add(intent)
            tail = _END_OF_NEGATION.split(kept[match.start() :], maxsplit=1)
            rest = tail[1] if len(tail) > 1 else ""
            head = phrase("NEGATED").sub(" ", kept[: match.start()].rstrip() + " ")
            kept = f"{head.strip()} {rest.strip()}".strip()
            match = pattern.search(kept)
    return kept, refused


def _negated_inside(text: str) -> bool:
    return bool(
        re.search(
            r"(?:\bdon't|\bnot|\bno|\bwithout|\bnever) (?:\w+ ){0,3}(?:train|finetun|tun|start|run|delete|forget|export|stop|cancel)\w*",
            text,
        )
        and not re.match(r"(?:no|not),", text)
    )
