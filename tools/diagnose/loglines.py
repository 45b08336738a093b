"""Which line of a log says something: a message of a program, not prose about one or its source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LOOKED_AT = 400_000
_LONGEST_LINE = 4_000
_SOURCE = re.compile(
    r"\s*(?:>>>\s*)?(?:except\b|raise\b|print\(|#\s|//|def\s|class\s|import\s|from\s+\S+\s+import|"
    r"if\s.*:\s*$|elif\s|assert\s|return\b(?! code)|with\s.*:\s*$|log(?:ger|ging)?\.\w+\(|[\"']{3})"
)
_LOGGED = re.compile(
    r"\w(?:Error|Exception|Warning)\b|\b(?:ERROR|WARN(?:ING)?|FATAL|CRITICAL|INFO)\b|\berror:|"
    r"Traceback|^\s*\[|\d\d:\d\d:\d\d|\brank ?\d|File \"|\bit/s\b|\bs/it\b",
    re.MULTILINE,
)
"""What stands in logs and hardly ever in sentences."""
_TECHNICAL = re.compile(
    r"\d+(?:\.\d+)? ?[kKMGT]i?B\b|[/\\]\w+[/\\.]|\w/\w|0x[0-9a-f]|\w_\w|\b\d{4,}\b"
)
"""What makes a line that holds a wording a message."""
_ABOUT = re.compile(
    r"\s*(?:how|why|what|when|tips?|avoid\w*|fix\w*|solv\w*|guide|chapter|tutorial|if you)\b",
    re.IGNORECASE,
)
_MOST_WORDS = 14


@dataclass(frozen=True)
class Match:
    """A wording that was found, and the line around it.

    Attributes:
        spoken: The line reads like prose, in a text where nothing reads like a log.
    """

    line: str
    start: int
    end: int
    spoken: bool = False


def end_of(text: str) -> str:
    """Return the end of a log that is looked at, a line at most so long as people print them."""
    tail = text[-_LOOKED_AT:].replace("\r\n", "\n").replace("\r", "\n")
    return "\n".join(
        line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE // 2]} … "
        f"{line[-_LONGEST_LINE // 2:]}"
        for line in tail.split("\n")
    )  # fmt: skip


def last_message(pattern: re.Pattern[str], text: str) -> Match | None:
    """Return the last place where a program says this; else the last where someone speaks of it."""
    spoken: Match | None = None
    for match in reversed(list(_matches(pattern, text))):
        if not match.spoken:
            return match
        spoken = spoken or match
    if spoken is None or _LOGGED.search(_without(text, spoken)):
        # Beside lines of a log, a sentence was most likely printed by it.
        return spoken and Match(spoken.line, spoken.start, spoken.end)
    return spoken


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[Match]:
    for found in pattern.finditer(text):
        begin = text.rfind("\n", 0, found.start()) + 1
        end = text.find("\n", found.end())
        end = len(text) if end < 0 else end
        line = text[begin:end]
        if not reads_as_source(line):
            spoken = _spoken(line, found.start() - begin)
            yield Match(line.strip()[:600], found.start(), end, spoken)


def reads_as_source(line: str) -> bool:
    """Whether this is a line of a program, such as `except OutOfMemoryError:`."""
    return bool(_SOURCE.match(line))


def _spoken(line: str, at: int) -> bool:
    if _LOGGED.search(line) or _TECHNICAL.search(line):
        return False
    if _ABOUT.match(line):
        return True
    before = line[:at].rstrip()
    if not before or before[-1] in ":>|=]-":
        return False
    return len(line.split()) > _MOST_WORDS


def _without(text: str, match: Match) -> str:
    """The text around a match, the line of the match left out."""
    begin = text.rfind("\n", 0, match.start) + 1
    return f"{text[:begin]}\n{text[match.end :]}"
