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
    return splits
