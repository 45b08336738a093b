"""What a `path` argument means: a file or folder, a prepared version, or a name on the Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tools.context import Context
from tools.datasets.detect import shown
from tools.datasets.hub import HubName, cached, fetch, hub_name
from tools.datasets.manifest import Manifest, read_manifest
from tools.datasets.quarantine import shorten
from tools.errors import BadInput, NotFound
from tools.paths import locate, resolve_input

_PART = re.compile(r"[A-Za-z]\w*(?:\[[^\]]*\])?")
_VERSION = re.compile(r"^[A-Za-z0-9_-]{1,60}@[0-9a-f]{4,64}$")


@dataclass(frozen=True)
class Located:
    """Where a dataset lies.

    Attributes:
        named: What the person wrote.
        manifest: Set where it is a prepared version; `path` is then its folder.
    """

    named: str
    path: Path
    manifest: Manifest | None = None

    @property
    def name(self) -> str:
        """A short name for sentences."""
        return self.manifest.id if self.manifest else shown(self.path)


def find_source(ctx: Context, text: str, *, trusted: bool = False) -> Located:
    """Find what `text` names; a Hub name is fetched if it is not here yet.

    Args:
        trusted: The path stems from a manifest, not from a conversation.

    Raises:
        NotFound: Nothing is there.
        NotAllowed: It lies where a chat may not read, or beyond the machine without consent.
    """
    named = text.strip().strip("\"'")
    version = find_version(ctx, named)
    if version:
        return Located(named, ctx.settings.dataset_folder(version.id), version)
    name = wanted_from_hub(ctx, named)
    if name:
        return Located(named, cached(ctx.settings, name) or fetch(ctx, name))
    _refuse_slice(ctx, named)
    try:
        path = Path(named) if trusted else resolve_input(ctx, named)
    except OSError as error:
        raise NotFound(
            f"{shorten(named, 80)!r} cannot be a file name.", hint="Check the spelling."
        ) from error
    if not path.exists():
        raise NotFound(f"The source {shown(path)} is gone.", hint="Put it back, or name another.")
    if (path / "manifest.json").is_file() and (path / "train.parquet").is_file():
        return Located(named, path, read_manifest(path))
    return Located(named, path)


def _refuse_slice(ctx: Context, named: str) -> None:
    """`rows.csv:train[:400]` is how a part of a Hub dataset is named, not of a file."""
    file, _, part = named.partition(":")
    if _PART.fullmatch(part) and locate(ctx.settings, file).exists():
        raise BadInput(
            f"{part} names a part of a dataset on the Hub; {shown(Path(file))} is read whole.",
            hint="Leave the part out; `--max-steps` makes a short run of a large file.",
        )


def find_version(ctx: Context, text: str) -> Manifest | None:
    """Return the prepared version with this id, or whose id begins so, if there is one."""
    if not _VERSION.match(text) or locate(ctx.settings, text).exists():
        return None
    folder = ctx.settings.dataset_folder(text)
    if (folder / "manifest.json").is_file():
        return read_manifest(folder)
    near = sorted(folder.parent.glob(f"{text}*")) if folder.parent.is_dir() else []
    if len(near) == 1 and (near[0] / "manifest.json").is_file():
        return read_manifest(near[0])
    raise NotFound(
        f"There is no prepared dataset {text}.",
        hint="List the prepared ones, or prepare the source file again.",
    )


def wanted_from_hub(ctx: Context, text: str) -> HubName | None:
    """Return the Hub name that `text` is, unless it names something on this machine."""
    name = hub_name(text)
    if name is None:
        return None
    explicit = text.startswith(("hf://", "https://"))
    here = not explicit and locate(ctx.settings, text.split(":")[0]).exists()
    owner_here = not explicit and locate(ctx.settings, name.repo.split("/")[0]).is_dir()
    return None if here or owner_here else name
