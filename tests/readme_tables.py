"""Writes the README's tables from the catalogue: `python -m tests.readme_tables`."""

from __future__ import annotations

import re
from pathlib import Path

from tools.catalog import load_catalog
from ui.cli import build

README = Path(__file__).parent.parent / "README.md"
_START, _END = "<!-- capabilities -->", "<!-- /capabilities -->"
_COMMANDS_START, _COMMANDS_END = "<!-- commands -->", "<!-- /commands -->"


def capabilities_table() -> str:
    """Return the table of capabilities: command, agent tool, effect, what it gives."""
    rows = ["| command | tool | effect | what it gives |", "|---|---|---|---|"]
    for capability in load_catalog().values():
        words = " ".join(name.upper() for name in capability.positional)
        command = f"luthier {capability.verb} {words}".strip()
        rows.append(
            f"| `{command}` | `{capability.name}` | {capability.effect} | {capability.summary} |"
        )
    return "\n".join(rows)


def commands_table() -> str:
    """Return the table of the commands that are not the verb of one capability."""
    verbs = {capability.verb for capability in load_catalog().values()}
    rows = ["| command | what it does |", "|---|---|", "| `luthier` | Open the app. |"]
    for name, command in build().commands.items():
        if name not in verbs:
            rows.append(f"| `luthier {name}` | {(command.help or '').splitlines()[0]} |")
    return "\n".join(rows)


def with_tables(text: str) -> str:
    """Return the README's text with both tables as the code has them now."""
    for start, end, table in (
        (_START, _END, capabilities_table()),
        (_COMMANDS_START, _COMMANDS_END, commands_table()),
    ):
        pattern = re.escape(start) + r".*?" + re.escape(end)
        replacement = f"{start}\n{table}\n{end}"
        text = re.sub(pattern, lambda _, r=replacement: r, text, flags=re.DOTALL)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
