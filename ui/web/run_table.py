"""The table of all runs: state, data, method, base, result; with a box to select each."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tools.history.jobs import JobRecord
from tools.history.spec import PARENTS, AdaptersSpec, SearchSpec, TrainingSpec, runs_of
from ui.web import tables
from ui.web.compare import MOST as MOST_COMPARED
from ui.web.desk import Desk
from ui.web.escape import h
from ui.web.words import DASH, ago, clock, difference, gib, metric_name, number

_HEADER = (
    "run", "state", "data", "method", "base", "metric", "difference", "time", "memory", "when",
)  # fmt: skip
MOST = 200
_METRICS = (
    "accuracy", "entity_f1", "token_f1", "rougeL", "sentence_chrf", "preference_win_rate",
    "eval_loss",
)  # fmt: skip
"""What a run is known by, where it does not say."""
CLICKS = (
    tables.ROW_CLICKS
    + """
const tell = (tries) => {
  const boxes = element.querySelectorAll('input[data-pick]:checked');
  const keys = Array.from(boxes, (box) => box.dataset.pick).slice(0, MOST);
  const shown = document.querySelector('#compare [data-picked]');
  if (!tries || (shown && shown.dataset.picked === keys.join(' '))) return;
  trigger('pick', {keys});
  setTimeout(tell, 400, tries - 1);
};
element.addEventListener('change', (event) => {
  if (event.target.matches('input[data-pick]')) tell(100);
});
""".replace("MOST", str(MOST_COMPARED))
    + tables.KEEP_FOCUS
)
"""Choosing a row, searching, and selecting several.

What is triggered while an answer is under way is dropped: it is told again until it is shown.
"""


def runs_table(desk: Desk, picked: Collection[str] = ()) -> str:
    """Return all jobs as a table, newest first."""
    jobs = desk.store.jobs.find(limit=MOST)
    if not jobs:
        return tables.empty(
            "No runs yet",
            "Ask in the chat: tune a model to sort support tickets. Every run is kept here with"
            " its plan, its curve and its verdict.",
        )
    now = desk.ctx.clock()
    searches = {job.id for job in jobs if job.kind in PARENTS}
    rows = [
        (_row(job, ago(job.created_at, now), job.id in picked, job.parent in searches), job.state)
        for job in jobs
    ]
    states = sorted({job.state for job in jobs})
    trials = {
        index for index, job in enumerate(jobs) if job.parent in searches and job.id not in picked
    }
    told = (
        f" {len(trials)} trials and adapters stand with their job; search for “part of” to see "
        "them here."
        if trials
        else ""
    )
    return (
        tables.sieve(states, "Search runs")
        + tables.table(_HEADER, rows, caption="Runs, newest first", css="runs stack", aside=trials)
        + '<p class="none quiet" hidden>No run matches.</p>'
        '<p class="quiet">Select two or more runs to see their curves together and what differs.'
        f"{told}</p>"
    )


def _row(job: JobRecord, when: str, picked: bool, is_trial: bool) -> list[tables.Cell]:
    spec = job.spec
    data, method, base_model = job.parent or DASH, str(job.kind), DASH
    if isinstance(spec, SearchSpec):
        data, method, base_model = spec.base.dataset, f"{spec.trials} × {spec.base.method}", ""
        base_model = spec.base.model
    elif isinstance(spec, AdaptersSpec):
        runs = runs_of(spec)
        data = ", ".join(run.dataset.partition("@")[0] for run in runs)
        method, base_model = f"{len(runs)} × {runs[0].method}", runs[0].model
    elif isinstance(spec, TrainingSpec):
        data, method, base_model = spec.dataset, spec.method, spec.model
    name, value, base = metric_of(job.metrics)
    change = difference(value - base) if value is not None and base is not None else DASH
    return [
        tables.Cell(_name(job, picked, is_trial)),
        tables.Cell(f'<span class="state {h(job.state)}">{h(job.state)}</span>'),
        tables.text(data),
        tables.text(method),
        tables.text(base_model),
        tables.figure(f"{name} {number(value)}" if value is not None else DASH),
        tables.figure(change),
        tables.figure(clock(job.measured.get("duration_s"))),
        tables.figure(gib(job.measured.get("memory_gib"))),
        tables.figure(when),
    ]


def _name(job: JobRecord, picked: bool, is_trial: bool) -> str:
    box = '<i class="nobox"></i>'
    if job.kind == "train":
        box = (
            f'<input type="checkbox" data-pick="{h(job.id)}" aria-label="Select {h(job.id)}"'
            f"{' checked' if picked else ''}>"
        )
    note = f'<small class="quiet">part of {h(job.parent)}</small>' if is_trial else ""
    return (
        f'<span class="pickrow">{box}<span>{tables.link(job.id, job.id).html}{note}</span></span>'
    )


def metric_of(metrics: dict[str, Any]) -> tuple[str, float | None, float | None]:
    """Return the figure a run is known by: its name, its value, and the base's."""
    primary = str(metrics.get("primary") or "")
    for key in ("eval_loss" if primary == "loss" else primary, *_METRICS):
        value, base = metrics.get(key), metrics.get(f"base_{key}")
        if isinstance(value, int | float):
            name = "loss" if key == "eval_loss" else metric_name(key)
            return name, float(value), float(base) if isinstance(base, int | float) else None
    return "", None, None
