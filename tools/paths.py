"""From what a person or a brain wrote to a real path that may be read."""

from __future__ import annotations

from pathlib import Path

from tools.context import Context
from tools.errors import NotAllowed, NotFound
from tools.settings import Settings
from tools.shipped import data_folder, shipped


def resolve_input(ctx: Context, text: str) -> Path:
    """Return the existing file or folder that `text` names.

    `~` is the person's home, relative names start at the working folder, and `data/samples/…`
    (or a bare sample's file name) falls back to the shipped samples. Where a brain may have
    chosen the path, it must lie in the working folder, Luthier's data, the samples or a folder
    the person allowed, and not under a hidden name (`.ssh`, `.env`); symbolic links are followed
    before that is checked.

    Raises:
        NotFound: Nothing is there.
        NotAllowed: It lies outside what a chat may read.
    """
    path = locate(ctx.settings, text)
    if not ctx.trusts_arguments and not _is_allowed(ctx.settings, path):
        raise NotAllowed(
            f"{text} lies outside the folders this chat may read.",
            hint="Drop the file into the chat, or allow its folder in Settings.",
        )
    if not path.exists():
        raise NotFound(
            f"There is no file or folder {text}.",
            hint=f"Check the spelling; names start at {ctx.settings.work_dir}.",
        )
    return path


def locate(settings: Settings, text: str) -> Path:
    """Return the absolute path that `text` means, existing or not, links resolved."""
    cleaned = text.strip().strip("\"'")
    if cleaned == "~" or cleaned.startswith("~/"):
        return (settings.user_home / cleaned[2:]).resolve()
    path = Path(cleaned)
    if path.is_absolute():
        inside = any(path.is_relative_to(r) for r in _own_roots(settings))
        return (path if inside else settings.filesystem_root / cleaned.lstrip("/")).resolve()
    here = (settings.work_dir / path).resolve()
    if here.exists():
        return here
    for candidate in _sample_candidates(path):
        if candidate.exists():
            return candidate.resolve()
    return here


def _sample_candidates(path: Path) -> list[Path]:
    parts = path.parts
    if parts[:2] == ("data", "samples"):
        return [shipped("samples", *parts[2:])]
    if len(parts) == 1:
        names = [path.name] if path.suffix else []
        return [shipped("samples", name) for name in names]
    return []


def _own_roots(settings: Settings) -> list[Path]:
    return [
        settings.work_dir.resolve(),
        settings.home.resolve(),
        settings.user_home.resolve(),
        data_folder(),
    ]


def _is_allowed(settings: Settings, path: Path) -> bool:
    roots = [settings.work_dir, settings.home / "datasets", settings.home / "uploads"]
    roots += [locate(settings, str(folder)) for folder in settings.allowed_folders]
    roots.append(shipped("samples"))
    return any(_is_openly_inside(path, root.resolve()) for root in roots)


def _is_openly_inside(path: Path, root: Path) -> bool:
    """Tell whether a path lies in a folder without passing a hidden name on the way."""
    if not path.is_relative_to(root):
        return False
    return not any(part.startswith(".") for part in path.relative_to(root).parts)
