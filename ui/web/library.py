"""The Library page: the scenario matrix, the guide, the ledger, and models that fit."""

from __future__ import annotations

from typing import Any

import gradio as gr

from tools.errors import ToolError
from tools.history.jobs import JobRecord
from ui.web import tables
from ui.web.cards import problem_card
from ui.web.catalogue import methods_table, models_table
from ui.web.desk import Desk
from ui.web.escape import safe_markdown
from ui.web.ledger import ledger_card
from ui.web.matrix import cell_hint, cell_meaning, matrix_table

_MOST_JOBS, _MOST_MODELS = 200, 100


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
                self.ledger = gr.HTML("", elem_id="ledger", apply_default_css=False)
            with gr.Column(elem_classes="sheet"):
                gr.HTML("<h2>Base models</h2>", apply_default_css=False)
                self.models = gr.HTML(
                    "", elem_id="models", js_on_load=tables.ROW_CLICKS, apply_default_css=False
                )
            with gr.Column(elem_classes="sheet"):
                gr.HTML("<h2>Methods</h2>", apply_default_css=False)
                self.methods = gr.HTML(
                    "", elem_id="methods", js_on_load=tables.ROW_CLICKS, apply_default_css=False
                )

    def wire(self, tab: gr.Tab) -> None:
        """Connect everything that can happen on this page."""
        tab.select(self.on_show, None, [self.ledger, self.models, self.methods], **self._private)
        self.matrix.open(self.on_cell, None, [self.matrix, self.meaning], **self._private).then(
            None, js="() => luthier.show('meaning')", **self._private
        )
        for event in (self.question.submit, self.look.click):
            event(self.on_ask, [self.question], [self.answer], **self._private)

    def on_show(self) -> list[str]:
        """Plot the ledger; list models with their licence and fit on this machine, and methods."""
        try:
            models = models_table(self.desk.call("list_models", limit=_MOST_MODELS).document())
        except ToolError as error:
            models = problem_card(error.problem, error.hint)
        return [ledger_card(self.desk.ctx), models, methods_table(self._ended())]

    def on_ask(self, question: str) -> str:
        """Answer from the guide, with its sources."""
        if not question.strip():
            return ""
        try:
            return safe_markdown(self.desk.call("explain", question=question).text())
        except ToolError as error:
            return safe_markdown(f"{error.problem}\n\n{error.hint}")

    def on_cell(self, event: gr.EventData) -> list[str]:
        """Say what one cell of the matrix means on this machine."""
        scenario, _, technique = str(event.key).partition("/")
        try:
            hardware = self.desk.call("describe_hardware").document()
        except ToolError:
            hardware = {}
        meaning = cell_meaning(scenario, technique, self._ended(), hardware)
        return [matrix_table(str(event.key)), meaning]

    def _ended(self) -> list[JobRecord]:
        return self.desk.store.jobs.find(states=["succeeded"], kinds=["train"], limit=_MOST_JOBS)
