"""Finds changes of a setting that are measured on what it is: `a smaller batch`, `a tenth of the rate`."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Container

_RELATIVE = re.compile(
    r"\b(smaller|bigger|larger|higher|lower|fewer|more|less|longer|shorter|double|doubled|twice|triple|treble|quadruple|half|halve|halved|"
    r"reduce|increase|raise|decrease|slower|faster|greater|gentler|bolder)\b"
    r"|(?<=learning rate )(fast|high|aggressive|slow|low|gentle)\b"
    r"|(?<=lr )(fast|high|aggressive|slow|low|gentle)\b"
)
_UP = frozenset(
    {
        "bigger", "larger", "higher", "more", "longer", "double", "twice", "increase", "raise",
        "greater", "bolder", "doubled", "triple", "treble", "quadruple", "fast", "high", "aggressive",
    }
)  # fmt: skip
_MORE_THAN_TWICE = {"triple": 3.0, "treble": 3.0, "quadruple": 4.0}
_PART = {
    "half": 2,
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "tenth": 10,
    "hundredth": 100,
}
_SHARE_OF = re.compile(
    rf"\b(?:(?:an?|1|one) )?({'|'.join(_PART)}) (?:of )?(?:the |that |its |my )?(?:old |last |previous |current )?$"
)
_TO_SHARE = re.compile(rf"(?: \w+){{0,2}} to (?:(?:an?|1|one) )?({'|'.join(_PART)})\b")
_TIMES = re.compile(
    r"(?<![\w.-])(\d+(?:\.\d+)?) ?(?:x|times|-?fold) (?:as )?(?P<way>the|that|as|(?:low|high|small|larg|bigg|slow|fast|long|short|great)er|less|more|fewer)\b"
    r"|\b(?P<cut>\w+) (?:it )?by (?:a )?factor (?:of )?(\d+(?:\.\d+)?)"
    r"|\b(?:divide|divided)\b.{0,24}\bby (\d+(?:\.\d+)?)|\bmultipl\w+\b.{0,24}\bby (\d+(?:\.\d+)?)"
)
_DOWN = re.compile(r"small|low|less|few|slow|short|cut|reduc|decreas|shrink|drop|divid|gentl")
_TARGETS = (
    ("gradient_accumulation", r"accum\w*"),
    ("batch_size", r"batch(?:es)?(?: size)?|bs"),
    ("rank", r"rank|adapter"),
    ("alpha", r"alpha"),
    ("learning_rate", r"(?:learning )?rate|lr"),
    ("epochs", r"epochs?|passes|train(?:ing)?"),
    ("max_length", r"length|tokens|sequence"),
    ("dropout", r"dropout"),
    ("max_steps", r"steps"),
    ("trials", r"trials|variants|attempts"),
    ("minutes", r"minutes|time|hours?"),
)


def find_relative(plain: str) -> dict[str, float]:
    """Return argument → factor for wishes such as `a smaller batch` or `a tenth of the rate`."""
    factors: dict[str, float] = {}
    for name, words in _TARGETS:
        for match in re.finditer(rf"\b(?:{words})\b", plain):
            if (share := _SHARE_OF.search(plain[: match.start()])) or (
                share := _TO_SHARE.match(plain[match.end() :])
            ):
                factors.setdefault(name, 1 / _PART[share[1]])
    for match in _TIMES.finditer(plain):
        times = float(next(match[i] for i in (1, 4, 5, 6) if match[i]))
        down = match[5] or _DOWN.match(match["way"] or match["cut"] or "")
        if (meant := _meant_near(plain, match)) and times > 0:
            factors.setdefault(meant, 1 / times if down else times)
    for match in _RELATIVE.finditer(plain):
        word = next(group for group in match.groups() if group)
        if meant := _meant_near(plain, match, but=factors):
            up = word in _UP or (word == "faster" and meant == "learning_rate")
            more = _MORE_THAN_TWICE.get(word, 2.0)
            factors[meant] = more if up else 0.5
    return factors


def _meant_near(plain: str, match: re.Match[str], but: Container[str] = ()) -> str | None:
    """Return the setting that is spoken of around a word."""
    window = plain[max(0, match.start() - 24) : match.end() + 24]
    near = (n for n, words in _TARGETS if n not in but and re.search(rf"\b(?:{words})\b", window))
    return next(near, None)
