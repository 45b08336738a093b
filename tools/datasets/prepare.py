"""From a source to a clean, split, versioned dataset that trains what it should."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tools.context import Context
from tools.datasets.arrange import plan_rows
from tools.datasets.augment import AUGMENTATIONS, Augmentation, Augmenter
from tools.datasets.checks import RowChecks
from tools.datasets.choose import choose, trainable
from tools.datasets.cures import Fix, all_fixes
from tools.datasets.fixes import DROPPED_WHERE_SEEN, TextFixes, spelling
from tools.datasets.gather import Gathered, gather
from tools.datasets.locate import Located, find_source
from tools.datasets.manifest import Manifest, SplitName, read_manifest
from tools.datasets.mapping import Mapping
from tools.datasets.opening import open_source
from tools.datasets.records import map_file, mapping_of, write_version
from tools.errors import BadInput
from tools.history.spec import digest

__all__ = ["PrepareOptions", "map_file", "mapping_of", "prepare"]

RECIPE = 2
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
    augment: tuple[Augmentation, ...] | None = None

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
    parent = located.manifest
    if parent:
        wished = _on_top(parent, wished)
        if all(parent.options.get(name) == value for name, value in wished.items()):
            return _recorded(ctx, parent)
        wished = {k: v for k, v in parent.options.items() if k in PrepareOptions.model_fields} | (
            wished
        )
        located = find_source(ctx, parent.source_path, trusted=True)
    else:
        wished = _on_top(None, wished)
    chosen = _DEFAULTS | {name: value for name, value in wished.items() if value is not None}
    return _prepare(ctx, located, chosen, parent)


def _on_top(parent: Manifest | None, wished: dict[str, Any]) -> dict[str, Any]:
    """Return the wishes with fixes in their own order, beside those that a version has had."""
    wished = dict(wished)
    if "fixes" in wished:
        if "exact_duplicates" in wished["fixes"]:
            wished["dedupe"] = True
        had = parent.options.get("fixes", ()) if parent else ()
        wished["fixes"] = all_fixes([*had, *wished["fixes"]])
    if "augment" in wished:
        wished["augment"] = [name for name in AUGMENTATIONS if name in wished["augment"]]
    return wished


def _prepare(
    ctx: Context, located: Located, chosen: dict[str, Any], parent: Manifest | None
) -> Manifest:
    source = open_source(located.path, follow_links=ctx.trusts_arguments)
    columns = {name: chosen.get(name) for name in ("template", "input_column", "output_column")}
    reading = choose(source, **columns)
    mapping = trainable(reading, located.name)
    methods = chosen.pop("augment", None) or []
    if methods:
        _check_augmentation(mapping)
        chosen["augment"] = methods
    sha256 = source.sha256()
    if parent and parent.source_sha256 != sha256:
        raise BadInput(
            f"The source of {parent.id} has changed since it was prepared.",
            hint=f"Prepare the source again by its own name, {located.name}.",
        )
    chosen["fixes"] = all_fixes(chosen["fixes"])
    options = {**chosen, "mapping": mapping.model_dump(mode="json", exclude={"confidence"})}
    fingerprint = digest({"recipe": RECIPE, "source": sha256, "options": options})
    version = f"{_slug(located.path)}@{fingerprint[:8]}"
    folder = ctx.settings.dataset_folder(version)
    came_from = parent.id if parent and parent.id != version else None
    if (folder / "manifest.json").is_file():
        there = read_manifest(folder)
        return _recorded(ctx, there.model_copy(update={"parent": came_from or there.parent}))
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
        source=parent.source if parent else located.named,
        source_path=str(located.path),
        source_sha256=sha256,
        format=mapping.format,
        task=mapping.task,
        objective=mapping.objective or "text",
        columns=dict(mapping.columns),
        template=mapping.template,
        parent=came_from,
        labels=_labels(found, plan, mapping),
        splits=_sizes(plan),
        characters_p95=_percentile(found.lengths, 0.95),
        steps=tuple(steps),
        options=options,
        created_at=ctx.clock(),
    )
    augmenter = _augmenter(found, plan, chosen) if methods else None
    return _recorded(ctx, write_version(folder, manifest, source, plan, augmenter))


def _check_augmentation(mapping: Mapping) -> None:
    if mapping.objective != "prompt_completion":
        raise BadInput(
            f"Rows of the format {mapping.format.replace('_', ' ')} cannot be augmented.",
            hint="Leave `augment` out; it changes the question of rows with one question and one "
            "answer, such as texts with labels.",
        )


def _augmenter(found: Gathered, plan: dict[int, SplitName], chosen: dict[str, Any]) -> Augmenter:
    judged = {
        key
        for number, key in zip(found.numbers, found.same, strict=True)
        if plan.get(number) in ("validation", "test")
    }
    return Augmenter(chosen["augment"], chosen["seed"], judged)


def _recorded(ctx: Context, manifest: Manifest) -> Manifest:
    ctx.store.save_dataset(
        manifest.id,
        fingerprint=manifest.fingerprint,
        source=manifest.source,
        manifest=manifest.model_dump(mode="json"),
    )
    return manifest


def _needs_checks(fixes: Sequence[str]) -> bool:
    return bool(DROPPED_WHERE_SEEN & set(fixes))


def _respell(found: Gathered, fixes: Sequence[str]) -> tuple[dict[str, str], int]:
    """Write labels their commonest way; return what became what, and the rows touched."""
    if "label_variants" not in fixes:
        return {}, 0
    better = spelling(found.label_counts())
    touched = sum(label in better for label in found.labels)
    found.labels[:] = [better.get(label or "", label) for label in found.labels]
    return better, touched


def _slug(path: Path) -> str:
    stem = path.name.split(".")[0] if path.is_file() else path.name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:40] or "data"


def _labels(found: Gathered, plan: dict[int, SplitName], mapping: Mapping) -> tuple[str, ...]:
    """Return the labels (or tags) of the rows that stay, commonest first."""
    counts = Counter(
        label
        for number, label in zip(found.numbers, found.labels, strict=True)
        if label is not None and number in plan
    )
    if mapping.objective == "token_classification":
        counts = found.tags
    return tuple(sorted(counts, key=lambda label: (-counts[label], label)))


def _sizes(plan: dict[int, SplitName]) -> dict[SplitName, int]:
    counts = Counter(plan.values())
    order: tuple[SplitName, ...] = ("train", "validation", "test")
    return {split: counts[split] for split in order if counts[split]}


def _percentile(values: Sequence[int], share: float) -> int:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0
