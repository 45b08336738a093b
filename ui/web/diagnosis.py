"""What a diagnosis found: causes with evidence, a small plot, and each cure as a diff to start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ui.web.escape import h, shorten, with_code
from ui.web.plot import Plot, linear, steps_to
from ui.web.words import DASH, number, percent

_LOSS, _MEMORY, _SPEED = ("loss", "eval_loss"), ("memory_gib",), ("tokens_per_s",)
_ABOUT = {
    "oom_gpu": _MEMORY, "oom_ram": _MEMORY, "oom_eval": _MEMORY, "oom_checkpoint": _MEMORY,
    "memory_growth": _MEMORY, "fragmentation": _MEMORY, "padding_waste": _SPEED,
    "loader_bound": _SPEED, "tokenizer_bound": _SPEED, "no_mixed_precision": _SPEED,
    "eval_dominates": _SPEED, "tiny_batch": _SPEED,
}  # fmt: skip
"""Which curve shows a cause; the losses where none is named."""
_NAMES = {
    "loss": "training loss", "eval_loss": "validation loss", "memory_gib": "memory in GiB",
    "tokens_per_s": "tokens per second",
}  # fmt: skip
_LINES = {"loss": "train", "eval_loss": "validation"}
_MOST_CAUSES = 3


def diagnosis_card(document: Mapping[str, Any], *, can_start: bool = True) -> str:
    """Return a `diagnose_run` report; quotes from logs are untrusted and escaped.

    Args:
        can_start: Offer each cure with a button; in the chat a word starts it.
    """
    causes: Sequence[Mapping[str, Any]] = document.get("causes") or ()
    compared = _comparison(document.get("comparison"))
    if not causes:
        word, tone, said = _without_cause(document)
        return (
            f'<section class="card diagnosis" role="status"><header><span class="word {tone}">'
            f"{word}</span><span>{h(document.get('subject'))}</span></header><p>{h(said)}</p>"
            f"{_ended_with(document)}"
            f"{compared}{_plot(document, _LOSS)}{_asks(document)}</section>"
        )
    shown = "".join(
        _cause(index, cause, document, can_start)
        for index, cause in enumerate(causes[:_MOST_CAUSES])
    )
    return (
        '<section class="card diagnosis" role="status" aria-label="Diagnosis"><header>'
        f'<span class="word bad">{h(_sentence(causes[0]))}</span>'
        f"<span>{h(document.get('subject'))}</span></header>{compared}{shown}{_asks(document)}"
        "</section>"
    )


def _without_cause(document: Mapping[str, Any]) -> tuple[str, str, str]:
    if document.get("healthy"):
        return "healthy", "good", "Nothing in its evidence speaks for a fault."
    return "cannot tell", "plain", "The evidence does not suffice to name a cause."


def _ended_with(document: Mapping[str, Any]) -> str:
    last = str(document.get("ended_with") or "")
    quoted = f'<blockquote class="quote">{h(shorten(last, 400))}</blockquote>'
    return f"<p>It ended with:</p>{quoted}" if last else ""


def _sentence(cause: Mapping[str, Any]) -> str:
    return str(cause.get("title") or cause.get("code") or "")


def _cause(
    index: int, cause: Mapping[str, Any], document: Mapping[str, Any], can_start: bool
) -> str:
    sure = float(cause.get("confidence") or 0)
    evidence = "".join(_evidence(item) for item in cause.get("evidence") or ())
    title = f"<h3>{h(_sentence(cause))}</h3>" if index else "<h3>Evidence</h3>"
    plot = _plot(document, _ABOUT.get(str(cause.get("code")), _LOSS)) if index == 0 else ""
    body = (
        f'<div class="found"><ul class="evidence">{evidence}</ul>{plot}</div>'
        f"{_cure(index, cause.get('cure') or {}, can_start)}"
    )
    meter = (
        f'<span class="sure" title="confidence"><i style="width:{sure * 100:.0f}%"></i></span>'
        f'<span class="num quiet">{percent(sure)} sure</span>'
    )
    if index == 0:
        return f'<div class="cause"><p class="surely">{meter}</p>{title}{body}</div>'
    return (
        f'<details class="cause" data-keep="cause-{index}"><summary>Less likely:'
        f' {h(_sentence(cause))} <span class="surely">{meter}</span></summary>{body}</details>'
    )


def _evidence(item: Mapping[str, Any]) -> str:
    quote = str(item.get("quote") or "")
    said = f'<blockquote class="quote">{h(shorten(quote, 400))}</blockquote>' if quote else ""
    return f"<li>{h(item.get('text'))}{said}</li>"


def _cure(index: int, cure: Mapping[str, Any], can_start: bool) -> str:
    changes: Mapping[str, Sequence[Any]] = cure.get("changes") or {}
    rows = "".join(
        f'<tr><th scope="row">{h(name.replace("_", " "))}</th><td class="old">'
        f'<del>{h(_value(pair[0]))}</del></td><td class="new"><ins>{h(_value(pair[1]))}</ins></td>'
        "</tr>"
        for name, pair in changes.items()
    )
    table = f'<table class="diff" aria-label="What changes">{rows}</table>' if rows else ""
    todo = f"<p>{with_code(str(cure['todo']))}</p>" if cure.get("todo") else ""
    start = (
        f'<button type="button" class="small go" data-key="cure:{index}" data-busy="Planning">'
        "Start the cure</button>"
        if can_start and cure.get("arguments")
        else ""
    )
    return (
        f'<div class="cure"><h3>Cure</h3>{table}{todo}<p>{h(cure.get("predicted") or "")}</p>'
        f'<p class="quiet">{h(cure.get("why") or "")}</p>{start}</div>'
    )


def _comparison(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    worked = found.get("worked")
    word, tone = "Not comparable", "plain"
    if worked is not None:
        word = "The cure worked" if worked else "The cure did not work"
        tone = "good" if worked else "bad"
    figures = ""
    if found.get("before") is not None and found.get("after") is not None:
        figures = (
            f'<span class="num">{h(str(found.get("measure", "")).replace("_", " "))}'
            f" {number(found['before'], 3)} → {number(found['after'], 3)}</span>"
        )
    said = h(found.get("text") or "")
    return f'<div class="cured {tone}"><b>{word}</b> {figures}<p>{said}</p></div>'


def _asks(document: Mapping[str, Any]) -> str:
    asks = "".join(f"<li>{h(ask)}</li>" for ask in document.get("asks") or ())
    more = f'<p class="quiet">To tell more:</p><ul>{asks}</ul>' if asks else ""
    looked = ", ".join(str(part) for part in document.get("looked_at") or ())
    return more + (f'<p class="quiet">Looked at: {h(looked)}.</p>' if looked else "")


def _plot(document: Mapping[str, Any], names: Sequence[str]) -> str:
    series = document.get("series") or {}
    lines = {name: [(float(x), float(y)) for x, y in series.get(name) or ()] for name in names}
    points = [point for line in lines.values() for point in line]
    if len(points) < 2:
        return ""
    words = ", ".join(
        f"{_NAMES[name]} from {line[0][1]:.3g} to {line[-1][1]:.3g}"
        for name, line in lines.items()
        if line
    )
    plot = Plot(
        steps_to(max(x for x, _ in points)), linear([y for _, y in points], parts=2),
        f"{words}.", tall=130, x_name="step",
    )  # fmt: skip
    for step in series.get("marks") or ():
        plot.upright(plot.x.at(float(step)), "seen", f"step {step}")
    for name, line in lines.items():
        if line:
            plot.line(line, _LINES.get(name, "gauge"), _NAMES[name])
    keys = "".join(
        f'<span><i class="{_LINES.get(name, "train")}"></i>{_NAMES[name]}</span>'
        for name, line in lines.items()
        if line
    )
    return f'<figure>{plot.html()}<p class="keys">{keys}</p></figure>'


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or DASH
    return str(value)
