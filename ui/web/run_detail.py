"""Everything about one run: how it stands or what came out, its curves, plan, files and log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.errors import NotFound
from tools.evaluate.stored import stored_judgement
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED, AdaptersSpec, SearchSpec, run_of
from tools.jobs.parts import adapter_rows
from tools.jobs.trials import trial_rows
from tools.jobs.words import headline
from ui.web import tables
from ui.web.cards import facts, job_card
from ui.web.desk import Desk
from ui.web.escape import h
from ui.web.live import Life, Lives
from ui.web.panel import log_tail, run_panel
from ui.web.plot import short
from ui.web.run_charts import run_charts
from ui.web.search import search_card
from ui.web.words import DASH

_NOT_SHOWN = {"kind", "schema_version", "dataset_fingerprint", "base", "space", "labels"}
_ALWAYS = {
    "goal", "dataset", "model", "method", "rank", "alpha", "epochs", "learning_rate", "batch_size",
    "max_length", "seed", "job",
}  # fmt: skip
"""What a plan is known by; the rest is shown only where it is not the usual value."""


def run_detail(desk: Desk, lives: Lives, job: JobRecord) -> str:
    """Return everything about one job."""
    life = lives.of(desk.store, job.id)
    parts = [_outcome(desk, job, life)]
    if isinstance(job.spec, SearchSpec):
        events = desk.store.jobs.events(job.id)
        parts.append(search_card(job, trial_rows(desk.store, job, events)))
    if isinstance(job.spec, AdaptersSpec):
        parts.append(_adapters(adapter_rows(desk.store, job)))
    parts += [run_charts(life), _attempts(life), _plan(desk, job), _files(desk, job)]
    parts.append(
        '<section class="card log"><details data-keep="log"><summary>Log</summary>'
        f"{log_tail(desk.settings, job.id)}</details></section>"
    )
    return f'<section class="detail" aria-label="Run {h(job.id)}">{"".join(parts)}</section>'


def _outcome(desk: Desk, job: JobRecord, life: Life) -> str:
    if job.state in UNFINISHED:
        panel = run_panel(job, life, curve=False)
        return f'<div class="card live">{panel}</div>'
    if isinstance(job.spec, SearchSpec) and job.state == "succeeded":
        return _search_outcome(desk, job)
    return job_card(job, "", stored_judgement(desk.ctx, job))


def _search_outcome(desk: Desk, job: JobRecord) -> str:
    """Return the verdict on the best trial, under the name of the search."""
    try:
        best = desk.store.jobs.get(str(job.metrics.get("best_job")))
    except NotFound:
        return job_card(job, "")
    return job_card(best, "", stored_judgement(desk.ctx, best))


def _adapters(rows: list[dict[str, Any]]) -> str:
    """Return each adapter with its run and what it came to."""
    cells = [
        (
            [
                tables.text(row["name"]),
                tables.Cell(f'<span class="state {h(row["state"])}">{h(row["state"])}</span>'),
                tables.text(row["job"] or DASH),
                tables.text(row["dataset"]),
                tables.text(headline(row["metrics"]) or DASH),
            ],
            row["state"],
        )
        for row in rows
    ]
    header = ("adapter", "state", "run", "data", "result")
    return (
        '<section class="card"><h3>Adapters on one base</h3>'
        f"{tables.table(header, cells, caption='Adapters, in the order of training')}</section>"
    )


def _attempts(life: Life) -> str:
    if not life.warnings:
        return ""
    items = "".join(f"<li>{h(warning)}</li>" for warning in life.warnings[-8:])
    return f'<section class="card"><h3>What happened on the way</h3><ul>{items}</ul></section>'


def _plan(desk: Desk, job: JobRecord) -> str:
    spec = run_of(job.spec)
    values = spec.model_dump(mode="json")
    usual = {name: field.default for name, field in type(spec).model_fields.items()}
    home = f"{desk.settings.home}/"
    first: list[tuple[str, str]] = []
    rest: list[tuple[str, str]] = []
    for name, value in values.items():
        if name in _NOT_SHOWN or value in (None, "", [], ()):
            continue
        pair = (name.replace("_", " "), _plain(value).removeprefix(home))
        is_usual = name not in _ALWAYS and (value == usual.get(name) or value is False)
        (rest if is_usual else first).append(pair)
    more = (
        f'<details class="more" data-keep="plan"><summary>{len(rest)} settings at their usual'
        f" value</summary>{facts(rest)}</details>"
        if rest
        else ""
    )
    varied = _varied(job.spec.space) if isinstance(job.spec, SearchSpec) else ""
    return (
        f'<section class="card plan"><h3>Plan</h3>{varied}{facts(first)}{more}<p class="hash">plan'
        f' <code title="{h(job.plan_hash)}">{h(job.plan_hash[:8])}</code></p></section>'
    )


def _varied(space: Mapping[str, Any]) -> str:
    pairs = [
        (f"{name.replace('_', ' ')} varied", ", ".join(_number(x) for x in v))
        for name, v in space.items()
    ]
    return facts(pairs)


def _files(desk: Desk, job: JobRecord) -> str:
    if not job.artifacts:
        return ""
    files = [(name.replace("_", " "), str(path)) for name, path in job.artifacts.items()]
    where = f'<p class="quiet">under {h(desk.settings.home)}</p>'
    return f'<section class="card"><h3>Files</h3>{facts(files, "facts files")}{where}</section>'


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: Any) -> str:
    return short(float(value)) if isinstance(value, int | float) else str(value)
