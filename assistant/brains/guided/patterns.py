"""Patterns of wording by name, read from the table in `patterns.txt`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_SECTION = re.compile(r"^\[([A-Z_]+)\]")
_PUT_IN = re.compile(r"\{([A-Z_]+)\}")


@cache
def phrase(name: str) -> re.Pattern[str]:
    """Return the compiled pattern of a section."""
    return re.compile(source(name))


@cache
def source(name: str) -> str:
    """Return a section's alternatives as one expression."""
    return _PUT_IN.sub(lambda m: f"(?:{source(m[1])})", "|".join(_sections()[name]))


@cache
def _sections() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in Path(__file__).with_name("patterns.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if match := _SECTION.match(line):
            lines = found.setdefault(match[1], [])
        else:
            lines.append(line)
    return found
