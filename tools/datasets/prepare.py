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
from tools.datasets.choose import choose, trainable
from tools.datasets.example import Example
from tools.datasets.gather import Gathered, examples, gather
from tools.datasets.groups import UnionFind, join_equal
from tools.datasets.locate import Located, find_source
from tools.datasets.manifest import Manifest, SplitName, Step, read_manifest
from tools.datasets.mapping import Mapping
from tools.datasets.nearby import join_near
from tools.datasets.quarantine import name_list
from tools.datasets.source import Source, open_source
from tools.datasets.split import split_rows
from tools.errors import BadInput, Unavailable
from tools.history.spec import digest

RECIPE = 1
"""Raised whenever the same source and options would give other rows."""
MIN_ROWS = 4
_DEFAULTS: dict[str, Any] = {"eval_fraction": 0.15, "dedupe": True, "seed": 17}


class PrepareOptions(BaseModel):
    """Choices of `prepare_dataset`; None means the default, or what a version already has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    eval_fraction: float | None = Field(default=None, gt=0, lt=1)
    dedupe: bool | None = None
    input_column: str | None = None
    output_column: str | None = None
    template: str | None = None
    seed: int | None = None

    def wished(self) -> dict[str, Any]:
        """Return the choices that were made."""
        return self.model_dump(exclude_none=True)


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
    source = open_source(located.path)
    columns = {name: chosen.get(name) for name in ("template", "input_column", "output_column")}
    reading = choose(source, **columns)
    mapping = trainable(reading, located.name)
    sha256 = source.sha256()
    options = {**chosen, "mapping": mapping.model_dump(mode="json", exclude={"confidence"})}
    fingerprint = digest({"recipe": RECIPE, "source": sha256, "options": options})
    version = f"{_slug(located.path)}@{fingerprint[:8]}"
    folder = ctx.settings.dataset_folder(version)
    if (folder / "manifest.json").is_file():
        return _recorded(ctx, read_manifest(folder))
    found = gather(source, mapping)
    plan, steps = plan_rows(found, mapping, chosen, located.name)
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
    write_version(folder, manifest, source, mapping, plan)
    return _recorded(ctx, manifest)


def _recorded(ctx: Context, manifest: Manifest) -> Manifest:
    ctx.store.save_dataset(
        manifest.id,
        fingerprint=manifest.fingerprint,
        source=manifest.source,
        manifest=manifest.model_dump(mode="json"),
    )
    return manifest


def _slug(path: Path) -> str:
    stem = path.name.split(".")[0] if path.is_file() else path.name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:40] or "data"


def plan_rows(
    found: Gathered, mapping: Mapping, chosen: dict[str, Any], name: str
) -> tuple[dict[int, SplitName], list[Step]]:
    """Decide for every source row whether it is dropped, and which split it goes to.

    Returns:
        Source row number → split for the rows that stay, and the steps taken.

    Raises:
        BadInput: Too few rows are left to learn from and to judge by.
    """
    usable = len(found.numbers)
    steps = []
    empty = sum(map(len, found.skipped.values()))
    if empty:
        why = ", ".join(f"{reason}: {len(rows):,}" for reason, rows in found.skipped.items())
        steps.append(
            Step(name="drop_unusable", rows_before=usable + empty, rows_after=usable, note=why)
        )
    stays = list(range(usable))
    if chosen["dedupe"]:
        stays = _first_of_each(found)
        steps.append(
            Step(name="drop_duplicates", rows_before=usable, rows_after=len(stays),
                 note="rows equal to an earlier one")
        )  # fmt: skip
    if len(stays) < MIN_ROWS:
        raise too_few(name, len(stays), found, mapping)
    given = {found.splits[index] for index in stays}
    if given & {"validation", "test"}:
        plan = _given_splits(found, stays, row_groups(found, near=False), chosen)
    else:
        plan = _own_split(found, stays, row_groups(found), chosen)
    note = "as the source has it" if "validation" in given else _split_note(mapping, chosen)
    steps.append(Step(name="split", rows_before=len(stays), rows_after=len(plan), note=note))
    held = sum(split == "validation" for split in plan.values())
    if not held or held == len(plan):
        raise too_few(name, len(stays), found, mapping)
    return plan, steps


def _split_note(mapping: Mapping, chosen: dict[str, Any]) -> str:
    by_label = "stratified by label, " if mapping.format == "classification" else ""
    return f"{chosen['eval_fraction']:.0%} held out, {by_label}like inputs kept together"


def too_few(name: str, rows: int, found: Gathered, mapping: Mapping) -> BadInput:
    """Return the error for a dataset that is too small to train on and judge."""
    plural = "row is" if rows == 1 else "rows are"
    detail = f" of {found.rows}" if found.rows != rows else ""
    labels = len(found.label_counts())
    if mapping.format == "classification" and labels > rows / 2:
        hint = f"Bring at least two rows for each of the {labels} labels, better fifty."
    else:
        hint = "Bring at least 50 rows; some hundreds are better."
    reasons = {reason: len(rows_) for reason, rows_ in found.skipped.items()}
    if reasons and rows < found.rows / 2:
        worst = max(reasons, key=lambda reason: reasons[reason])
        hint = f"Most rows were left out ({worst}). " + hint
    return BadInput(f"{name}: {rows}{detail} {plural} usable, too few to train on.", hint=hint)


def _first_of_each(found: Gathered) -> list[int]:
    seen: set[tuple[str, bytes]] = set()
    stays = []
    for index, key in enumerate(found.keys):
        place = (found.splits[index] or "train", key)
        if place not in seen:
            seen.add(place)
            stays.append(index)
    return stays


def row_groups(found: Gathered, *, near: bool = True) -> list[int]:
    """Return for every usable row the group it must share a split with.

    Args:
        near: Join near duplicates and questions about one passage too, not only rows that say
            the same.
    """
    sets = UnionFind(len(found.numbers))
    join_equal(sets, found.asked)
    if near and any(found.passages):
        join_equal(sets, (p or str(i).encode() for i, p in enumerate(found.passages)))
    if near:
        join_near(sets, found.near.pairs(), largest=max(10, len(found.numbers) // 50))
    return sets.groups()


def _own_split(
    found: Gathered, stays: Sequence[int], groups: Sequence[int], chosen: dict[str, Any]
) -> dict[int, SplitName]:
    splits = split_rows(
        [found.labels[i] for i in stays],
        [groups[i] for i in stays],
        chosen["eval_fraction"],
        chosen["seed"],
    )
    return {found.numbers[i]: split for i, split in zip(stays, splits, strict=True)}


def _given_splits(
    found: Gathered, stays: Sequence[int], groups: Sequence[int], chosen: dict[str, Any]
) -> dict[int, SplitName]:
    """Keep the source's own splits; training rows that also stand in a judged split go."""
    has_validation = any(found.splits[i] == "validation" for i in stays)
    judged = {groups[i] for i in stays if found.splits[i] in ("validation", "test")}
    plan: dict[int, SplitName] = {}
    training = []
    for i in stays:
        if found.splits[i] == "validation":
            plan[found.numbers[i]] = "validation"
        elif found.splits[i] == "test":
            plan[found.numbers[i]] = "test"
        elif groups[i] not in judged:
            training.append(i)
    if has_validation:
        plan.update({found.numbers[i]: "train" for i in training})
    else:
        plan.update(_own_split(found, training, groups, chosen))
    return plan


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
    mapping: Mapping,
    plan: dict[int, SplitName],
) -> None:
    """Write all splits and the manifest beside their place, then move them there at once.

    Raises:
        Unavailable: The disk is full or the folder cannot be written. Nothing is left behind.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True, exist_ok=False)
        _write_splits(temporary, manifest, source, mapping, plan)
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
    folder: Path, manifest: Manifest, source: Source, mapping: Mapping, plan: dict[int, SplitName]
) -> None:
    from tools.datasets.parquet import SplitWriter  # noqa: PLC0415 - brings pyarrow

    with SplitWriter(folder, manifest) as writer:
        for number, _, _, example in examples(source, mapping):
            split = plan.get(number)
            if split and isinstance(example, Example):
                writer.add(split, {"row": number, **example.record()})


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
    mapping = Mapping.model_validate({"confidence": 1.0, **manifest.options["mapping"]})
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
    for number, _, row, example in examples(source, mapping):
        if isinstance(example, Example):
            yield {"row": number, **example.record(), **{name: row.get(name) for name in columns}}
