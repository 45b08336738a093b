"""The error tree is whole, and every error tells the next step."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from tools import errors
from tools.errors import ToolError

ROOT = Path(__file__).parents[2]
TREE = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, ToolError)]


@pytest.mark.parametrize("cls", TREE)
def test_the_module_docstring_draws_every_error(cls: type[ToolError]) -> None:
    assert cls.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(("problem", "hint"), [("", "Do this."), ("Broken.", " ")])
def test_an_error_without_a_problem_or_a_next_step_cannot_be_made(problem: str, hint: str) -> None:
    with pytest.raises(ValueError, match="needs"):
        ToolError(problem, hint=hint)


def _raised() -> list[tuple[str, ast.Call]]:
    names = {c.__name__ for c in TREE}
    found = []
    for package in ("tools", "assistant", "ui"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                if named and node.func.id in names:
                    found.append((f"{path.relative_to(ROOT)}:{node.lineno}", node))
    return found


def test_every_place_that_makes_an_error_gives_a_hint() -> None:
    places = _raised()
    assert len(places) > 20
    missing = [
        where for where, call in places if not any(k.arg in ("hint", None) for k in call.keywords)
    ]
    assert missing == []
