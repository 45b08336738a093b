"""From YAML files to cases: everything that is wrong is collected and told at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tools.errors import BadInput, NotFound
from ui.suite.cases import Case

_SHOWN_PROBLEMS = 20


def load_cases(files: Sequence[Path]) -> list[Case]:
    """Read the cases of YAML files; a folder stands for the `.yaml` and `.yml` files in it.

    Raises:
        NotFound: A file is missing, or a folder holds no YAML file.
        BadInput: Naming every case that is not usable, with the reason.
    """
    cases: list[Case] = []
    problems: list[str] = []
    seen: dict[str, Path] = {}
    for path in _expand(files):
        for number, document in enumerate(_documents(path, problems), start=1):
            case = _case(path, number, document, problems)
            if case is None:
                continue
            if case.id in seen:
                problems.append(f"{path.name}: the id {case.id} is already in {seen[case.id].name}")
            seen[case.id] = path
            cases.append(case)
    if problems:
        shown = [f"- {problem}" for problem in problems[:_SHOWN_PROBLEMS]]
        more = len(problems) - len(shown)
        lines = "\n".join(shown + ([f"- and {more} more"] if more else []))
        raise BadInput(
            f"The suite is not usable; {len(problems)} problems:\n{lines}",
            hint="Correct the cases; the README tells the format.",
        )
    return cases


def _expand(files: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in files:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix in {".yaml", ".yml"})
            if not inside:
                raise NotFound(f"{path} holds no YAML file.", hint="Name a file with cases.")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise NotFound(f"There is no file {path}.", hint="Name a YAML file with cases.")
    if not found:
        raise NotFound("No suite was named.", hint="Name a YAML file with cases, or a folder.")
    return found


def _documents(path: Path, problems: list[str]) -> list[Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problems.append(f"{path.name}: cannot be read as YAML: {_one_line(error)}")
        return []
    if not isinstance(document, list) or not document:
        problems.append(f"{path.name}: is not a list of cases")
        return []
    return document


def _case(path: Path, number: int, document: Any, problems: list[str]) -> Case | None:
    try:
        return Case.model_validate(document)
    except ValidationError as error:
        name = document.get("id") if isinstance(document, dict) else None
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            reason = problem["msg"].removeprefix("Value error, ")
            problems.append(f"{path.name}: case {name or number}: {where or 'case'}: {reason}")
        return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
