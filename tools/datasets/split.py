"""Which rows are trained on and which are held out."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from tools.datasets.manifest import SplitName


def split_rows(
    labels: Sequence[str | None], groups: Sequence[int], eval_fraction: float, seed: int
) -> list[SplitName]:
    """Assign every row to `train` or `validation`.

    Rows of one group (duplicates, near duplicates, one conversation) stay together. Every label
    keeps at least one group for training, and gives at least one to validation where it has two.

    Args:
        labels: The row's answer where the task has a fixed set, else None for all.
        groups: Number of the group each row belongs to.
        eval_fraction: Share of rows wanted in validation.
        seed: Same seed, same split.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    by_label: dict[str | None, list[list[int]]] = defaultdict(list)
    for rows in members.values():
        label = Counter(labels[row] for row in rows).most_common(1)[0][0]
        by_label[label].append(rows)
    splits: list[SplitName] = ["train"] * len(labels)
    shuffler = random.Random(seed)
    owed = 0.0
    for label in sorted(by_label, key=lambda name: (name is None, name or "")):
        stratum = by_label[label]
        shuffler.shuffle(stratum)
        total = sum(map(len, stratum))
        wanted = total * eval_fraction + owed
        held = 0
        for rows in stratum[:-1]:  # the last group always stays for training
            fits = held + len(rows) <= max(round(wanted), 1)
            if held and not fits:
                continue
            if not held and len(rows) > max(2 * wanted, total / 2, 1):
                continue
            if held >= round(wanted) and held:
                break
            for row in rows:
                splits[row] = "validation"
            held += len(rows)
        owed = wanted - held if label is not None else 0.0
        owed = max(-0.5, min(owed, 0.5))
    _spread(labels, list(members.values()), splits)
    return splits


def _spread(
    labels: Sequence[str | None], groups: Sequence[list[int]], splits: list[SplitName]
) -> None:
    """Give every label that two groups hold a place in both splits.

    A group goes by its commonest label, so that a rarer one inside it may have been passed over.
    The smallest group that holds it changes sides, unless it is the last that holds another label.
    """
    holds: dict[str, list[list[int]]] = defaultdict(list)
    for rows in sorted(groups, key=lambda rows: (len(rows), rows)):
        for label in {labels[row] for row in rows} - {None}:
            holds[label or ""].append(rows)
    wanted: tuple[SplitName, ...] = ("train", "validation")
    for label in sorted(holds):
        for split in wanted:
            if len(holds[label]) < 2 or any(splits[rows[0]] == split for rows in holds[label]):
                continue
            for rows in holds[label]:
                beside = {labels[row] or "" for row in rows} - {label}
                if all(sum(splits[g[0]] != split for g in holds[b]) > 1 for b in beside):
                    for row in rows:
                        splits[row] = split
                    break
