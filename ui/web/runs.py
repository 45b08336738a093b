"""The Runs page: every job with its figures; choose one to see its curve, plan and error."""

from __future__ import annotations

from typing import Any

import gradio as gr

from tools.errors import ToolError
from tools.evaluate.stored import stored_judgement
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED, TrainingSpec
from ui.web import tables
from ui.web.cards import facts, job_card, problem_card
from ui.web.charts import loss_curve
from ui.web.desk import Desk
from ui.web.escape import h
from ui.web.live import Lives
from ui.web.panel import log_tail, run_panel
from ui.web.words import DASH, ago, clock, difference, gib, number

_HEADER = (
    "run", "state", "data", "method", "base", "metric", "difference", "time", "memory", "when",
)  # fmt: skip
_MOST = 200
_SHOWN_SPEC = (
    "goal", "path", "dataset", "model", "method", "rank", "alpha", "dropout", "epochs", "max_steps",
    "learning_rate", "batch_size", "gradient_accumulation", "max_length", "precision", "device",
    "seed", "job", "format", "precisions",
)  # fmt: skip


class RunsPage:
    """Builds the page inside the present Blocks and wires it."""

    def __init__(self, desk: Desk, lives: Lives, private: dict[str, Any]) -> None:
        self.desk = desk
        self.lives = lives
        self.pulse = gr.State(None)
        self.chosen = gr.State(None)
        with gr.Column(elem_classes="page", elem_id="runs-page"):
            self.table = gr.HTML(
                "", elem_id="runs-table", js_on_load=tables.ROW_CLICKS, apply_default_css=False
            )
            self.detail = gr.HTML("", elem_id="run-detail", apply_default_css=False)
            with gr.Row(visible=False, elem_id="run-actions") as self.actions:
                self.stop = gr.Button("Stop", size="sm", elem_id="runs-stop", min_width=0)
                self.resume = gr.Button("Resume", size="sm", elem_id="runs-resume", min_width=0)
        self._private = private

    def wire(self, tab: gr.Tab) -> None:
        """Connect everything that can happen on this page."""
        drawn = [self.table, self.detail, self.actions, self.stop, self.resume, self.pulse]
        tab.select(self.on_show, [self.chosen], drawn, **self._private)
        self.table.open(self.on_choose, None, [self.chosen, *drawn], **self._private).then(
            None, js="() => luthier.show('run-detail')", **self._private
        )
        gr.Timer(2).tick(
            self.on_tick, [self.chosen, self.pulse], drawn, queue=False, **self._private
        )
        self.stop.click(lambda job: self.on_act("cancel_job", job), [self.chosen], drawn,
                        **self._private)  # fmt: skip
        self.resume.click(lambda job: self.on_act("resume_job", job), [self.chosen], drawn,
                          **self._private)  # fmt: skip

    def on_show(self, chosen: str | None) -> list[Any]:
        """Draw the page as the store has it."""
        job = self._job(chosen)
        state = job.state if job else ""
        return [
            runs_table(self.desk),
            run_detail(self.desk, self.lives, job) if job else "",
            gr.update(visible=job is not None),
            gr.update(visible=state in UNFINISHED),
            gr.update(visible=state == "interrupted"),
            self.desk.store.pulse(),
        ]

    def on_choose(self, event: gr.EventData) -> list[Any]:
        """Show one job."""
        return [event.key, *self.on_show(event.key)]

    def on_tick(self, chosen: str | None, pulse: Any) -> list[Any]:
        """Draw again where the page was shown and something changed."""
        if pulse is None or tuple(pulse) == self.desk.store.pulse():
            return [gr.skip()] * 6
        return self.on_show(chosen)

    def on_act(self, capability: str, job_id: str | None) -> list[Any]:
        """Stop or resume the chosen job."""
        try:
            self.desk.call(capability, job=job_id)
        except ToolError as error:
            drawn = self.on_show(job_id)
            drawn[1] = problem_card(error.problem, error.hint) + drawn[1]
            return drawn
        return self.on_show(job_id)

    def _job(self, job_id: str | None) -> JobRecord | None:
        if not job_id:
            return None
        return next((j for j in self.desk.store.jobs.find(limit=_MOST) if j.id == job_id), None)


def runs_table(desk: Desk) -> str:
    """Return all jobs as a table, newest first."""
    jobs = desk.store.jobs.find(limit=_MOST)
    if not jobs:
        return tables.empty(
            "No runs yet",
            "Ask in the chat: tune a model to sort support tickets. Every run is kept here with"
            " its plan, its curve and its verdict.",
        )
    now = desk.ctx.clock()
    rows = [(_row(job, ago(job.created_at, now)), job.state) for job in jobs]
    states = sorted({job.state for job in jobs})
    return (
        tables.sieve(states, "Search runs")
        + tables.table(_HEADER, rows, caption="Runs, newest first", css="runs stack")
        + '<p class="none quiet" hidden>No run matches.</p>'
    )


def _row(job: JobRecord, when: str) -> list[tables.Cell]:
    spec = job.spec
    data, method, base_model = job.parent or DASH, str(job.kind), DASH
    if isinstance(spec, TrainingSpec):
        data, method, base_model = spec.dataset, spec.method, spec.model
    name, value, base = _metric(job.metrics)
    change = difference(value - base) if value is not None and base is not None else DASH
    return [
        tables.link(job.id, job.id),
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


def _metric(metrics: dict[str, Any]) -> tuple[str, float | None, float | None]:
    for key, name in (("accuracy", "accuracy"), ("eval_loss", "loss")):
        if metrics.get(key) is not None:
            return name, metrics[key], metrics.get(f"base_{key}")
    return "", None, None


def run_detail(desk: Desk, lives: Lives, job: JobRecord) -> str:
    """Return everything about one job."""
    life = lives.of(desk.store, job.id)
    parts = []
    if job.state in UNFINISHED:
        parts.append(f'<div class="card">{run_panel(job, life)}</div>')
    else:
        parts.append(job_card(job, "", stored_judgement(desk.ctx, job)))
        curve = loss_curve(life.train, life.validation, width=560, height=200)
        if curve:
            parts.append(
                f'<section class="card"><h3>Loss</h3><figure class="wide">{curve}<figcaption>'
                '<i class="train"></i>train<i class="validation"></i>validation</figcaption>'
                "</figure></section>"
            )
    spec, home = job.spec.model_dump(mode="json"), f"{desk.settings.home}/"
    pairs = [
        (key.replace("_", " "), _plain(spec[key]).removeprefix(home))
        for key in _SHOWN_SPEC
        if spec.get(key)
    ]
    parts.append(
        f'<section class="card"><h3>Plan</h3>{facts(pairs)}<p class="hash">plan'
        f' <code title="{h(job.plan_hash)}">{h(job.plan_hash[:8])}</code></p></section>'
    )
    if job.artifacts:
        files = [(name, str(path)) for name, path in job.artifacts.items()]
        where = f'<p class="quiet">under {h(desk.settings.home)}</p>'
        parts.append(f'<section class="card"><h3>Files</h3>{facts(files)}{where}</section>')
    parts.append(
        '<section class="card"><details><summary>Log</summary>'
        f"{log_tail(desk.settings, job.id)}</details></section>"
    )
    return f'<section class="detail" aria-label="Run {h(job.id)}">{"".join(parts)}</section>'


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
