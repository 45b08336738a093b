"""Weighted evidence for each wish, read from the table in `cues.txt`.

Weights of one intent add up (further evidence counts less); the strongest intent of a clause wins
where it reaches `ENOUGH`.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from assistant.brains.guided.choices import pattern_of

ENOUGH = 2.0

_GROUPS = {
    "{RUN}": r"(?:runs?|jobs?|trainings?|tunings?|finetunings?|attempts?|experiments?)",
    "{DATA}": (
        r"(?:file\d+|hub\d+|data(?:sets?)?|files?|rows?|csv|jsonl?|spreadsheet|table|examples|sheet)"
    ),
    "{TRAIN}": r"(?:train|finetune|tune|teach|retrain|fit)",
}
Cue = tuple[str, float, re.Pattern[str]]


@cache
def load_cues() -> tuple[Cue, ...]:
    """Return `(intent, weight, pattern)` in the order of the table."""
    table = Path(__file__).with_name("cues.txt").read_text(encoding="utf-8")
    cues: list[Cue] = []
    intent = ""
    named = {"{METHOD}": "method", "{ENGINE}": "engine", "{OBJECTIVE}": "objective"}
    groups = _GROUPS | {mark: pattern_of(argument) for mark, argument in named.items()}
    for line in table.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith("["):
            intent = line.strip("[]")
            continue
        weight, _, pattern = line.partition(" ")
        for name, group in groups.items():
            pattern = pattern.replace(name, group)
        cues.append((intent, float(weight), re.compile(pattern)))
    return tuple(cues)
