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
    if final.exists():
        # Written again by a run that was resumed at this very step.
        (final / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(final)
    return checkpoint.rename(final)


def drop_half(job_folder: Path) -> None:
    """Delete what was being written when a worker ended."""
    shutil.rmtree(job_folder / "checkpoints" / HALF, ignore_errors=True)


def read_checkpoint(checkpoint: Path, *, thorough: bool = True) -> CheckpointManifest | None:
    """Return the manifest of a checkpoint that can be trusted, else None.

    Args:
        thorough: Also compare every file's digest; otherwise only its size.
    """
    try:
        manifest = CheckpointManifest.model_validate_json((checkpoint / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None
    for name, expected in manifest.files.items():
        path = checkpoint / name
        if not path.is_file() or path.stat().st_size != expected.size_bytes:
            return None
        if thorough and _sha256(path) != expected.sha256:
            return None
    return manifest


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
    for folder in checkpoint_folders(job_folder):
        manifest = read_checkpoint(folder, thorough=thorough)
        if manifest and manifest.plan_hash == plan_hash:
            return folder, manifest
    return None


def keep_only(job_folder: Path, kept: set[Path]) -> None:
    """Delete every checkpoint that is not in `kept`."""
    for folder in checkpoint_folders(job_folder):
        if folder not in kept:
            # The manifest first: a half-deleted folder must not look like a checkpoint.
            (folder / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
