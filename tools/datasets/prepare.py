"""From a source to a clean, split, versioned dataset that trains what it should."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tools.context import Context
from tools.datasets.arrange import plan_rows
from tools.datasets.checks import RowChecks
from tools.datasets.choose import choose, trainable
from tools.datasets.example import Example
from tools.datasets.cures import Fix, all_fixes
from tools.datasets.fixes import TextFixes, spelling
from tools.datasets.gather import Gathered, examples, gather
from tools.datasets.locate import Located, find_source
from tools.datasets.manifest import Manifest, SplitName, read_manifest
from tools.datasets.mapping import Mapping
from tools.datasets.quarantine import name_list
from tools.datasets.source import Source, open_source
from tools.errors import BadInput, Unavailable
from tools.history.spec import digest

RECIPE = 1
"""Raised whenever the same source and options would give other rows."""
_DEFAULTS: dict[str, Any] = {"eval_fraction": 0.15, "dedupe": True, "seed": 17, "fixes": []}


class PrepareOptions(BaseModel):
    """Choices of `prepare_dataset`; None means the default, or what a version already has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    eval_fraction: float | None = Field(default=None, gt=0, lt=1)
    dedupe: bool | None = None
    input_column: str | None = None
    output_column: str | None = None
    template: str | None = None
    seed: int | None = None
    fixes: tuple[Fix, ...] | None = None

    def wished(self) -> dict[str, Any]:
        """Return the choices that were made."""
        return self.model_dump(mode="json", exclude_none=True)


def prepare(ctx: Context, path: str, options: PrepareOptions | None = None) -> Manifest:
    """Map, clean, deduplicate and split a source; write it as a version.

    The same source and options give the same version, which is then not written again. The
    source is never touched.

    Args:
        path: A file, folder, Hub name, or a prepared version (its id or folder).

    Raises:
        ToolError: The source is missing or unusable, or there is no space to write.
    """
    wished = (options or PrepareOptions()).wished()
    located = find_source(ctx, path)
    if located.manifest:
        own = located.manifest.options
        if all(own.get(name) == value for name, value in wished.items()):
            return _recorded(ctx, located.manifest)
        wished = {k: v for k, v in own.items() if k in PrepareOptions.model_fields} | wished
        located = find_source(ctx, located.manifest.source_path, trusted=True)
    chosen = _DEFAULTS | {name: value for name, value in wished.items() if value is not None}
    return _prepare(ctx, located, chosen)


def _prepare(ctx: Context, located: Located, chosen: dict[str, Any]) -> Manifest:
    source = open_source(located.path, follow_links=ctx.trusts_arguments)
    columns = {name: chosen.get(name) for name in ("template", "input_column", "output_column")}
    reading = choose(source, **columns)
    mapping = trainable(reading, located.name)
    sha256 = source.sha256()
    chosen["fixes"] = all_fixes(chosen["fixes"])
    options = {**chosen, "mapping": mapping.model_dump(mode="json", exclude={"confidence"})}
    fingerprint = digest({"recipe": RECIPE, "source": sha256, "options": options})
    version = f"{_slug(located.path)}@{fingerprint[:8]}"
    folder = ctx.settings.dataset_folder(version)
    if (folder / "manifest.json").is_file():
        return _recorded(ctx, read_manifest(folder))
    cures = TextFixes(chosen["fixes"], mapping)
    checks = RowChecks(mapping, reading.columns) if _needs_checks(chosen["fixes"]) else None
    found = gather(source, mapping, checks=checks, cure=cures.apply)
    respelled = _respell(found, chosen["fixes"])
    cured = {**cures.touched, **({"label_variants": respelled[1]} if respelled[0] else {})}
    plan, steps = plan_rows(
        found, mapping, chosen, located.name, flagged=checks.rows if checks else {}, cured=cured
    )
    options["label_spelling"] = respelled[0]
    manifest = Manifest(
        id=version,
        fingerprint=fingerprint,
        source=located.named,
        source_path=str(located.path),
        source_sha256=sha256,
        format=mapping.format,
        task=mapping.task,
        objective=mapping.objective or "text",
        columns=dict(mapping.columns),
        template=mapping.template,
        labels=_labels(found, plan),
        splits=_sizes(plan),
        characters_p95=_percentile(found.lengths, 0.95),
        steps=tuple(steps),
        options=options,
        created_at=ctx.clock(),
    )
    write_version(folder, manifest, source, plan)
    return _recorded(ctx, manifest)


def _recorded(ctx: Context, manifest: Manifest) -> Manifest:
    ctx.store.save_dataset(
        manifest.id,
        fingerprint=manifest.fingerprint,
        source=manifest.source,
        manifest=manifest.model_dump(mode="json"),
    )
    return manifest


def _needs_checks(fixes: Sequence[str]) -> bool:
    return bool({"secrets", "instruction_text", "identical_pairs"} & set(fixes))


def _respell(found: Gathered, fixes: Sequence[str]) -> tuple[dict[str, str], int]:
    """Write labels their commonest way; return what became what, and the rows touched."""
    if "label_variants" not in fixes:
        return {}, 0
    better = spelling(found.label_counts())
    touched = sum(label in better for label in found.labels)
    found.labels[:] = [better.get(label or "", label) for label in found.labels]
    return better, touched


def mapping_of(manifest: Manifest) -> Mapping:
    """Return the mapping that a version was made with."""
    return Mapping.model_validate({"confidence": 1.0, **manifest.options["mapping"]})


def _records(
    source: Source, manifest: Manifest
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Yield `(row number, raw row, canonical row)` for every usable row, cured as chosen."""
    mapping = mapping_of(manifest)
    cures = TextFixes(manifest.options.get("fixes", ()), mapping)
    better = manifest.options.get("label_spelling") or {}
    for number, _, row, example in examples(source, mapping, cures.apply):
        if not isinstance(example, Example):
            continue
        record = example.record()
        if record.get("label") in better:
            label = better[record["label"]]
            record |= {"label": label, "completion": [{"role": "assistant", "content": label}]}
        yield number, row, record


def _slug(path: Path) -> str:
    stem = path.name.split(".")[0] if path.is_file() else path.name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:40] or "data"


def _labels(found: Gathered, plan: dict[int, SplitName]) -> tuple[str, ...]:
    counts = Counter(
        label
        for number, label in zip(found.numbers, found.labels, strict=True)
        if label is not None and number in plan
    )
    return tuple(sorted(counts, key=lambda label: (-counts[label], label)))


def _sizes(plan: dict[int, SplitName]) -> dict[SplitName, int]:
    counts = Counter(plan.values())
    order: tuple[SplitName, ...] = ("train", "validation", "test")
    return {split: counts[split] for split in order if counts[split]}


def _percentile(values: Sequence[int], share: float) -> int:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0


def write_version(
    folder: Path,
    manifest: Manifest,
    source: Source,
    plan: dict[int, SplitName],
) -> None:
    """Write all splits and the manifest beside their place, then move them there at once.

    Raises:
        Unavailable: The disk is full or the folder cannot be written. Nothing is left behind.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True, exist_ok=False)
        _write_splits(temporary, manifest, source, plan)
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


def _write_splits(
    folder: Path, manifest: Manifest, source: Source, plan: dict[int, SplitName]
) -> None:
    from tools.datasets.parquet import SplitWriter  # noqa: PLC0415 - brings pyarrow

    with SplitWriter(folder, manifest) as writer:
        for number, _, record in _records(source, manifest):
            split = plan.get(number)
            if split:
                writer.add(split, {"row": number, **record})


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
    for number, row, record in _records(source, manifest):
        yield {"row": number, **record, **{name: row.get(name) for name in columns}}
