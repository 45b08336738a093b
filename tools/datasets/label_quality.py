"""Problems of labels: contradictions, imbalance, several spellings of one."""

from __future__ import annotations

from collections import defaultdict

from tools.datasets.fixes import spelling
from tools.datasets.gather import Gathered
from tools.datasets.problems import Problem, counted, problem

ROWS_PER_LABEL = 8
IMBALANCE = 10.0
"""Commonest label against rarest, beyond which accuracy hides the rare ones."""


def label_problems(found: Gathered) -> list[Problem]:
    """Return what is wrong with the labels of the gathered rows."""
    return [*_contradictions(found), *_balance(found), *_variants(found)]


def one_sided(found: Gathered) -> list[Problem]:
    """Return the problem of verdicts that are all, or nearly all, the same."""
    counts = found.label_counts()
    if not counts or (len(counts) > 1 and max(counts.values()) < IMBALANCE * min(counts.values())):
        return []
    none = len(counts) < 2
    return [
        problem(
            "class_imbalance",
            "error" if none else "warning",
            f"{'All' if none else 'Nearly all'} answers have the same verdict, so there is "
            f"{'nothing' if none else 'little'} to tell good from bad by.",
            "Bring answers that were judged the other way as well.",
            count=1,
        )
    ]


def _contradictions(found: Gathered) -> list[Problem]:
    labels: dict[bytes, set[str]] = defaultdict(set)
    for key, label in zip(found.same, found.labels, strict=True):
        labels[key].add(label or "")
    rows = [
        number
        for number, key in zip(found.numbers, found.same, strict=True)
        if len(labels[key]) > 1
    ]
    if not rows:
        return []
    return [
        problem(
            "contradictory_labels",
            "warning",
            f"{counted(len(rows))} have the same text as another row but a different label.",
            "Decide on one label for each of these texts in the source.",
            rows,
        )
    ]


def _balance(found: Gathered) -> list[Problem]:
    counts = found.label_counts()
    if len(counts) < 2:
        only = problem(
            "class_imbalance",
            "error",
            "There is only one label, so there is nothing to tell apart.",
            "Bring rows of at least one more label.",
            count=1,
        )
        return [only] if counts else []
    rare = [label for label, count in counts.items() if count < ROWS_PER_LABEL]
    ratio = max(counts.values()) / min(counts.values())
    if ratio < IMBALANCE and not rare:
        return []
    if max(counts.values()) < ROWS_PER_LABEL:
        return []  # too few rows altogether, which is said elsewhere
    share = max(counts.values()) / sum(counts.values())
    rare_rows = [n for n, lab in zip(found.numbers, found.labels, strict=True) if lab in set(rare)]
    return [
        problem(
            "class_imbalance",
            "warning",
            f"The commonest label has {ratio:.0f} times the rows of the rarest; always answering "
            f"it would be right in {share:.0%} of rows. {len(rare)} label(s) have fewer than "
            f"{ROWS_PER_LABEL} rows.",
            "Bring more rows of the rare labels, or merge them; judge by macro-F1.",
            rare_rows,
            count=len(rare) or 1,
        )
    ]


def _variants(found: Gathered) -> list[Problem]:
    """Labels that differ only in case, white space or marks: surely one label."""
    minor = spelling(found.label_counts())
    if not minor:
        return []
    rows = [n for n, label in zip(found.numbers, found.labels, strict=True) if label in minor]
    return [
        problem(
            "label_variants",
            "warning",
            f"{len(minor)} label(s) are another spelling of a commoner one (case, spaces, marks).",
            "Preparing with the fix `label_variants` writes them all the commonest way.",
            rows,
        )
    ]
