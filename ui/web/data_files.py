"""The list of what can be looked at: one's own files, prepared versions, samples."""

from __future__ import annotations

from pathlib import Path

from tools.shipped import shipped
from ui.web.desk import Desk
from ui.web.escape import h
from ui.web.security import DATA_ENDINGS
from ui.web.words import size

_MOST_FILES = 60


def file_list(desk: Desk, chosen: str | None) -> str:
    """Return uploads, prepared versions and samples as a list of buttons."""
    groups = [
        ("Your files", [(p.name, str(p), size(p.stat().st_size)) for p in _uploads(desk)]),
        (
            "Prepared versions",
            [
                (record.id, record.id, f"{sum(record.manifest.get('splits', {}).values()):,} rows")
                for record in desk.store.datasets(limit=_MOST_FILES)
            ],
        ),
        (
            "Samples",
            [
                (p.name, f"data/samples/{p.name}", size(p.stat().st_size))
                for p in sorted(shipped("samples").iterdir())
                if p.suffix in DATA_ENDINGS and p.suffix != ".md"
            ],
        ),
    ]
    parts = []
    for title, members in groups:
        if not members:
            continue
        items = "".join(
            f'<li><button type="button" data-key="{h(path)}" title="{h(name)}"'
            f"{' aria-current=true' if path == chosen else ''}><span>{h(name)}</span>"
            f"<small>{h(note)}</small></button></li>"
            for name, path, note in members
        )
        parts.append(f"<h3>{h(title)}</h3><ul>{items}</ul>")
    return f'<nav aria-label="Files">{"".join(parts)}</nav>'


def _uploads(desk: Desk) -> list[Path]:
    folder = desk.settings.home / "uploads"
    if not folder.is_dir():
        return []
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    return sorted(files, key=lambda p: p.stat().st_mtime, reverse=True)[:_MOST_FILES]
