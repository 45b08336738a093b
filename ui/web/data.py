"""The Data page: what a file is, how sure that is, what is wrong with it, and fixes at a click."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gradio as gr

from tools.advise.models import STARTER
from tools.datasets.cures import combine
from tools.errors import ToolError
from ui.web import tables
from ui.web.cards import problem_card
from ui.web.data_files import file_list
from ui.web.data_report import dataset_report, made_card
from ui.web.desk import Desk
from ui.web.security import DATA_ENDINGS, keep_uploads

_CHOOSE = tables.empty(
    "Choose a file",
    "Pick one from the list, add your own, or drop it into the chat. Nothing in it is changed.",
)

_MOST_MODELS = 100


@dataclass(frozen=True)
class Look:
    """What the page shows: which data, read how, and what can be done about its problems.

    Attributes:
        reading: Columns as chosen by the person, where the first reading was not theirs.
        fixes: Arguments of `prepare_dataset` for each problem, in the order shown.
        others: Other ways to read the columns.
        model: Whose tokenizer and template count; None is the starter's.
    """

    path: str
    rows: int = 0
    reading: dict[str, str] = field(default_factory=dict)
    fixes: tuple[dict[str, Any], ...] = ()
    others: tuple[dict[str, Any], ...] = ()
    model: str | None = None


class DataPage:
    """Builds the page inside the present Blocks and wires it."""

    def __init__(self, desk: Desk, private: dict[str, Any]) -> None:
        self.desk = desk
        self._private = private
        self.look = gr.State(None)
        with gr.Row(elem_id="data-page", elem_classes="page"):
            with gr.Column(elem_id="files", min_width=0, scale=0):
                self.add = gr.UploadButton(
                    "Add a file",
                    file_types=list(DATA_ENDINGS),
                    file_count="multiple",
                    size="sm",
                    elem_id="add-file",
                )
                self.model = gr.Dropdown(
                    [STARTER], value=STARTER, label="Read as the model", elem_id="read-as",
                    allow_custom_value=True, min_width=0, interactive=True,
                )  # fmt: skip
                self.files = gr.HTML(
                    "", elem_id="file-list", js_on_load=tables.KEY_CLICKS, apply_default_css=False
                )
            with gr.Column(elem_id="file", min_width=0, scale=1):
                self.report = gr.HTML(
                    _CHOOSE, elem_id="file-report", js_on_load=tables.KEY_CLICKS,
                    apply_default_css=False,
                )  # fmt: skip

    def wire(self, tab: gr.Tab, tabs: gr.Tabs, ask: gr.MultimodalTextbox) -> None:
        """Connect everything that can happen on this page."""
        drawn = [self.files, self.report, self.look]
        slow = self._private | {"show_progress": "minimal", "concurrency_limit": 8}
        tab.select(self.on_show, [self.look, self.model], [self.files, self.model], **self._private)
        self.files.open(self.on_open, [self.model], drawn, **slow).then(
            None, js="() => luthier.show('file-report')", **self._private
        )
        self.add.upload(self.on_add, [self.add, self.model], drawn, **slow)
        self.model.change(self.on_model, [self.look, self.model], drawn, **slow)
        self.report.open(self.on_act, [self.look], [*drawn, tabs, ask], **slow)

    def on_show(self, look: Look | None, model: str | None) -> list[Any]:
        """List the files, and the models whose tokenizer is on this machine."""
        try:
            listed = self.desk.call("list_models", limit=_MOST_MODELS).document()["models"]
        except ToolError:
            listed = []
        here = [STARTER, *(str(m["name"]) for m in listed if m.get("here"))]
        choices = list(dict.fromkeys([*here, *([model] if model else [])]))
        return [file_list(self.desk, look.path if look else None), gr.update(choices=choices)]

    def on_open(self, model: str | None, event: gr.EventData) -> list[Any]:
        """Look at the file that was clicked."""
        return self._draw(Look(str(event.key), model=model))

    def on_add(self, files: Sequence[str], model: str | None) -> list[Any]:
        """Keep new files and look at the first."""
        try:
            kept = keep_uploads(self.desk.settings, files or ())
        except ToolError as error:
            return [gr.skip(), problem_card(error.problem, error.hint), gr.skip()]
        return self._draw(Look(str(kept[0]), model=model)) if kept else [gr.skip()] * 3

    def on_model(self, look: Look | None, model: str | None) -> list[Any]:
        """Count and look through the lens as another model reads."""
        if look is None or (model or STARTER) == (look.model or STARTER):
            return [gr.skip()] * 3
        return self._draw(replace(look, model=model))

    def on_act(self, look: Look | None, event: gr.EventData) -> list[Any]:
        """Do what a button of the report offers."""
        act, _, which = str(event.key).partition(":")
        stay = [gr.skip(), gr.skip()]
        if look is None:
            return [*[gr.skip()] * 3, *stay]
        match act:
            case "fix":
                return [*self._fix(look, [look.fixes[int(which)]]), *stay]
            case "fix-all":
                return [*self._fix(look, look.fixes), *stay]
            case "prepare":
                return [*self._fix(look, []), *stay]
            case "read":
                return [
                    *self._draw(replace(look, reading=reading_of(look.others[int(which)]))),
                    *stay,
                ]
            case "tune":
                said = {"text": f"Tune a model on {look.path}", "files": []}
                return [*[gr.skip()] * 3, gr.update(selected="chat"), gr.update(value=said)]
        return [*[gr.skip()] * 3, *stay]

    def _fix(self, look: Look, fixes: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Prepare a new version with these cures and look at it; the source is not touched.

        A prepared version keeps the cures it has; these are added to them.
        """
        arguments = look.reading | combine(fixes)
        try:
            made = self.desk.call("prepare_dataset", path=look.path, **arguments).document()
        except ToolError as error:
            # The stamp makes the same problem, met twice, a new drawing that frees the buttons.
            stamp = f"<!-- {time.time_ns()} -->"
            card = problem_card(error.problem, error.hint, "This could not be fixed")
            return [gr.skip(), stamp + card + self._shown(look)[0], look]
        files, report, seen = self._draw(Look(str(made["version"]), model=look.model))
        return [files, made_card(made, look.rows or None) + report, seen]

    def _draw(self, look: Look) -> list[Any]:
        shown, seen = self._shown(look)
        return [file_list(self.desk, look.path), shown, seen]

    def _shown(self, look: Look) -> tuple[str, Look]:
        try:
            document, no_lens = self._inspect(look)
        except ToolError as error:
            card = problem_card(error.problem, error.hint, "This file cannot be used as it is")
            return card, replace(look, rows=0, fixes=(), others=())
        problems = document.get("problems") or ()
        seen = replace(
            look,
            rows=int(document.get("rows") or 0),
            fixes=tuple(dict(problem.get("fix_arguments") or {}) for problem in problems),
            others=tuple(document.get("alternatives") or ())[:2],
        )
        return dataset_report(Path(look.path).name, document, no_lens=no_lens), seen

    def _inspect(self, look: Look) -> tuple[dict[str, Any], str]:
        """Return the inspection with the lens, or without it and why."""
        wanted: dict[str, Any] = {"path": look.path, **look.reading}
        if look.model and look.model != STARTER:
            wanted["model"] = look.model
        try:
            return dict(self.desk.call("inspect_dataset", lens=True, **wanted).document()), ""
        except ToolError as error:
            seen = self.desk.call("inspect_dataset", **wanted)
            return dict(seen.document()), f"{error.problem} {error.hint}"


def reading_of(other: Mapping[str, Any]) -> dict[str, str]:
    """Return another reading as the columns that `inspect_dataset` takes."""
    columns = other.get("columns") or {}
    by_role = {role: column for column, role in columns.items()}
    wanted = {"input_column": "input", "output_column": "output"}
    return {name: by_role[role] for name, role in wanted.items() if role in by_role}
