"""The Library page: the scenario matrix in both revisions, models that fit, and the guide."""

from __future__ import annotations

from typing import Any

import gradio as gr

from tools.advise.matrix import TITLES, load_matrix
from tools.advise.models import size_words
from tools.errors import ToolError
from ui.web import tables
from ui.web.cards import problem_card
from ui.web.desk import Desk
from ui.web.escape import h, safe_markdown
from ui.web.words import gib


class LibraryPage:
    """Builds the page inside the present Blocks and wires it."""

    def __init__(self, desk: Desk, private: dict[str, Any]) -> None:
        self.desk = desk
        self._private = private
        with gr.Column(elem_classes="page", elem_id="library-page"):
            with gr.Column(elem_classes="sheet"):
                self.matrix = gr.HTML(
                    matrix_table(),
                    elem_id="matrix",
                    js_on_load=tables.KEY_CLICKS,
                    apply_default_css=False,
                )
                self.meaning = gr.HTML(cell_hint(), elem_id="meaning", apply_default_css=False)
            with gr.Column(elem_classes="sheet"):
                gr.HTML("<h2>Guide</h2>", apply_default_css=False)
                with gr.Row(elem_classes="askrow"):
                    self.question = gr.Textbox(
                        show_label=False,
                        container=False,
                        placeholder="LoRA or QLoRA? What is ZeRO-3? Which learning rate?",
                        elem_id="question",
                        label="Question to the guide",
                        scale=1,
                    )
                    self.look = gr.Button("Look up", elem_id="look-up", min_width=0, scale=0)
                self.answer = gr.Markdown(
                    "", elem_id="answer", latex_delimiters=[], line_breaks=True
                )
            with gr.Column(elem_classes="sheet"):
                gr.HTML("<h2>Base models</h2>", apply_default_css=False)
                self.models = gr.HTML("", elem_id="models", apply_default_css=False)

    def wire(self, tab: gr.Tab) -> None:
        """Connect everything that can happen on this page."""
        tab.select(self.on_show, None, [self.models], **self._private)
        self.matrix.open(self.on_cell, None, [self.meaning], **self._private)
        for event in (self.question.submit, self.look.click):
            event(self.on_ask, [self.question], [self.answer], **self._private)

    def on_show(self) -> str:
        """List the models with their licence and fit on this machine."""
        try:
            return models_table(self.desk.call("list_models").document())
        except ToolError as error:
            return problem_card(error.problem, error.hint)

    def on_ask(self, question: str) -> str:
        """Answer from the guide, with its sources."""
        if not question.strip():
            return ""
        try:
            return safe_markdown(self.desk.call("explain", question=question).text())
        except ToolError as error:
            return safe_markdown(f"{error.problem}\n\n{error.hint}")

    def on_cell(self, event: gr.EventData) -> str:
        """Say what one cell of the matrix means."""
        scenario, _, technique = str(event.key).partition("/")
        return cell_meaning(scenario, technique)


def matrix_table() -> str:
    """Return the matrix; a cell the later revision changed shows both and is marked."""
    matrix = load_matrix()
    header = ("scenario", *(TITLES.get(t, t) for t in matrix.techniques))
    rows = []
    for row in matrix.scenarios:
        cells = [tables.Cell(f"<b>{h(row.title)}</b> <code>{h(row.id)}</code>")]
        for technique in matrix.techniques:
            cell = row.cells[technique]
            if cell.changed:
                shown = f"<s>{h(cell.original)}</s> {h(cell.revised)}"
                css = "cell changed"
            else:
                shown, css = h(cell.revised), f"cell {cell.revised}"
            said = f"{TITLES.get(technique, technique)} for {row.id}: {cell}"
            cells.append(
                tables.Cell(
                    f'<button type="button" class="{css}" data-key="{h(row.id)}/{h(technique)}"'
                    f' aria-label="{h(said)}">{shown}</button>'
                )
            )
        rows.append((cells, ""))
    changed = len(matrix.changed())
    return (
        "<h2>Scenario matrix</h2>"
        f'<p class="quiet">Nine situations, six techniques, in both published revisions. The later'
        f" one corrected {changed} cells; they show both and are marked.</p>"
        + tables.table(header, rows, caption="Scenario matrix", css="matrix")
        + f'<p class="quiet">{h(matrix.note)}</p>'
    )


def cell_hint() -> str:
    """Return what stands below the matrix before a cell was chosen."""
    return '<p class="quiet">Choose a cell to read what it means here.</p>'


def cell_meaning(scenario: str, technique: str) -> str:
    """Return one cell in words, with its source."""
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
    if technique in ("deepspeed", "zero"):
        words += " It is an engine for several devices, and combines with any method."
    return f'<p class="meaning">{h(words)}</p><p class="quiet">Source: {h(matrix.source)}.</p>'


def models_table(document: dict[str, Any]) -> str:
    """Return the models of a `list_models` report as a table."""
    models = document.get("models") or []
    if not models:
        return tables.empty("No models listed", "Name a model folder or a Hub name in the chat.")
    header = ("model", "size", "context", "licence", "LoRA needs", "QLoRA needs", "fits here",
              "ONNX")  # fmt: skip
    rows = [(_model_row(model), "") for model in models]
    return (
        f'<p class="quiet">For {h(document.get("hardware"))}. Any other model works by its Hub name'
        " or its folder.</p>" + tables.table(header, rows, caption="Base models")
    )


def _model_row(model: dict[str, Any]) -> list[tables.Cell]:
    notes = [word for word in ("gated", "here") if model.get(word)]
    note = f' <small class="quiet">{h(", ".join(notes).replace("here", "on this machine"))}</small>'
    return [
        tables.Cell(h(model.get("name")) + (note if notes else "")),
        tables.figure(size_words(float(model.get("parameters_b") or 0))),
        tables.figure(f"{int(model.get('context_length') or 0):,}"),
        tables.text(model.get("licence")),
        tables.figure(gib(model.get("lora_gib"))),
        tables.figure(gib(model.get("qlora_gib"))),
        tables.text(model.get("fits")),
        tables.text("yes" if model.get("onnx") else "no"),
    ]
