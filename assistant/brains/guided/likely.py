"""A second opinion where no cue is strong enough: which wish do these words resemble most?

Naive Bayes over the words and word pairs of `phrases.txt`, read once. It is asked last, and only
for wishes that change nothing by themselves.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

_SURE = 0.5
_KNOWN_SHARE = 0.6
_MARK = re.compile(r"\b(file|job|hub|quote)\d+\b")
_ENDING = re.compile(r"(?:ings?|ed|es|s|e)$")
_EMPTY = frozenset(["the", "a", "an", "please", "luthier", "so", "well", "ok", "just"])


def likely_intent(clause: str) -> str | None:
    """Return the wish that a clause resembles clearly, or None."""
    shares = resemblance(clause)
    best = max(shares, key=lambda intent: shares[intent], default="none")
    return best if best != "none" and shares[best] >= _SURE else None


def resemblance(clause: str) -> dict[str, float]:
    """Return wish → share of the resemblance, in all 1; empty where too few words are known."""
    features = _features(clause)
    counts, totals, vocabulary = _model()
    words = [f for f in features if " " not in f]
    known = [f for f in words if f in vocabulary]
    if len(words) < 2 or len(known) < _KNOWN_SHARE * len(words):
        return {}
    scores = {
        intent: sum(
            math.log((counts[intent][f] + 0.3) / (totals[intent] + 0.3 * len(vocabulary)))
            for f in features
            if f in vocabulary
        )
        for intent in counts
    }
    top = max(scores.values())
    weights = {intent: math.exp((score - top) / 2) for intent, score in scores.items()}
    whole = sum(weights.values())
    return {intent: weight / whole for intent, weight in weights.items()}


def _features(text: str) -> list[str]:
    words = [w for w in re.findall(r"[a-z']+|\d+", _MARK.sub(r"\1", text)) if w not in _EMPTY]
    words = ["n" if w.isdigit() else _stem(w) for w in words]
    return words + [f"{a} {b}" for a, b in pairwise(words)]


def _stem(word: str) -> str:
    return _ENDING.sub("", word) if len(word) > 4 else word


@cache
def _model() -> tuple[dict[str, Counter[str]], dict[str, int], frozenset[str]]:
    table = Path(__file__).with_name("phrases.txt").read_text(encoding="utf-8")
    counts: dict[str, Counter[str]] = {}
    intent = ""
    for line in table.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith("["):
            intent = line.strip("[]")
            counts[intent] = Counter()
            continue
        counts[intent].update(_features(line))
    totals = {name: sum(counter.values()) for name, counter in counts.items()}
    vocabulary = frozenset(f for counter in counts.values() for f in counter)
    return counts, totals, vocabulary
