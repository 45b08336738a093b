"""One inspection as HTML: what it is, problems with their fixes, rows, shapes, the lens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ui.web.cards import facts
from ui.web.data_shapes import labels_card, lengths_card
from ui.web.escape import h, shorten, with_code
from ui.web.lens import lens_card
from ui.web.words import percent

_UNUSED = ("ignored", "id")
_SURE = 0.8
"""Below this the other reading is offered."""


def dataset_report(name: str, document: Mapping[str, Any], *, no_lens: str = "") -> str:
    """Return an inspection: verdict first, then problems, three mapped rows, shapes, lens.

    Args:
        no_lens: Why the lens could not be drawn, where it could not.
    """
    parts = [
        _what_it_is(name, document),
        _problems(document),
        _preview(document.get("preview") or ()),
        labels_card(document.get("label_counts") or {}),
        lengths_card(document),
        lens_card(document.get("lens"), document.get("lens_about"), no_lens),
    ]
    return f'<section class="report" aria-label="Report on {h(name)}">{"".join(parts)}</section>'


def made_card(made: Mapping[str, Any], before: int | None = None) -> str:
    """Return what a fix made: the new version and its counts, step by step.

    Args:
        before: Rows of what was fixed.
    """
    splits = made.get("splits") or {}
    counts = ", ".join(f"{count:,} {_SPLITS.get(name, name)}" for name, count in splits.items())
    rows = f"{made.get('rows', 0):,} rows"
    if before is not None and before != made.get("rows"):
        rows = f"{before:,} → {rows}"
    steps = "".join(_step(step) for step in made.get("steps") or ())
    return (
        f'<section class="card made" role="status"><h3>Made {h(made.get("version"))}</h3>'
        f"<p>{h(rows)}: {h(counts)}. The source was not changed.</p>"
        f'<table class="steps"><tbody>{steps}</tbody></table></section>'
    )


_SPLITS = {"train": "to train on", "validation": "held out to judge by", "test": "kept for a test"}


def _step(step: Mapping[str, Any]) -> str:
    before, after = step.get("rows_before", 0), step.get("rows_after", 0)
    change = f"{before:,} → {after:,}" if before != after else f"{after:,}"
    css = ' class="fewer"' if after < before else ""
    return (
        f'<tr{css}><th scope="row">{h(_words(step.get("name")))}</th>'
        f'<td class="num">{h(change)}</td><td class="quiet">{h(step.get("note") or "")}</td></tr>'
    )


def _what_it_is(name: str, document: Mapping[str, Any]) -> str:
    confidence = document.get("format_confidence")
    sure = f", {percent(confidence)} sure" if isinstance(confidence, int | float) else ""
    splits = document.get("splits") or {}
    about = "about " if document.get("sampled") else ""
    columns = document.get("columns") or {}
    pairs = [
        ("rows", f"{about}{document.get('rows', 0):,}"),
        ("file", str(document.get("file") or "")),
        ("task", _words(document.get("task"))),
        ("splits", ", ".join(f"{k} {v:,}" for k, v in splits.items() if isinstance(v, int))),
        ("language", ", ".join(document.get("languages") or ())),
    ]
    pairs += [(_words(role), column) for column, role in columns.items() if role not in _UNUSED]
    unused = [column for column, role in columns.items() if role in _UNUSED]
    pairs.append(("not used", ", ".join(unused)))
    reason = str(document.get("reason") or "")
    because = f'<p class="quiet">Because {h(reason)}.</p>' if reason else ""
    return (
        f'<section class="card"><h2>{h(name)}</h2>'
        f'<p class="lead">{h(_words(document.get("format")).capitalize())}{h(sure)}</p>'
        f"{because}{facts(pairs)}{_readings(document)}{_next(document)}</section>"
    )


def _readings(document: Mapping[str, Any]) -> str:
    """Offer the other readings where the first is not sure."""
    others = list(document.get("alternatives") or ())[:2]
    if not others or float(document.get("format_confidence") or 0) >= _SURE:
        return ""
    items = "".join(
        f"<li><span>{h(_words(other.get('format')))}: {h(_roles(other))}</span>"
        f'<button type="button" class="small" data-key="read:{index}">Read it so</button></li>'
        for index, other in enumerate(others)
    )
    return f'<div class="readings"><p>It could also be read as:</p><ul>{items}</ul></div>'


def _roles(reading: Mapping[str, Any]) -> str:
    columns = reading.get("columns") or {}
    return ", ".join(
        f"{column} = {role}" for column, role in columns.items() if role not in _UNUSED
    )


def _next(document: Mapping[str, Any]) -> str:
    said = f'<p class="next">{h(document.get("next_step") or "")}</p>'
    if not document.get("objective"):
        return said
    buttons = '<button type="button" class="small go" data-key="tune">Tune a model on it</button>'
    if not document.get("version"):
        buttons += (
            '<button type="button" class="small" data-key="prepare" data-busy="Preparing">'
            "Prepare and split it</button>"
        )
    return f'{said}<p class="acts">{buttons}</p>'


def _problems(document: Mapping[str, Any]) -> str:
    problems: Sequence[Mapping[str, Any]] = document.get("problems") or ()
    if not problems:
        return (
            '<section class="card"><h3>Problems</h3>'
            '<p class="quiet">None found. The data can be used as it is.</p></section>'
        )
    fixable = [problem for problem in problems if problem.get("fix_arguments")]
    all_of_them = (
        f'<button type="button" class="small" data-key="fix-all" data-busy="Fixing">'
        f"Fix all {len(fixable)}</button>"
        if len(fixable) > 1
        else ""
    )
    items = "".join(_problem(index, problem) for index, problem in enumerate(problems))
    return (
        f'<section class="card"><header class="spread"><h3>Problems</h3>{all_of_them}</header>'
        f'<p class="quiet">A fix writes a new version; the file stays as it is.</p>'
        f'<ul class="problems">{items}</ul></section>'
    )


def _problem(index: int, problem: Mapping[str, Any]) -> str:
    rows = [str(row) for row in list(problem.get("rows") or ())[:5]]
    count = int(problem.get("count") or 0)
    more = ", …" if count > len(rows) else ""
    where = f'<span class="quiet">rows {h(", ".join(rows))}{more}</span>' if rows else ""
    severity = str(problem.get("severity", "info"))
    name = _words(problem.get("code"))
    fix = (
        f'<button type="button" class="small" data-key="fix:{index}" data-busy="Fixing"'
        f' aria-label="Fix {h(name)}">Fix</button>'
        if problem.get("fix_arguments")
        else ""
    )
    return (
        f'<li class="{h(severity)}"><span class="sev">{h(severity)}</span><div>'
        f"<p><b>{h(name[:1].upper() + name[1:])}</b> <span class='num'>{count:,}</span> {where}</p>"
        f"<p>{h(problem.get('message'))}</p>"
        f'<p class="next">{with_code(problem.get("fix") or "")}</p></div>{fix}</li>'
    )


def _preview(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    items = "".join(f"<li>{_turns(row)}</li>" for row in rows[:3])
    return (
        '<section class="card"><h3>Three rows as they will be trained</h3>'
        f'<ol class="preview">{items}</ol></section>'
    )


def _turns(row: Mapping[str, Any]) -> str:
    """Show one mapped row: what is asked, and what is learnt to answer."""
    said = (("asked", row.get("asked")), ("answer", row.get("answer")))
    turns = "".join(
        f'<div class="turn turn-{role}"><span>{role}</span>'
        f"<p>{h(shorten(str(text), 400))}</p></div>"
        for role, text in said
        if text
    )
    return f'<span class="rowno">row {h(row.get("row", ""))}</span><div>{turns}</div>'


def _words(value: Any) -> str:
    return str(value or "unknown").replace("_", " ").replace("html", "HTML")
