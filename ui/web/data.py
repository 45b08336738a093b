"""The Data page: what a file is, how sure that is, what is wrong with it, and fixes at a click."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

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


@dataclass(frozen=True)
class Look:
    """What the page shows: which data, read how, and what can be done about its problems.

    Attributes:
        reading: Columns as chosen by the person, where the first reading was not theirs.
        fixes: Arguments of `prepare_dataset` for each problem, in the order shown.
    """

    path: str
    rows: int = 0
    reading: dict[str, str] = field(default_factory=dict)
    fixes: tuple[dict[str, Any], ...] = ()
    others: tuple[dict[str, Any], ...] = ()


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
        tab.select(self.on_show, [self.look], [self.files], **self._private)
        self.files.open(self.on_open, None, drawn, **slow).then(
            None, js="() => luthier.show('file-report')", **self._private
        )
        self.add.upload(self.on_add, [self.add], drawn, **slow)
        self.report.open(self.on_act, [self.look], [*drawn, tabs, ask], **slow)

    def on_show(self, look: Look | None) -> str:
        """List the files."""
        return file_list(self.desk, look.path if look else None)

    def on_open(self, event: gr.EventData) -> list[Any]:
        """Look at the file that was clicked."""
        return self._draw(str(event.key))

    def on_add(self, files: Sequence[str]) -> list[Any]:
        """Keep new files and look at the first."""
        try:
            kept = keep_uploads(self.desk.settings, files or ())
        except ToolError as error:
            return [gr.skip(), problem_card(error.problem, error.hint), gr.skip()]
        return self._draw(str(kept[0])) if kept else [gr.skip()] * 3

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
                return [*self._draw(look.path, reading_of(look.others[int(which)])), *stay]
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
            return [gr.skip(), stamp + card + self._shown(look.path, look.reading)[0], look]
        files, report, seen = self._draw(str(made["version"]))
        return [files, made_card(made, look.rows or None) + report, seen]

    def _draw(self, path: str, reading: dict[str, str] | None = None) -> list[Any]:
        shown, look = self._shown(path, reading or {})
        return [file_list(self.desk, path), shown, look]

    def _shown(self, path: str, reading: dict[str, str]) -> tuple[str, Look]:
        try:
            document, no_lens = self._inspect(path, reading)
        except ToolError as error:
            card = problem_card(error.problem, error.hint, "This file cannot be used as it is")
            return card, Look(path)
        problems = document.get("problems") or ()
        look = Look(
            path,
            int(document.get("rows") or 0),
            reading,
            tuple(dict(problem.get("fix_arguments") or {}) for problem in problems),
            tuple(document.get("alternatives") or ())[:2],
        )
        return dataset_report(Path(path).name, document, no_lens=no_lens), look

    def _inspect(self, path: str, reading: dict[str, str]) -> tuple[dict[str, Any], str]:
        """Return the inspection with the lens, or without it and why."""
        try:
            seen = self.desk.call("inspect_dataset", path=path, lens=True, **reading)
            return dict(seen.document()), ""
        except ToolError as error:
            seen = self.desk.call("inspect_dataset", path=path, **reading)
            return dict(seen.document()), f"{error.problem} {error.hint}"


def reading_of(other: Mapping[str, Any]) -> dict[str, str]:
    """Return another reading as the columns that `inspect_dataset` takes."""
    columns = other.get("columns") or {}
    by_role = {role: column for column, role in columns.items()}
    wanted = {"input_column": "input", "output_column": "output"}
    return {name: by_role[role] for name, role in wanted.items() if role in by_role}
