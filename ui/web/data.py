"""The Data page: what a file is, how sure that is, what it holds, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from tools.errors import ToolError
from tools.shipped import shipped
from ui.web import tables
from ui.web.cards import facts, problem_card
from ui.web.charts import bars, length_scale
from ui.web.desk import Desk
from ui.web.escape import h, shorten
from ui.web.security import DATA_ENDINGS, keep_uploads
from ui.web.words import percent, size

_MOST_FILES = 60
_CHOOSE = tables.empty(
    "Choose a file",
    "Pick one from the list, add your own, or drop it into the chat. Nothing in it is changed.",
)


class DataPage:
    """Builds the page inside the present Blocks and wires it."""

    def __init__(self, desk: Desk, private: dict[str, Any]) -> None:
        self.desk = desk
        self._private = private
        self.chosen = gr.State(None)
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
                self.report = gr.HTML(_CHOOSE, elem_id="file-report", apply_default_css=False)

    def wire(self, tab: gr.Tab) -> None:
        """Connect everything that can happen on this page."""
        drawn = [self.files, self.report, self.chosen]
        tab.select(self.on_show, [self.chosen], [self.files], **self._private)
        self.files.open(self.on_open, None, drawn, **(self._private | {"show_progress": "minimal"}))
        self.add.upload(self.on_add, [self.add], drawn, **self._private)

    def on_show(self, chosen: str | None) -> str:
        """List the files."""
        return file_list(self.desk, chosen)

    def on_open(self, event: gr.EventData) -> list[Any]:
        """Look at the file that was clicked."""
        return self._look(str(event.key))

    def on_add(self, files: Sequence[str]) -> list[Any]:
        """Keep new files and look at the first."""
        try:
            kept = keep_uploads(self.desk.settings, files or ())
        except ToolError as error:
            return [gr.skip(), problem_card(error.problem, error.hint), gr.skip()]
        return self._look(str(kept[0])) if kept else [gr.skip()] * 3

    def _look(self, path: str) -> list[Any]:
        try:
            document = self.desk.call("inspect_dataset", path=path).document()
            shown = dataset_report(Path(path).name, document)
        except ToolError as error:
            shown = problem_card(error.problem, error.hint, "This file cannot be used as it is")
        return [file_list(self.desk, path), shown, path]


def file_list(desk: Desk, chosen: str | None) -> str:
    """Return uploads, prepared versions and samples as a list of buttons."""
    groups = [
        ("Your files", [(p.name, str(p), size(p.stat().st_size)) for p in _uploads(desk)]),
        (
            "Prepared versions",
            [
                (record.id, record.id, f"{sum(record.manifest.get('splits', {}).values()):,} rows")
                for record in desk.store.datasets(limit=_MOST_FILES)
            ],
        ),
        (
            "Samples",
            [
                (p.name, f"data/samples/{p.name}", size(p.stat().st_size))
                for p in sorted(shipped("samples").iterdir())
                if p.suffix in DATA_ENDINGS and p.suffix != ".md"
            ],
        ),
    ]
    parts = []
    for title, members in groups:
        if not members:
            continue
        items = "".join(
            f'<li><button type="button" data-key="{h(path)}"'
            f"{' aria-current=true' if path == chosen else ''}><span>{h(name)}</span>"
            f"<small>{h(note)}</small></button></li>"
            for name, path, note in members
        )
        parts.append(f"<h3>{h(title)}</h3><ul>{items}</ul>")
    return f'<nav aria-label="Files">{"".join(parts)}</nav>'


def _uploads(desk: Desk) -> list[Path]:
    folder = desk.settings.home / "uploads"
    if not folder.is_dir():
        return []
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    return sorted(files, key=lambda p: p.stat().st_mtime, reverse=True)[:_MOST_FILES]


def dataset_report(name: str, document: Mapping[str, Any]) -> str:
    """Return an inspection: verdict first, then three mapped rows, shapes, problems."""
    parts = [
        _what_it_is(name, document),
        _problems(document.get("problems") or ()),
        _preview(document.get("preview") or ()),
        _labels(document.get("label_counts") or {}),
        _lengths(document.get("token_lengths") or {}),
    ]
    return f'<section class="report" aria-label="Report on {h(name)}">{"".join(parts)}</section>'


def _what_it_is(name: str, document: Mapping[str, Any]) -> str:
    confidence = document.get("format_confidence")
    sure = f", {percent(confidence)} sure" if isinstance(confidence, int | float) else ""
    splits = document.get("splits") or {}
    about = "about " if document.get("sampled") else ""
    pairs = [
        ("rows", f"{about}{document.get('rows', 0):,}"),
        ("file", str(document.get("file") or "")),
        ("task", _words(document.get("task"))),
        ("splits", ", ".join(f"{k} {v:,}" for k, v in splits.items() if isinstance(v, int))),
    ]
    columns = document.get("columns") or {}
    pairs += [(role, column) for column, role in columns.items() if role != "ignored"]
    reason = document.get("reason") or ""
    return (
        f'<section class="card"><h2>{h(name)}</h2>'
        f'<p class="lead">{h(_words(document.get("format")))}{h(sure)}</p>'
        f'<p class="quiet">{h(reason)}</p>{facts(pairs)}'
        f'<p class="next">{h(document.get("next_step") or "")}</p></section>'
    )


def _problems(problems: Sequence[Mapping[str, Any]]) -> str:
    if not problems:
        return (
            '<section class="card"><h3>Problems</h3>'
            '<p class="quiet">None found. The data can be prepared as it is.</p></section>'
        )
    items = []
    for problem in problems:
        rows = ", ".join(str(row) for row in list(problem.get("rows") or ())[:5])
        where = f' <span class="quiet">rows {h(rows)}</span>' if rows else ""
        severity = str(problem.get("severity", "info"))
        items.append(
            f'<li class="{h(severity)}"><span class="sev">{h(severity)}</span><div>'
            f"<p>{h(problem.get('message'))}{where}</p>"
            f'<p class="next">{h(problem.get("fix"))}</p></div></li>'
        )
    return (
        f'<section class="card"><h3>Problems</h3><ul class="problems">{"".join(items)}</ul>'
        "</section>"
    )


def _preview(rows: Sequence[Any]) -> str:
    if not rows:
        return ""
    items = "".join(f"<li>{_turns(row)}</li>" for row in rows[:3])
    return (
        '<section class="card"><h3>Three rows as the model will see them</h3>'
        f'<ol class="preview">{items}</ol></section>'
    )


def _turns(row: Mapping[str, Any]) -> str:
    """Show one mapped row: what is asked, and what is learnt to answer."""
    said = (("asked", row.get("asked")), ("answer", row.get("answer")))
    return "".join(
        f'<div class="turn"><span>{h(role)}</span><p>{h(shorten(str(text), 400))}</p></div>'
        for role, text in said
        if text
    )


def _labels(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return f'<section class="card"><h3>Labels</h3>{bars(ranked)}</section>'


def _lengths(lengths: Mapping[str, Any]) -> str:
    if not lengths:
        return ""
    marks = [(name, lengths[name]) for name in ("p50", "p95", "p99", "max")]
    cuts = [(int(length), share) for length, share in (lengths.get("cut") or {}).items() if share]
    cut = "".join(
        f"<li>at {length:,} tokens {percent(share)} of the rows are cut</li>"
        for length, share in sorted(cuts)[-4:]
    )
    epoch = facts([("one pass", f"{lengths.get('per_epoch', 0):,} tokens")])
    return (
        f'<section class="card"><h3>Length in tokens</h3>{length_scale(marks)}'
        f'<ul class="cuts">{cut}</ul>{epoch}'
        f'<p class="quiet">{h(lengths.get("basis"))}</p></section>'
    )


def _words(value: Any) -> str:
    return str(value or "unknown").replace("_", " ")
