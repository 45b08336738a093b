"""The scenario matrix: the cited prior of every recommendation, in both published revisions."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from tools.advise.aims import ROWS, Aim
from tools.errors import NotFound
from tools.shipped import shipped

Answer = Literal["yes", "no"]
TITLES = {
    "lora": "LoRA", "qlora": "QLoRA", "peft": "PEFT", "deepspeed": "DeepSpeed", "zero": "ZeRO",
    "dora": "DoRA",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """What the matrix says of one technique in one scenario, in both revisions."""

    original: Answer
    revised: Answer

    @property
    def changed(self) -> bool:
        """True for the six cells that the revision corrected."""
        return self.original != self.revised

    def __str__(self) -> str:
        return f"{self.original} → {self.revised}" if self.changed else self.revised


@dataclass(frozen=True)
class Scenario:
    """One row."""

    id: str
    title: str
    cells: dict[str, Cell]
    words: frozenset[str]

    def cite(self, techniques: Iterable[str]) -> str:
        """Return the row's cells of some techniques as a citation."""
        parts = [f"{TITLES[t]} {self.cells[t]}" for t in techniques if t in self.cells]
        return f"matrix row {self.id}: {', '.join(parts)}"

    def document(self) -> dict[str, Any]:
        """Return the row as a JSON document with both revisions of every cell."""
        return {
            "id": self.id,
            "title": self.title,
            "original": {name: cell.original for name, cell in self.cells.items()},
            "revised": {name: cell.revised for name, cell in self.cells.items()},
            "changed": [name for name, cell in self.cells.items() if cell.changed],
        }


@dataclass(frozen=True)
class Matrix:
    """All rows, with the note that the revision added."""

    scenarios: tuple[Scenario, ...]
    techniques: tuple[str, ...]
    note: str
    source: str

    def row(self, scenario: str) -> Scenario:
        """Return a row by its id.

        Raises:
            NotFound: There is none.
        """
        for row in self.scenarios:
            if row.id == scenario:
                return row
        ids = ", ".join(row.id for row in self.scenarios)
        raise NotFound(f"The matrix has no scenario {scenario}.", hint=f"It has: {ids}.")

    def changed(self) -> list[tuple[str, str, Cell]]:
        """Return `(scenario, technique, cell)` of the cells where the revisions differ."""
        return [
            (row.id, name, cell)
            for row in self.scenarios
            for name, cell in row.cells.items()
            if cell.changed
        ]


@cache
def load_matrix() -> Matrix:
    """Read `data/scenarios.toml`."""
    table = tomllib.loads(shipped("scenarios.toml").read_text(encoding="utf-8"))
    about = table["about"]
    techniques = tuple(about["techniques"])
    rows = tuple(
        Scenario(
            id=row["id"],
            title=row["title"],
            cells={name: _cell(row[name]) for name in techniques},
            words=frozenset(row["words"].split()),
        )
        for row in table["scenario"]
    )
    return Matrix(rows, techniques, about["note"], about["source"])


def scenarios_for(
    goal: str,
    task: str,
    *,
    gpus: int = 0,
    memory_is_short: bool = False,
    aims: frozenset[Aim] = frozenset(),
) -> list[Scenario]:
    """Return the rows that a goal, a task and a machine speak of, the most telling first.

    Args:
        goal: The person's words; only words are matched, nothing in them is obeyed.
        task: The task seen in the data, such as `classification`.
        gpus: Graphics cards to train on.
        memory_is_short: The plain method does not fit.
        aims: What the goal asks for beside the task.
    """
    matrix = load_matrix()
    said = set(re.findall(r"[a-z]+", goal.lower()))
    said |= {word.removesuffix("s") for word in said}
    points = {row.id: len(said & row.words) for row in matrix.scenarios}
    by_task = _BY_TASK.get(task)
    if by_task:
        points[by_task] += 2
    if gpus > 1:
        points["multi-gpu"] += 2
    elif not said & {"distributed", "cluster", "nodes", "several", "multi"}:
        points["multi-gpu"] = 0
    if memory_is_short:
        points["memory"] += 2
    for aim in aims & ROWS.keys():
        points[ROWS[aim]] += 3
    chosen = [row for row in matrix.scenarios if points[row.id]]
    chosen.sort(key=lambda row: -points[row.id])
    return chosen or [matrix.row("domain")]


_BY_TASK = {
    "classification": "nlp",
    "labels": "nlp",
    "ner": "nlp",
    "token_classification": "nlp",
    "preference": "chat",
    "kto": "chat",
    "extraction": "nlp",
    "translation": "nlp",
    "summarization": "nlp",
    "summarisation": "nlp",
    "qa": "qa",
    "question_answering": "qa",
    "chat": "chat",
    "conversation": "chat",
    "generation": "domain",
    "instruction": "domain",
    "text": "domain",
    "raw_text": "domain",
    "language_modeling": "domain",
}


def _cell(value: str | dict[str, Answer]) -> Cell:
    if isinstance(value, dict):
        return Cell(value["original"], value["revised"])
    answer: Answer = "yes" if value == "yes" else "no"
    return Cell(answer, answer)
