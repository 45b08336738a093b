"""Makes a reading of columns: every column gets a role, and the reading a confidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tools.datasets.mapping import Format, Mapping, Role
from tools.datasets.profile import Column
from tools.history.spec import Objective

Columns = dict[str, Column]
Rule = Callable[[Columns], Mapping | None]


def build(
    columns: Columns,
    form: Format,
    roles: dict[str, Role],
    confidence: float,
    reason: str,
    *,
    task: str = "",
    objective: Objective | None = "prompt_completion",
    languages: tuple[str, str] | None = None,
    obstacle: str = "",
    advice: str = "",
) -> Mapping:
    """Return a mapping in which every column has a role."""
    full: dict[str, Role] = {}
    for name, column in columns.items():
        fallback: Role = "id" if column.looks_like_id else "ignored"
        full[name] = roles.get(name, fallback)
    needed = _NEEDED - {"input"} if form == "alpaca" else _NEEDED
    covered = [columns[name].filled for name, role in roles.items() if role in needed]
    sure = confidence * (min(covered) ** 0.5 if covered else 1.0)
    return Mapping(
        format=form,
        task=task or form,
        objective=objective,
        columns=full,
        languages=languages,
        confidence=round(min(max(sure, 0.05), 0.99), 2),
        reason=reason,
        obstacle=obstacle,
        advice=advice,
    )


_NEEDED = frozenset({"input", "output", "instruction", "messages", "text", "chosen", "tokens"})


def named(columns: Columns, names: Sequence[str], shape: str | None = None) -> Column | None:
    """Return the first column with one of these names (in their order) and shape."""
    by_name = {column.lower: column for column in reversed(list(columns.values()))}
    for name in names:
        column = by_name.get(name)
        if column and column.values and (shape is None or column.shape == shape):
            return column
    return None
