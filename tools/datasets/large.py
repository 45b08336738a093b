"""Large files: DuckDB counts all rows, and an even sample of them is looked at one by one."""

from __future__ import annotations

from typing import Any

from tools.datasets.choose import Reading
from tools.datasets.gather import Gathered
from tools.datasets.lengths import CANDIDATE_LENGTHS, LengthBin, TokenLengths
from tools.datasets.problems import Problem, in_order, problem
from tools.datasets.report import DatasetReport
from tools.datasets.row import Wanted, every
from tools.datasets.sampled import EvenSample
from tools.datasets.scan import Facts, is_large, scan
from tools.datasets.source import Source
from tools.errors import BadInput

LOOK_SECONDS = 30.0
"""How long the sample of a large file may take; counting goes over all rows."""
LOOK_ROWS = 20_000
_BLOCK = 100
"""Rows that stand together in the sample: wide enough to see repeats that follow each other."""
_UNUSED = frozenset({"ignored", "id"})


def facts_of(source: Source, reading: Reading) -> Facts | None:
    """Return the facts about all rows of a large file; None for small ones and foreign forms."""
    if not is_large(source):
        return None
    mapping = reading.mapping
    used = [name for name, role in mapping.columns.items() if role not in _UNUSED]
    label = mapping.one("output") if mapping.format == "classification" else None
    try:
        return scan(source, list(reading.columns), used, label)
    except BadInput:
        # The readers are more forgiving than DuckDB: the beginning is looked at, and that is said.
        return None


def sample_of(facts: Facts) -> Wanted:
    """Return which rows are looked at: blocks of 100, evenly over the whole file."""
    step = max(1, round(facts.rows / LOOK_ROWS))
    return every if step == 1 else EvenSample(_BLOCK, step)


def with_facts(
    report: DatasetReport, facts: Facts, found: Gathered, source: Source
) -> DatasetReport:
    """Return the report with exact counts, saying how many rows were looked at one by one.

    What was found in single rows keeps its count and says of how many rows it is.
    """
    seen = len(found.numbers) + sum(map(len, found.skipped.values()))
    usable = round(facts.rows * len(found.numbers) / max(seen, 1))
    changes: dict[str, Any] = {
        "rows": facts.rows,
        "usable_rows": usable,
        "looked_at": seen,
        "problems": list(in_order(_problems(report.problems, facts, seen))),
        "token_lengths": _lengths(report.token_lengths, facts, found),
    }
    one = set(report.splits) <= {"train"}
    changes["splits"] = {"train": facts.rows} if one else dict(source.passed)
    changes["length_histogram"] = _scaled(report.length_histogram, usable)
    changes["cut_shares"] = changes["token_lengths"].cut if changes["token_lengths"] else {}
    if facts.labels:
        changes["label_counts"] = dict(facts.labels)
    return report.model_copy(update=changes)


_OF_ALL = frozenset({"class_imbalance", "constant_columns", "empty_columns", "unusable"})


def _problems(problems: list[Problem], facts: Facts, seen: int) -> list[Problem]:
    among = f"Among the {seen:,} rows looked at: "
    kept = [
        p
        if p.code in _OF_ALL
        else p.model_copy(update={"message": f"{among}{p.message}{_unseen(p.code)}"})
        for p in problems
        if p.code not in ("exact_duplicates", "too_few_rows")
    ]
    if not facts.duplicates:
        return kept
    examples = next((p.rows for p in problems if p.code == "exact_duplicates"), ())
    counted = problem(
        "exact_duplicates",
        "warning" if facts.duplicates > 0.01 * facts.rows else "info",
        f"{facts.duplicates:,} of all rows repeat an earlier one exactly.",
        "Preparing with dedupe removes them.",
        examples,
        facts.duplicates,
    )
    return [*kept, counted]


def _scaled(bins: list[LengthBin], rows: int) -> list[LengthBin]:
    """Scale the bins of a sample to all rows."""
    seen = sum(b.rows for b in bins) or 1
    return [b.model_copy(update={"rows": round(b.rows * rows / seen)}) for b in bins]


def _unseen(code: str) -> str:
    """Say what a sample cannot show: both rows of a pair are seldom in it."""
    if code in ("near_duplicates", "contradictory_labels", "leakage"):
        return " Pairs whose other row was not looked at are not counted; preparing sees all rows."
    return ""


def _lengths(lengths: TokenLengths | None, facts: Facts, found: Gathered) -> TokenLengths | None:
    """Scale the quantiles of characters over all rows to tokens."""
    if lengths is None or not facts.characters:
        return lengths
    ratio = lengths.per_epoch / max(sum(found.lengths), 1)
    p50, p95, p99, longest = (
        round(n * ratio) for n in (facts.p50, facts.p95, facts.p99, facts.longest)
    )
    steps = ((p99, 0.01), (p95, 0.05), (p50, 0.5))
    cut = {
        str(length): lengths.cut.get(str(length), 0.0) if longest > length else 0.0
        for length in CANDIDATE_LENGTHS
    }
    for length in CANDIDATE_LENGTHS:
        least = max((share for bound, share in steps if bound > length), default=0.0)
        cut[str(length)] = max(cut[str(length)], least)
    return lengths.model_copy(
        update={
            "p50": p50, "p95": p95, "p99": p99, "max": longest, "cut": cut,
            "per_epoch": round(facts.characters * ratio),
        }
    )  # fmt: skip
