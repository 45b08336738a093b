"""Which rows of a source stay, and which split each goes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tools.datasets.fixes import dropped
from tools.datasets.gather import Gathered
from tools.datasets.groups import UnionFind, equal_pairs, join_equal
from tools.datasets.manifest import SplitName, Step
from tools.datasets.mapping import Mapping
from tools.datasets.nearby import join_near
from tools.datasets.split import split_rows
from tools.errors import BadInput

MIN_ROWS = 4
"""Fewer usable rows cannot be split into something to learn from and something to judge by."""


def plan_rows(
    found: Gathered,
    mapping: Mapping,
    chosen: dict[str, Any],
    name: str,
    *,
    flagged: dict[str, list[int]],
    cured: dict[str, int],
) -> tuple[dict[int, SplitName], list[Step]]:
    """Decide for every source row whether it is dropped, and which split it goes to.

    Args:
        flagged: Code → source rows that the checks of single rows found.
        cured: Fix → rows whose text it already changed.

    Returns:
        Source row number → split for the rows that stay, and the steps taken.

    Raises:
        BadInput: Too few rows are left to learn from and to judge by.
    """
    stays, steps = _cleaned(found, mapping, chosen, flagged, cured)
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


def _cleaned(
    found: Gathered,
    mapping: Mapping,
    chosen: dict[str, Any],
    flagged: dict[str, list[int]],
    cured: dict[str, int],
) -> tuple[list[int], list[Step]]:
    """Return the indices of the rows that stay, and what was done to get there."""
    steps = _before_dropping(found, cured)
    stays = list(range(len(found.numbers)))
    if chosen["dedupe"]:
        kept = _first_of_each(found, stays)
        note = "rows equal to an earlier one"
        steps.append(
            Step(name="drop_duplicates", rows_before=len(stays), rows_after=len(kept), note=note)
        )
        stays = kept
    for fix in chosen["fixes"]:
        gone = dropped(fix, found, mapping, flagged)
        if gone:
            kept = [index for index in stays if index not in gone]
            steps.append(Step(name=f"drop_{fix}", rows_before=len(stays), rows_after=len(kept)))
            stays = kept
    return stays, steps


def _before_dropping(found: Gathered, cured: dict[str, int]) -> list[Step]:
    """Return the steps of reading: rows that are no example, and rows whose text was cured."""
    usable = len(found.numbers)
    steps = []
    empty = sum(map(len, found.skipped.values()))
    if empty:
        why = ", ".join(f"{reason}: {len(rows):,}" for reason, rows in found.skipped.items())
        steps.append(
            Step(name="drop_unusable", rows_before=usable + empty, rows_after=usable, note=why)
        )
    steps += [
        Step(
            name=f"fix_{fix}",
            rows_before=usable,
            rows_after=usable,
            note=f"{count:,} row{'' if count == 1 else 's'} changed",
        )
        for fix, count in cured.items()
        if count
    ]
    return steps


def _split_note(mapping: Mapping, chosen: dict[str, Any]) -> str:
    by_label = "stratified by label, " if mapping.format == "classification" else ""
    return f"{chosen['eval_fraction']:.0%} held out, {by_label}like inputs kept together"


def too_few(name: str, rows: int, found: Gathered, mapping: Mapping) -> BadInput:
    """Return the error for a dataset that is too small to train on and judge."""
    plural = f"{'row' if max(rows, found.rows) == 1 else 'rows'} {'is' if rows == 1 else 'are'}"
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


def _first_of_each(found: Gathered, among: Sequence[int]) -> list[int]:
    seen: set[tuple[str, bytes]] = set()
    stays = []
    for index in among:
        place = (found.splits[index] or "train", found.keys[index] + _label_key(found, index))
        if place not in seen:
            seen.add(place)
            stays.append(index)
    return stays


def _label_key(found: Gathered, index: int) -> bytes:
    return (found.labels[index] or "").encode("utf-8", "replace")


def row_groups(found: Gathered, *, near: bool = True) -> list[int]:
    """Return for every usable row the group it must share a split with.

    Args:
        near: Join near duplicates and questions about one passage too, not only rows that say
            the same.
    """
    sets = UnionFind(len(found.numbers))
    join_equal(sets, found.same)
    largest = max(3, len(found.numbers) // 50)
    if near and any(found.passages):
        join_equal(sets, (p or str(i).encode() for i, p in enumerate(found.passages)))
    join_near(sets, equal_pairs(found.asked), largest)
    if near:
        join_near(sets, found.near.pairs(), largest)
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
