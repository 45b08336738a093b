"""Names of numbered labels that stand in a file of their own beside the data."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

_NAME = re.compile(
    r"(?:^|[-_. ])(?:labels?|classes|class|categor(?:y|ies)|tags?|intents?|id2label|label2id)"
    r"(?:[-_ ]?(?:names?|map|mapping|list|index))?\.(?:txt|json|names|list)$",
    re.I,
)
_MAX_BYTES = 200_000
_NUMBERED = re.compile(r"^\s*(\d{1,4})\s*[\t,:;= ]\s*(\S.*?)\s*$")


def is_label_list(path: Path) -> bool:
    """True for names such as `labels.txt`, `classes.json` or `id2label.json`."""
    return bool(_NAME.search(path.name))


def read_label_list(path: Path) -> tuple[str, ...]:
    """Return label names in the order of their numbers; nothing where the file is no such list."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return ()
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ()
    return _from_json(text) if path.suffix.lower() == ".json" else _from_lines(text)


def _from_json(text: str) -> tuple[str, ...]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    if not isinstance(value, dict):
        return ()
    if all(isinstance(number, int) for number in value.values()):
        return _in_order({number: str(name) for name, number in value.items()})
    if all(str(number).isdigit() and isinstance(name, str) for number, name in value.items()):
        return _in_order({int(number): name for number, name in value.items()})
    return ()


def _from_lines(text: str) -> tuple[str, ...]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or any(len(line) > 100 for line in lines):
        return ()
    numbered = [_NUMBERED.match(line) for line in lines]
    if all(numbered):
        return _in_order({int(found[1]): found[2] for found in numbered if found})
    return tuple(lines) if len(set(lines)) == len(lines) else ()


def _in_order(names: dict[int, str]) -> tuple[str, ...]:
    """Return the names where their numbers run from 0 without a gap."""
    return (
        tuple(names[n] for n in range(len(names))) if sorted(names) == [*range(len(names))] else ()
    )


def fits(names: Sequence[str], values: Sequence[str]) -> bool:
    """True where every value is the number of one of the names."""
    return bool(names) and all(v.isdigit() and int(v) < len(names) for v in values)
