"""How much speaks for each wish in a clause, and what a question takes away from it."""

from __future__ import annotations

from collections import defaultdict

from assistant.brains.guided.cues import ENOUGH, load_cues
from assistant.brains.guided.likely import likely_intent
from assistant.brains.guided.rules import RULES, Clause, Scores

ACTS = frozenset({"start", "prepare", "forget", "cancel", "resume", "export"})
_UNSURE = 0.35
_RESEMBLANCE_DECIDES = frozenset(
    {"inspect", "recommend", "estimate", "models", "hardware", "explain", "jobs", "show"}
    | {"diagnose", "compare", "evaluate", "report", "help"}
)
"""Wishes that change nothing, between which resemblance may decide."""


def score(clause: str) -> Scores:
    """Add up the cues of each wish; further ones of the same wish count less."""
    scores: Scores = defaultdict(float)
    for intent, weight, pattern in load_cues():
        if pattern.search(clause):
            scores[intent] = (
                max(scores[intent] + 0.3 * weight, weight) if intent in scores else weight
            )
    return dict(scores)


def weaken_acts(scores: Scores, clause: str) -> None:
    """Take a question about doing something for no wish to do it."""
    words = Clause(clause)
    if words.speaks_of("REQUEST") and not words.speaks_of("HYPOTHETICAL"):
        return
    asks_start = scores.pop("start", 0.0)
    if asks_start and scores.get("recommend", 0.0) < ENOUGH and words.speaks_of("COSTS"):
        scores["estimate"] = max(scores.get("estimate", 0.0), 2.6)
    for intent in ("forget", "cancel", "resume", "prepare", "export"):
        if intent in scores and not (intent == "export" and words.speaks_of("REQUEST")):
            scores[intent] *= 0.5
    others = {k: v for k, v in scores.items() if k not in ACTS and v >= ENOUGH}
    if asks_start and not others:
        scores["recommend"] = max(scores.get("recommend", 0.0), 2.1)


def settle(scores: Scores, clause: str) -> None:
    """Weigh wishes against each other where their words overlap."""
    words = Clause(clause)
    for rule in RULES:
        rule(scores, words)


def strongest(scores: Scores, clause: str) -> str:
    """Return the wish that most speaks for; where two are near, the one that it resembles."""
    best = max(scores, key=lambda name: scores[name])
    near = {name for name, value in scores.items() if value >= max(ENOUGH, scores[best] - _UNSURE)}
    if len(near) > 1 and near <= _RESEMBLANCE_DECIDES:
        guess = likely_intent(clause)
        return guess if guess in near else best
    return best
