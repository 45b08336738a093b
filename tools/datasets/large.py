"""Large files: what DuckDB counted over all rows replaces what a look at the beginning guessed."""

from __future__ import annotations

from typing import Any

from tools.datasets.choose import Reading
from tools.datasets.gather import Gathered
from tools.datasets.lengths import CANDIDATE_LENGTHS, TokenLengths
from tools.datasets.problems import Problem, in_order, problem
from tools.datasets.report import DatasetReport
from tools.datasets.scan import Facts, is_large, scan
from tools.datasets.source import Source
from tools.errors import BadInput

LOOK_SECONDS = 15.0
"""How long single rows of a large file are looked at; counting goes over all of them."""
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


def with_facts(report: DatasetReport, facts: Facts, found: Gathered) -> DatasetReport:
    """Return the report with exact counts, saying how many rows were looked at one by one."""
    seen = len(found.numbers) + sum(map(len, found.skipped.values()))
    usable = round(facts.rows * len(found.numbers) / max(seen, 1))
    changes: dict[str, Any] = {
        "rows": facts.rows,
        "usable_rows": usable,
        "looked_at": seen,
        "problems": list(in_order(_problems(report.problems, facts))),
        "token_lengths": _lengths(report.token_lengths, facts, found),
    }
    if set(report.splits) == {"train"}:
        changes["splits"] = {"train": facts.rows}
    if facts.labels:
        changes["label_counts"] = dict(facts.labels)
    return report.model_copy(update=changes)


def _problems(problems: list[Problem], facts: Facts) -> list[Problem]:
    kept = [p for p in problems if p.code not in ("exact_duplicates", "too_few_rows")]
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
