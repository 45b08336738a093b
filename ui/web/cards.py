"""Cards in the conversation: a plan that waits, a verdict, an export, a problem. All escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tools.evaluate.judgement import Judgement
from tools.history.approvals import Approval
from tools.history.jobs import JobRecord
from ui.web.escape import h, shorten
from ui.web.verdict import verdict_card
from ui.web.words import DASH, number

_QUESTIONS = {
    "start_training": "Start this training?",
    "forget": "Delete these files for good?",
    "network": "Reach beyond this machine?",
}
_DECIDED = {
    "granted": "Approved",
    "declined": "Declined; nothing was started",
    "superseded": "Replaced by a newer plan",
    "expired": "Expired; ask again for a fresh plan",
    "void": "Void: the data changed since the plan was made",
}


def facts(pairs: Sequence[tuple[str, str]], css: str = "facts") -> str:
    """Return a list of label and value; both are escaped."""
    rows = "".join(f"<div><dt>{h(k)}</dt><dd>{h(v)}</dd></div>" for k, v in pairs if v)
    return f'<dl class="{css}">{rows}</dl>'


def approval_card(approval: Approval) -> str:
    """Return the card of a plan that waits: what will run, on what, at what cost."""
    title = _QUESTIONS.get(approval.action, "Go ahead?")
    pairs = [(_label(key), _text(value)) for key, value in approval.card.items()]
    return (
        f'<section class="card ask" aria-label="{h(title)}"><h3>{h(title)}</h3>'
        f'<p class="subject">{h(approval.subject)}</p>{facts(pairs)}'
        f'<p class="hash">plan <code title="{h(approval.plan_hash)}">'
        f"{h(approval.plan_hash[:8])}</code>: exactly this, once</p></section>"
    )


def approval_line(approval: Approval) -> str:
    """Return what became of a plan, in one line, for its place in the conversation."""
    said = _DECIDED.get(approval.state, "Waits for your answer below")
    outcome = f": {approval.outcome}" if approval.state == "granted" and approval.outcome else ""
    return (
        f'<p class="decided {h(approval.state)}"><b>{h(said)}{h(outcome)}</b>'
        f" <span>{h(shorten(approval.subject, 90))}</span>"
        f' <code title="{h(approval.plan_hash)}">plan {h(approval.plan_hash[:8])}</code></p>'
    )


def problem_card(message: str, hint: str, title: str = "That did not work") -> str:
    """Return a failure: what happened and what to do."""
    return (
        f'<section class="card problem" role="alert"><h3>{h(title)}</h3>'
        f"<p>{h(message)}</p><p class='next'>{h(hint)}</p></section>"
    )


def job_card(job: JobRecord, told: str, judgement: Judgement | None = None) -> str:
    """Return the card for a job that ended; the judgement adds rows that changed most."""
    if job.state != "succeeded":
        return _unfinished_card(job, told)
    if job.kind == "export":
        return _export_card(job)
    return verdict_card(job, judgement, facts)


def _export_card(job: JobRecord) -> str:
    files = "".join(
        f"<div><dt>{h(model_title(str(name)))}</dt><dd><code>{h(path)}</code></dd></div>"
        for name, path in job.artifacts.items()
    )
    return (
        f'<section class="card export" aria-label="Export {h(job.id)}"><header>'
        f'<span class="word good">verified</span><span>{h(job.id)}</span></header>'
        "<p>It answers as the tuned model does; the parity gate passed.</p>"
        f'{_parity(job.metrics)}<dl class="facts files">{files}</dl></section>'
    )


_PARITY_COLUMNS = (
    ("agreement", "same answers"), ("correct", "right answers"), ("size_mb", "size"),
)  # fmt: skip


def _parity(metrics: Mapping[str, Any]) -> str:
    """Return one row per exported form: how alike, how right, how large, how fast."""
    parity = metrics.get("parity")
    measures = parity.get("measures", {}) if isinstance(parity, Mapping) else {}
    speeds = metrics.get("tokens_per_second") or {}
    forms = [k for k in ("torch", "merged", "onnx_fp32", "onnx_fp16", "onnx_int4")
             if k in speeds or f"{k}_agreement" in measures]  # fmt: skip
    rows = []
    for form in forms:
        cells = [_parity_cell(key, measures.get(f"{form}_{key}")) for key, _ in _PARITY_COLUMNS]
        cells.append(f"{speeds[form]:,.0f} tokens/s" if form in speeds else DASH)
        shown = "".join(f'<td class="num">{h(cell)}</td>' for cell in cells)
        name = "PyTorch" if form == "torch" else model_title(form)
        rows.append(f'<tr><th scope="row">{h(name)}</th>{shown}</tr>')
    heads = "".join(f'<th scope="col">{name}</th>' for _, name in _PARITY_COLUMNS)
    n = measures.get("prompts")
    under = f'<p class="quiet">Compared on {n:,} held-out prompts.</p>' if n else ""
    return (
        f'<table class="parity"><thead><tr><td></td>{heads}<th scope="col">speed</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>{under}"
    )


def _parity_cell(key: str, value: Any) -> str:
    if value is None:
        return DASH
    return f"{value:.1f} MB" if key == "size_mb" else f"{value * 100:.1f} %"


def answers_card(report: Mapping[str, Any]) -> str:
    """Return the answers of base, tuned and exported model side by side; all untrusted."""
    columns = []
    for answer in report.get("answers") or ():
        key = str(answer.get("target", ""))
        title = model_title(key)
        said = str(answer.get("text") or "").strip() or str(answer.get("error") or "")
        columns.append(
            f"<article><h4>{h(title)}</h4><p class='said'>{h(shorten(said, 1200)) or DASH}</p>"
            f'<p class="quiet">{h(speed(answer.get("first_token_s"), answer.get("tokens_per_s")))}'
            "</p></article>"
        )
    return (
        f'<section class="card trial" aria-label="Answers"><p class="quiet">'
        f"<q>{h(shorten(str(report.get('prompt', '')), 300))}</q></p>"
        f'<div class="columns">{"".join(columns)}</div></section>'
    )


def model_title(key: str) -> str:
    """Return what people call `base`, `tuned`, `onnx_int4`."""
    words = key.replace("onnx_", "ONNX ")
    return words if words.startswith("ONNX") else words.capitalize()


def speed(first_token_s: float | None, tokens_per_s: float | None) -> str:
    """Return time to the first token and tokens per second, where measured."""
    parts = []
    if first_token_s is not None:
        parts.append(f"first token {first_token_s * 1000:.0f} ms")
    if tokens_per_s is not None:
        parts.append(f"{tokens_per_s:,.0f} tokens/s")
    return ", ".join(parts)


def _unfinished_card(job: JobRecord, told: str) -> str:
    error = job.error or {}
    refused = error.get("refused_by")
    word = f"refused by the {refused} gate" if refused else job.state
    return (
        f'<section class="card problem" aria-label="{h(job.id)} {h(job.state)}"><header>'
        f'<span class="word bad">{h(word)}</span><span>{h(job.id)}</span></header>'
        f"<p>{h(error.get('message') or told)}</p>"
        f"<p class='next'>{h(error.get('hint') or '')}</p></section>"
    )


def _label(key: str) -> str:
    return key.replace("_", " ")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{_label(str(k))} {_text(v)}" for k, v in value.items())
    return DASH if value is None else str(value)
