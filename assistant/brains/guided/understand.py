"""From plain words to wishes: which things a person wants, in which order."""

# Patterns are easier to check in one line than wrapped.

from __future__ import annotations

import re
from dataclasses import replace

from assistant.brains.guided.cues import ENOUGH
from assistant.brains.guided.likely import likely_intent
from assistant.brains.guided.negations import cut_negations
from assistant.brains.guided.patterns import phrase
from assistant.brains.guided.rules import is_question
from assistant.brains.guided.weighing import ACTS, score, settle, strongest, weaken_acts
from assistant.brains.guided.wishes import Understanding, Wish
from assistant.brains.guided.wording import Utterance

_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")


_DEFERRED = frozenset({"evaluate", "export", "try", "show", "report", "compare"})
_WEAK_PREPARE = 2.4


def understand(said: Utterance) -> Understanding:
    """Return the wishes in a message."""
    if wish := _leading(said.plain):
        return Understanding((wish,), frozenset(), ())
    wishes: list[Wish] = []
    banned: set[str] = set()
    fragments: list[str] = []
    for clause in clauses(said.plain):
        wish, refused = read_clause(clause)
        banned |= refused
        if wish is None:
            fragments.append(clause)
        else:
            wishes.append(wish)
    if not wishes and len(fragments) > 1:
        whole, refused = read_clause(said.plain)
        banned |= refused
        wishes = [whole] if whole else []
    only_trains = {wish.intent for wish in wishes} <= {"start", "inspect", "diagnose"}
    if only_trains and _asks_what_was_heard_of(said.plain):
        wishes = [Wish("explain", ENOUGH, said.plain, True)]
    return Understanding(tuple(_ordered(wishes, banned)), frozenset(banned), tuple(fragments))


def _asks_what_was_heard_of(plain: str) -> bool:
    """`A colleague told me about DoRA. What is that?`"""
    term = phrase("FIELD").search(plain) or re.search(r"\bquote\d", plain)
    named = re.search(r"\b(?:file|job)\d+\b", plain)
    return bool(term and not named and phrase("TOLD_OF").search(plain))


def second_opinion(said: Utterance) -> Wish | None:
    """Return what a message resembles that says nothing clearly; never an act with consequences."""
    for sentence in _SENTENCE.split(said.plain):
        intent = likely_intent(sentence)
        if intent and intent not in ACTS:
            return Wish(intent, ENOUGH, sentence, is_question(sentence))
    puzzled = phrase("FIELD").search(said.plain) and phrase("PUZZLED").search(said.plain)
    if puzzled and not re.search(r"\d", said.plain):
        return Wish("explain", ENOUGH, said.plain, True)
    asked = re.search(
        r"\b(?:what's|what is|what are|what does|explain) (?!it\b|this\b|that\b|your|my)",
        said.plain,
    )
    if asked and not phrase("EVERYDAY").search(said.plain):
        return Wish("explain", ENOUGH, said.plain, True)
    return None


def _leading(plain: str) -> Wish | None:
    """`try: …` takes all that follows as the prompt, whatever it says."""
    head = plain.split(":", 1)[0]
    about_data = re.search(
        r"\b(?:data|sample|samples|file\d*|train(?:ing)?|tun(?:e|ing)|finetun(?:e|ing))\b", head
    )
    scores = score(head + ":") if ":" in plain and not about_data else {}
    if scores and max(scores, key=lambda k: scores[k]) == "try" and scores["try"] >= 2.2:
        return Wish("try", scores["try"], plain)
    return None


def clauses(plain: str) -> list[str]:
    """Split a message where one wish ends and the next may begin."""
    found: list[str] = []
    for sentence in _SENTENCE.split(plain):
        if not sentence.strip():
            continue
        parts = [p.strip(" ,;") for p in phrase("NEXT").split(sentence)]
        found += [part for part in parts if part]
    return found


def read_clause(clause: str) -> tuple[Wish | None, set[str]]:
    """Return the strongest wish of a clause, and the intents it rules out."""
    kept, refused = cut_negations(clause)
    scores = score(kept)
    question = is_question(kept)
    if (question or phrase("HYPOTHETICAL").search(kept)) and not phrase("POLITE").search(kept):
        weaken_acts(scores, kept)
    settle(scores, kept)
    scores.setdefault("explain", 0.0)
    intent = strongest(scores, kept)
    if (
        scores[intent] < ENOUGH
        and question
        and phrase("FIELD").search(kept)
        and not phrase("NAMES_A_FIGURE").search(kept)
    ):
        return Wish("explain", ENOUGH, kept, True), refused
    if scores[intent] < ENOUGH:
        return None, refused
    return Wish(intent, scores[intent], kept, question), refused - {intent}


def _ordered(wishes: list[Wish], banned: set[str]) -> list[Wish]:
    """Merge repeated wishes, and let details of one wish not become another."""
    kept: list[Wish] = []
    intents = {wish.intent for wish in wishes}
    for wish in wishes:
        if (
            wish.intent in banned
            and wish.intent in ACTS
            and not any(w.intent == wish.intent and w.score > wish.score for w in wishes)
            and wish.question
        ):
            continue
        if wish.intent == "prepare" and wish.score < _WEAK_PREPARE and "start" in intents:
            continue
        small_talk = {"greet", "thanks", "bye", "help"}
        if wish.intent in small_talk and intents - small_talk:
            continue
        same = next((i for i, w in enumerate(kept) if w.intent == wish.intent), None)
        if same is not None and wish.intent not in {"explain", "try"}:
            joined = f"{kept[same].clause} ; {wish.clause}"
            kept[same] = replace(kept[same], clause=joined, score=max(kept[same].score, wish.score))
            continue
        kept.append(wish)
    return kept


def names_a_term(*texts: str) -> bool:
    """Return whether a term of the field is named."""
    return any(phrase("FIELD").search(text) for text in texts)


def is_deferred(intent: str) -> bool:
    """Return whether a wish needs a finished run, so that it waits when a training is planned."""
    return intent in _DEFERRED
