"""Problems that show in the rows as a whole: duplicates, contradictions, balance, size."""

from __future__ import annotations

from tools.datasets.gather import Gathered
from tools.datasets.label_quality import label_problems, one_sided
from tools.datasets.mapping import Mapping
from tools.datasets.nearby import MAX_ROWS
from tools.datasets.outliers import outlier_indices
from tools.datasets.problems import Problem, Severity, counted, problem
from tools.datasets.profile import Column

ENOUGH_ROWS = {"classification": 100, "text": 20}
"""Rows below which a result says little; 50 for every other format. The smallest published
fine-tuning guides ask for 50 to 100 examples."""


def find_problems(found: Gathered, mapping: Mapping, columns: dict[str, Column]) -> list[Problem]:
    """Return what the gathered rows have wrong."""
    if mapping.format == "unknown":
        return _unusable(mapping)
    problems = [
        *_unusable(mapping),
        *_skipped(found),
        *_duplicates(found),
        *_near_duplicates(found),
        *_identical_answers(found),
        *_outliers(found, mapping),
        *_leakage(found),
        *_size(found, mapping),
        *_constant(columns, mapping),
    ]
    if mapping.format == "classification":
        problems += label_problems(found)
    if mapping.objective == "kto":
        problems += one_sided(found)
    return problems


def _unusable(mapping: Mapping) -> list[Problem]:
    if mapping.objective is not None:
        return []
    if mapping.format == "unknown":
        return [problem("unusable", "error", mapping.obstacle, mapping.advice, count=1)]
    return [problem("not_trainable_yet", "warning", mapping.obstacle, mapping.advice, count=1)]


def _skipped(found: Gathered) -> list[Problem]:
    codes: dict[str, tuple[str, str, Severity]] = {
        "empty input": ("empty_inputs", "have an empty input", "warning"),
        "empty answer": ("empty_answers", "have an empty answer", "warning"),
        "no messages": ("empty_answers", "have no messages", "warning"),
        "no answer by the assistant": ("missing_roles", "have no answer by the assistant",
                                       "warning"),
        "unknown role": ("missing_roles", "have a message without a known role", "error"),
    }  # fmt: skip
    listed = []
    for reason, rows in found.skipped.items():
        code, words, severity = codes.get(reason, ("inconsistent_format", reason, "warning"))
        if words == reason:
            words = f"do not fit the format ({reason})"
        listed.append(
            problem(
                code,
                severity,
                f"{counted(len(rows))} {words}.",
                "Preparing leaves them out; fill them in the source to keep them.",
                rows,
            )
        )
    return listed


def _duplicates(found: Gathered) -> list[Problem]:
    seen: set[bytes] = set()
    repeats = []
    for number, key in zip(found.numbers, found.keys, strict=True):
        if key in seen:
            repeats.append(number)
        seen.add(key)
    if not repeats:
        return []
    return [
        problem(
            "exact_duplicates",
            "warning" if len(repeats) > 0.01 * len(found.keys) else "info",
            f"{counted(len(repeats))} repeat an earlier row exactly.",
            "Preparing with dedupe removes them.",
            repeats,
        )
    ]


def _near_duplicates(found: Gathered) -> list[Problem]:
    equal: set[bytes] = set()
    repeats = set()
    for index, key in enumerate(found.keys):
        if key in equal:
            repeats.add(index)
        equal.add(key)
    rows = [
        found.numbers[later]
        for earlier, later in found.near.pairs()
        if later not in repeats and found.keys[earlier] != found.keys[later]
    ]
    if not rows:
        return []
    among = "" if found.near.complete else f" among the first {MAX_ROWS:,}"
    return [
        problem(
            "near_duplicates",
            "warning" if len(rows) > 0.05 * len(found.numbers) else "info",
            f"{counted(len(rows))}{among} nearly repeat the input of an earlier row.",
            "Preparing keeps them on one side of the split; the fix `near_duplicates` drops them.",
            rows,
        )
    ]


def _identical_answers(found: Gathered) -> list[Problem]:
    """One answer for all rows, where answers should differ."""
    answers = {e.answer for _, e in found.kept if not e.messages}
    if len(answers) != 1 or len(found.kept) < 6 or found.kept[0][1].text is not None:
        return []
    if found.kept[0][1].label is not None:
        return []  # said as class imbalance
    return [
        problem(
            "constant_columns",
            "error",
            "Every row has the same answer.",
            "There is nothing to learn from it; check the export.",
            count=1,
        )
    ]


def _outliers(found: Gathered, mapping: Mapping) -> list[Problem]:
    far, bound, middle = outlier_indices(found, mapping)
    if not far:
        return []
    return [
        problem(
            "outlier_lengths",
            "warning",
            f"{counted(len(far))} are far longer than the rest (beyond {bound:,.0f} characters; "
            f"half have up to {middle:,.0f}).",
            "They set the memory that training needs: shorten them, or drop them with the fix "
            "`outlier_lengths`.",
            [found.numbers[i] for i in far],
        )
    ]


def _leakage(found: Gathered) -> list[Problem]:
    judged = {
        key
        for key, split in zip(found.asked, found.splits, strict=True)
        if split in ("validation", "test")
    }
    if not judged:
        return []
    leaked = [
        number
        for number, key, split in zip(found.numbers, found.asked, found.splits, strict=True)
        if key in judged and split not in ("validation", "test")
    ]
    if not leaked:
        return []
    return [
        problem(
            "leakage",
            "error",
            f"{counted(len(leaked))} of the training split also stand in validation or test.",
            "Preparing removes them from the training split.",
            leaked,
        )
    ]


def _size(found: Gathered, mapping: Mapping) -> list[Problem]:
    enough = ENOUGH_ROWS.get(mapping.format, 50)
    usable = len(set(found.keys))
    if usable >= enough or not found.complete:
        return []
    return [
        problem(
            "too_few_rows",
            "error" if usable < 4 else "warning",
            f"{counted(usable)} of use; for {mapping.task.replace('_', ' ')} {enough} is the least "
            "that tells anything.",
            "Bring more rows; some hundreds make a difference.",
            count=usable,
        )
    ]


_MAY_BE_CONSTANT = frozenset({"system", "tools", "context", "instruction"})


def _constant(columns: dict[str, Column], mapping: Mapping) -> list[Problem]:
    constant = [
        c.name
        for c in columns.values()
        if c.values > 5 and c.distinct == 1 and mapping.columns.get(c.name) not in _MAY_BE_CONSTANT
    ]
    empty = [c.name for c in columns.values() if c.values == 0]
    listed = []
    if constant:
        in_use = any(mapping.columns.get(name) != "ignored" for name in constant)
        listed.append(
            problem(
                "constant_columns",
                "error" if in_use else "info",
                f"{len(constant)} column(s) hold the same value in every row.",
                "There is nothing to learn from them; check the export." if in_use
                else "They are ignored.",
                count=len(constant),
            )
        )  # fmt: skip
    if empty:
        listed.append(
            problem(
                "empty_columns",
                "info",
                f"{len(empty)} column(s) are empty.",
                "They are ignored.",
                count=len(empty),
            )
        )
    return listed
