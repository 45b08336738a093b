"""The rows of a version: read from the source in canonical form, and written as Parquet."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tools.datasets.augment import Augmenter
from tools.datasets.choose import choose
from tools.datasets.example import Example
from tools.datasets.fixes import TextFixes
from tools.datasets.gather import examples
from tools.datasets.manifest import Manifest, SplitName, Step
from tools.datasets.mapping import Mapping
from tools.datasets.opening import open_source
from tools.datasets.quarantine import name_list
from tools.datasets.source import Source
from tools.errors import BadInput, Unavailable


def mapping_of(manifest: Manifest) -> Mapping:
    """Return the mapping that a version was made with."""
    return Mapping.model_validate({"confidence": 1.0, **manifest.options["mapping"]})


def _examples(
    source: Source, manifest: Manifest
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any], Example]]:
    """Yield `(row number, raw row, canonical row, example)` of usable rows, cured as chosen."""
    mapping = mapping_of(manifest)
    cures = TextFixes(manifest.options.get("fixes", ()), mapping)
    better = manifest.options.get("label_spelling") or {}
    for number, _, row, example in examples(source, mapping, cures.apply):
        if not isinstance(example, Example):
            continue
        if example.label in better:
            label = better[example.label]
            example = replace(
                example, label=label, completion=[{"role": "assistant", "content": label}]
            )
        yield number, row, example.record(), example


def write_version(
    folder: Path,
    manifest: Manifest,
    source: Source,
    plan: dict[int, SplitName],
    augmenter: Augmenter | None = None,
) -> Manifest:
    """Write all splits and the manifest beside their place, then move them there at once.

    Returns:
        The manifest as written, with the rows that augmentation added.

    Raises:
        Unavailable: The disk is full or the folder cannot be written. Nothing is left behind.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True, exist_ok=False)
        _write_splits(temporary, manifest, source, plan, augmenter)
        if augmenter:
            manifest = _augmented(manifest, augmenter)
        text = manifest.model_dump_json(indent=2) + "\n"
        (temporary / "manifest.json").write_text(text, encoding="utf-8")
        try:
            temporary.rename(folder)
        except OSError:
            if not (folder / "manifest.json").is_file():  # else somebody wrote the same one
                raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise Unavailable(
            f"Cannot write the dataset: {'the disk is full' if full else error.strerror}.",
            hint="Free some disk space, or point LUTHIER_HOME at another disk."
            if full
            else f"Check that {folder.parent} can be written.",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _write_splits(
    folder: Path,
    manifest: Manifest,
    source: Source,
    plan: dict[int, SplitName],
    augmenter: Augmenter | None,
) -> None:
    from tools.datasets.parquet import SplitWriter  # noqa: PLC0415 - brings pyarrow

    own = {"synthetic": False} if augmenter else {}
    with SplitWriter(folder, manifest) as writer:
        for number, _, record, example in _examples(source, manifest):
            split = plan.get(number)
            if not split:
                continue
            writer.add(split, {"row": number, **record, **own})
            if augmenter and split == "train":
                for copy in augmenter.copies(number, example):
                    writer.add(split, {"row": number, **copy})


def _augmented(manifest: Manifest, augmenter: Augmenter) -> Manifest:
    added = sum(augmenter.made.values())
    before = sum(manifest.splits.values())
    told = ", ".join(f"{method}: {count:,} rows" for method, count in augmenter.made.items())
    step = Step(
        name="augment",
        rows_before=before,
        rows_after=before + added,
        note=f"{told or 'no row could be changed'}; labelled synthetic, in the training split only",
    )
    return manifest.model_copy(
        update={
            "splits": {**manifest.splits, "train": manifest.splits["train"] + added},
            "synthetic": added,
            "steps": (*manifest.steps, step),
        }
    )


def map_file(
    path: Path, manifest: Manifest, *, columns: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yield the rows of another file in the manifest's canonical form.

    Args:
        columns: Columns of that file to hand through beside the canonical ones.

    Raises:
        BadInput: The file lacks a column that the mapping or the caller needs.
    """
    source = open_source(path)
    mapping = mapping_of(manifest)
    present = set(choose(source).columns)
    unneeded = ("ignored", "id", "context", "system", "history", "tools")
    needed = [n for n, role in mapping.columns.items() if role not in unneeded]
    optional = {n for n in mapping.having("input") if mapping.format == "alpaca"}
    missing = [n for n in needed if n not in present and n not in optional]
    if missing:
        raise BadInput(
            f"{path.name} has no column {name_list(missing)}, which {manifest.id} was made from.",
            hint=f"Its columns are: {name_list(sorted(present), 12)}. Rename them to match.",
        )
    absent = [name for name in columns if name not in present]
    if absent:
        raise BadInput(
            f"{path.name} has no column {name_list(absent)}.",
            hint=f"Its columns are: {name_list(sorted(present), 12)}.",
        )
    for number, row, record, _ in _examples(source, manifest):
        yield {"row": number, **record, **{name: row.get(name) for name in columns}}
