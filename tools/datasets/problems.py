"""What can be wrong with a dataset: one shape for every finding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tools.datasets.cures import fix_arguments

Severity = Literal["info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
EXAMPLES = 10
"""Row numbers kept per problem."""


class Problem(BaseModel):
    """One kind of trouble in the data.

    Attributes:
        code: Stable name for programs, such as `exact_duplicates`.
        count: How many rows (or columns, labels) are touched.
        rows: Up to ten examples: row numbers, counted from 0 without the header.
        message: What was found, in words made by Luthier; values from rows never stand in it.
        fix: What to do about it.
        fix_arguments: Arguments of `prepare_dataset` that do it; empty where none do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    severity: Severity
    count: int
    rows: tuple[int, ...] = ()
    message: str
    fix: str
    fix_arguments: dict[str, Any] = Field(default_factory=dict)


def problem(
    code: str, severity: Severity, message: str, fix: str, rows: Iterable[int] = (), count: int = -1
) -> Problem:
    """Return a problem; the count is the number of rows unless given."""
    listed = sorted(set(rows))
    return Problem(
        code=code,
        severity=severity,
        count=len(listed) if count < 0 else count,
        rows=tuple(listed[:EXAMPLES]),
        message=message,
        fix=fix,
        fix_arguments=fix_arguments(code, severity),
    )


def counted(rows: int) -> str:
    """Return a number of rows in words, such as `1 row` or `2,000 rows`."""
    return f"{rows:,} row{'' if rows == 1 else 's'}"


def merged(problems: Iterable[Problem]) -> list[Problem]:
    """Return one problem per code; several of one code are told together."""
    by_code: dict[str, Problem] = {}
    for p in problems:
        first = by_code.get(p.code)
        by_code[p.code] = p if first is None else _together(first, p)
    return list(by_code.values())


def _together(one: Problem, two: Problem) -> Problem:
    graver, other = sorted((one, two), key=lambda p: SEVERITIES.index(p.severity))
    return problem(
        graver.code,
        graver.severity,
        f"{graver.message} {other.message}",
        graver.fix,
        [*graver.rows, *other.rows],
        max(graver.count, other.count),
    )


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems with the gravest first."""
    return tuple(sorted(problems, key=lambda p: (SEVERITIES.index(p.severity), -p.count, p.code)))
