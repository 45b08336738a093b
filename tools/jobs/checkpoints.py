"""Checkpoints and whether they can be trusted: a manifest of digests, written last.

    jobs/<id>/checkpoints/checkpoint-40/…files…  manifest.json
    jobs/<id>/checkpoints/half/checkpoint-60/    being written; moved up once it is whole

A folder without a manifest, or one whose files differ from it, is not a checkpoint.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools.jobs.ending import write_durably

MANIFEST = "manifest.json"
HALF = "half"
_NAME = re.compile(r"checkpoint-(\d+)")


class FileDigest(BaseModel):
    """Size in bytes and SHA-256 of one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_bytes: int
    sha256: str


class CheckpointManifest(BaseModel):
    """Contents of a checkpoint's `manifest.json`.

    Attributes:
        plan_hash: Hash of the spec the checkpoint belongs to.
        memory: What the run must know to go on, such as seconds trained and the best loss.
        files: Path relative to the checkpoint → size and digest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    step: int
    plan_hash: str
    eval_loss: float | None = None
    memory: dict[str, float] = Field(default_factory=dict)
    files: dict[str, FileDigest]


def seal(
    checkpoint: Path,
    *,
    step: int,
    plan_hash: str,
    eval_loss: float | None = None,
    memory: dict[str, float] | None = None,
) -> None:
    """Write the manifest that makes a folder a checkpoint."""
    files = {
        path.relative_to(checkpoint).as_posix(): FileDigest(
            size_bytes=path.stat().st_size, sha256=_sha256(path)
        )
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest = CheckpointManifest(
        step=step, plan_hash=plan_hash, eval_loss=eval_loss, memory=memory or {}, files=files
    )
    write_durably(checkpoint / MANIFEST, manifest.model_dump_json(indent=1).encode())


def move_up(checkpoint: Path) -> Path:
    """Move a sealed folder from where it was written to where checkpoints lie; return its place."""
    final = checkpoint.parent.parent / checkpoint.name
    replaced = checkpoint.with_name(f"replaced-{checkpoint.name}")
    if final.exists():
        # Written again by a run that was resumed at this very step. Renamed, not deleted here: a
        # worker killed in between would leave neither.
        shutil.rmtree(replaced, ignore_errors=True)
        final.rename(replaced)
    checkpoint.rename(final)
    shutil.rmtree(replaced, ignore_errors=True)
    return final


def drop_half(job_folder: Path) -> None:
    """Delete what was being written when a worker ended."""
    shutil.rmtree(job_folder / "checkpoints" / HALF, ignore_errors=True)


def read_checkpoint(checkpoint: Path, *, thorough: bool = True) -> CheckpointManifest | None:
    """Return the manifest of a checkpoint that can be trusted, else None.

    Args:
        thorough: Also compare every file's digest; otherwise only its size.
    """
    found = _look_at(checkpoint, thorough=thorough)
    return found if isinstance(found, CheckpointManifest) else None


def checkpoint_folders(job_folder: Path) -> list[Path]:
    """Return the folders named like checkpoints, latest step first, trusted or not."""
    found = [
        (int(match[1]), path)
        for path in (job_folder / "checkpoints").glob("checkpoint-*")
        if (match := _NAME.fullmatch(path.name)) and path.is_dir()
    ]
    return [path for _, path in sorted(found, reverse=True)]


def latest_checkpoint(
    job_folder: Path, *, plan_hash: str, thorough: bool = True
) -> tuple[Path, CheckpointManifest] | None:
    """Return the latest checkpoint of this plan that can be trusted."""
    return search_checkpoints(job_folder, plan_hash=plan_hash, thorough=thorough)[0]


def search_checkpoints(
    job_folder: Path, *, plan_hash: str, thorough: bool = True
) -> tuple[tuple[Path, CheckpointManifest] | None, str]:
    """Return the latest checkpoint that can be trusted, and which later ones were passed over.

    Returns:
        The checkpoint, and a sentence that names the others with their flaws; empty where there
        is none.
    """
    passed_over: list[str] = []
    chosen = None
    for folder in checkpoint_folders(job_folder):
        found = _look_at(folder, thorough=thorough)
        if isinstance(found, CheckpointManifest) and found.plan_hash == plan_hash:
            chosen = folder, found
            break
        flaw = found if isinstance(found, str) else "it belongs to another plan"
        passed_over.append(f"{folder.name} cannot be trusted: {flaw}.")
    return chosen, " ".join(passed_over)


def drop_old(job_folder: Path, *, newest: Path, best: Path) -> None:
    """Delete all checkpoints but the newest, the best, and the one before where these are one.

    Never is one left alone: should the newest turn out damaged, there is one to go on from.
    """
    folders = checkpoint_folders(job_folder)
    kept = {newest, best}
    if len(kept) == 1:
        kept |= set([folder for folder in folders if folder != newest][:1])
    for folder in folders:
        if folder not in kept:
            # The manifest first: a half-deleted folder must not look like a checkpoint.
            (folder / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)


def _look_at(checkpoint: Path, *, thorough: bool) -> CheckpointManifest | str:
    """Return the manifest of a checkpoint that can be trusted, or what is wrong with it."""
    try:
        manifest = CheckpointManifest.model_validate_json((checkpoint / MANIFEST).read_bytes())
    except OSError:
        return "it has no manifest, so it was not written to its end"
    except ValidationError:
        return "its manifest cannot be read"
    for name, expected in manifest.files.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != expected.size_bytes:
            return f"{name} has another size than its manifest says"
        if thorough and _sha256(path) != expected.sha256:
            return f"{name} has another content than its manifest says"
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
