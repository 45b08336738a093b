"""Scores as they are made, one line each: a killed evaluation goes on from the rows it has scored.

The first line names what was scored (model, rows, template, rules). A book with another name is
started over: scores of one model are never taken for another's.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

SCORING_VERSION = 4
"""Counted up whenever the same model on the same rows would get other scores."""


class Scorebook:
    """An append-only file of named entries.

    Attributes:
        key: Name of what was scored.
        found: Entries that were there when it was opened.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self.key = key
        self._entries = _read(path, key)
        self.found = len(self._entries)
        if not self._entries:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"key": key}) + "\n", encoding="utf-8")
        else:
            # A line that was cut off by a kill would spoil the next one.
            _rewrite(path, key, self._entries)

    @property
    def reused(self) -> bool:
        """Whether everything was there already and nothing had to be scored."""
        return self.found == len(self._entries)

    def get(self, name: str) -> dict[str, Any] | None:
        """Return an entry, or None where it has still to be made."""
        return self._entries.get(name)

    def add(self, name: str, entry: dict[str, Any]) -> dict[str, Any]:
        """Write an entry through to the disk and return it."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, **entry}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._entries[name] = entry
        return entry

    def keep(self, shared: Path) -> None:
        """Copy the book to where other evaluations of the same model and rows find it."""
        shared.parent.mkdir(parents=True, exist_ok=True)
        _rewrite(shared, self.key, self._entries)

    @classmethod
    def opened(cls, path: Path, key: str, shared: Path) -> Scorebook:
        """Open a job's book, begun from the shared copy where that holds more."""
        if len(_read(shared, key)) > len(_read(path, key)):
            path.parent.mkdir(parents=True, exist_ok=True)
            _rewrite(path, key, _read(shared, key))
        return cls(path, key)


def _read(path: Path, key: str) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    entries: dict[str, dict[str, Any]] = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file):
            try:
                entry = json.loads(line)
            except ValueError:
                # The process was killed while it wrote this line.
                break
            if number == 0:
                if entry != {"key": key}:
                    return {}
                continue
            entries[str(entry.pop("name"))] = entry
    return entries


def _rewrite(path: Path, key: str, entries: dict[str, dict[str, Any]]) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"key": key}) + "\n")
        for name, entry in entries.items():
            file.write(json.dumps({"name": name, **entry}) + "\n")
    temporary.replace(path)
