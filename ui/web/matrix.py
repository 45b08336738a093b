"""The scenario matrix: both revisions, changed cells marked, and what a cell means here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tools.advise.matrix import TITLES, Cell, load_matrix
from tools.errors import ToolError
from tools.history.jobs import JobRecord
from tools.history.spec import TrainingSpec
from tools.methods import methods
from ui.web import tables
from ui.web.cards import problem_card
from ui.web.escape import h
from ui.web.words import gib, interval, number

_ENGINES = {
    "deepspeed": ("zero1", "zero2", "zero3"),
    "zero": ("zero1", "zero2", "zero3"),
}
"""Techniques that spread one training over several devices."""
_MEMORY_ROWS = ("memory", "cost", "multi-gpu")


def matrix_table(chosen: str = "") -> str:
    """Return the matrix; a cell the later revision changed shows both and is marked."""
    matrix = load_matrix()
    header = ("scenario", *(TITLES.get(t, t) for t in matrix.techniques))
    rows = []
    for row in matrix.scenarios:
        cells = [tables.Cell(f"<b>{h(row.title)}</b> <code>{h(row.id)}</code>")]
        for technique in matrix.techniques:
            key = f"{row.id}/{technique}"
            cells.append(tables.Cell(_cell(row.id, technique, row.cells[technique], key == chosen)))
        rows.append((cells, ""))
    changed = len(matrix.changed())
    return (
        "<h2>Scenario matrix</h2>"
        f'<p class="quiet">Nine situations, six techniques, in both published revisions. The later'
        f" one corrected {changed} cells; they show both and are marked.</p>"
        + tables.table(header, rows, caption="Scenario matrix", css="matrix")
        + f'<p class="quiet">{h(matrix.note)}</p>'
    )


def _cell(row: str, technique: str, cell: Cell, chosen: bool) -> str:
    if cell.changed:
        shown = f"<s>{h(cell.original)}</s> {h(cell.revised)}"
        css = "cell changed"
    else:
        shown, css = h(cell.revised), f"cell {cell.revised}"
    said = f"{TITLES.get(technique, technique)} for {row}: {cell}"
    return (
        f'<button type="button" class="{css}" data-key="{h(row)}/{h(technique)}"'
        f' aria-label="{h(said)}" aria-pressed="{str(chosen).lower()}">{shown}</button>'
    )


def cell_hint() -> str:
    """Return what stands below the matrix before a cell was chosen."""
    return '<p class="quiet">Choose a cell to read what it means here.</p>'


def cell_meaning(
    scenario: str, technique: str, jobs: Sequence[JobRecord], hardware: Mapping[str, Any]
) -> str:
    """Return one cell in words: what the matrix says, and what it means on this machine.

    Args:
        jobs: Training runs that ended well here.
        hardware: The document of `describe_hardware`.
    """
    matrix = load_matrix()
    try:
        row = matrix.row(scenario)
    except ToolError as error:
        return problem_card(error.problem, error.hint)
    cell = row.cells.get(technique)
    if cell is None:
        return cell_hint()
    name = TITLES.get(technique, technique)
    verb = "is a fit" if cell.revised == "yes" else "is not the tool"
    words = f"{name} {verb} for: {row.title}."
    if cell.changed:
        words += (
            f" The first edition said {cell.original}; the revision corrected it to {cell.revised}."
        )
    here = _engine_here(hardware) if technique in _ENGINES else _method_here(technique, name, jobs)
    if scenario in _MEMORY_ROWS and technique not in _ENGINES:
        here += _memory_here(technique, name, jobs)
    return (
        f'<div class="meaning" role="status"><p>{h(words)}</p><p><b>Here:</b> {h(here)}</p>'
        f'<p class="quiet">Source: {h(matrix.source)}; this machine and its history.</p></div>'
    )


def _engine_here(hardware: Mapping[str, Any]) -> str:
    gpus = hardware.get("gpus") or ()
    combined = "It is an engine for several devices and combines with any method."
    if len(gpus) > 1:
        return f"{combined} This machine has {len(gpus)} GPUs, so it can be used now."
    owned = "one GPU" if gpus else "no GPU"
    return (
        f"{combined} This machine has {owned}, so trainings run on a single device; with a"
        " described machine of several GPUs the recommendation changes."
    )


def runs_with(technique: str, jobs: Sequence[JobRecord]) -> list[JobRecord]:
    """Return the runs that used a technique; PEFT is every method that trains an adapter."""
    names = {technique}
    if technique == "peft":
        names = {name for name, method in methods().items() if method.peft}
    return [job for job in jobs if isinstance(job.spec, TrainingSpec) and job.spec.method in names]


def _method_here(technique: str, name: str, jobs: Sequence[JobRecord]) -> str:
    used = runs_with(technique, jobs)
    if not used:
        return f"no run with {name} has ended on this machine yet."
    told = f"{len(used)} {'run' if len(used) == 1 else 'runs'} with {name} ended well."
    scored = [job for job in used if isinstance(job.metrics.get("accuracy"), int | float)]
    if scored:
        best = max(scored, key=lambda job: float(job.metrics["accuracy"]))
        span = interval(best.metrics.get("accuracy_low"), best.metrics.get("accuracy_high"))
        told += f" The best reached accuracy {number(best.metrics['accuracy'])} {span} ({best.id})."
    return told


def _memory_here(technique: str, name: str, jobs: Sequence[JobRecord]) -> str:
    """Compare measured peaks with full fine-tuning of the same base on the same data."""
    full: dict[tuple[str, str], float] = {}
    for job in runs_with("full", jobs):
        if job.measured.get("memory_gib"):
            full[job.training.model, job.training.dataset] = float(job.measured["memory_gib"])
    for job in runs_with(technique, jobs):
        peak = job.measured.get("memory_gib")
        whole = full.get((job.training.model, job.training.dataset))
        if not peak:
            continue
        if whole:
            saved = whole - float(peak)
            verdict = "less" if saved > 0 else "no less"
            return (
                f" Measured on {job.training.dataset}: {name} took {gib(peak)}, full fine-tuning"
                f" {gib(whole)}: {verdict} memory here"
                + ("." if saved > 0 else ", against the matrix; the model is small.")
            )
        return f" {job.id} took {gib(peak)} at its peak."
    return ""
