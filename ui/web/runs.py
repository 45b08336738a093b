"""The Runs page: every job; one in full, or several compared; what went wrong, and its cure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import gradio as gr

from tools.errors import ToolError
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED
from tools.jobs import consent
from tools.reports import Report
from ui.web import tables
from ui.web.cards import approval_card, problem_card
from ui.web.compare import MOST as MOST_COMPARED
from ui.web.compare import comparison
from ui.web.desk import Desk
from ui.web.diagnosis import diagnosis_card
from ui.web.escape import h
from ui.web.live import Lives
from ui.web.run_detail import run_detail
from ui.web.run_table import CLICKS, MOST, runs_table

_DETAIL = tables.KEY_CLICKS + tables.KEEP_FOCUS


class RunsPage:
    """Builds the page inside the present Blocks and wires it."""

    def __init__(self, desk: Desk, lives: Lives, private: dict[str, Any]) -> None:
        self.desk = desk
        self.lives = lives
        self.pulse = gr.State(None)
        self.chosen = gr.State(None)
        self.picked = gr.State([])
        self.cures = gr.State([])
        self.plan = gr.State(None)
        self._private = private
        with gr.Column(elem_classes="page", elem_id="runs-page"):
            self.table = gr.HTML(
                "", elem_id="runs-table", js_on_load=CLICKS, apply_default_css=False
            )
            self.compare = gr.HTML(
                "", elem_id="compare", js_on_load=_DETAIL, apply_default_css=False
            )
            self._build_actions()
            self.finding = gr.HTML(
                "", elem_id="finding", js_on_load=_DETAIL, apply_default_css=False
            )
            self.detail = gr.HTML(
                "", elem_id="run-detail", js_on_load=_DETAIL, apply_default_css=False
            )

    def _build_actions(self) -> None:
        with gr.Row(visible=False, elem_id="run-actions", elem_classes="acts") as self.actions:
            self.title = gr.HTML("", elem_id="run-title", apply_default_css=False)
            options: dict[str, Any] = {"size": "sm", "min_width": 0}
            self.stop = gr.Button("Stop", elem_id="runs-stop", **options)
            self.resume = gr.Button("Resume", elem_id="runs-resume", **options)
            self.diagnose = gr.Button("Diagnose", elem_id="runs-diagnose", **options)
            self.try_it = gr.Button("Try it", elem_id="runs-try", **options)
            self.export = gr.Button("Export to ONNX", elem_id="runs-export", **options)
            self.report = gr.Button("Report", elem_id="runs-report", **options)

    @property
    def drawn(self) -> list[Any]:
        """What `on_show` draws."""
        return [
            self.table, self.compare, self.detail, self.actions, self.title, self.stop,
            self.resume, self.diagnose, self.try_it, self.export, self.report, self.pulse,
        ]  # fmt: skip

    def wire(self, tab: gr.Tab, tabs: gr.Tabs, try_job: gr.Dropdown) -> None:
        """Connect everything that can happen on this page."""
        here = [self.chosen, self.picked]
        quiet, found = self._private, [self.finding, self.cures, self.plan]
        slow = quiet | {"show_progress": "minimal", "concurrency_limit": 8}
        tab.select(self.on_show, here, self.drawn, **quiet)
        chosen = [self.chosen, *found, *self.drawn]
        self.table.open(self.on_choose, [self.picked], chosen, **quiet).then(
            None, js="() => luthier.show('run-actions')", **quiet
        )
        self.compare.open(self.on_compare, [self.chosen, self.picked],
                          [self.chosen, self.picked, *self.drawn], **quiet)  # fmt: skip
        self.detail.open(self.on_choose, [self.picked], chosen, **quiet)
        self.table.pick(self.on_pick, None, [self.picked, self.compare], **quiet)
        gr.Timer(2).tick(
            self.on_tick, [self.chosen, self.picked, self.pulse], self.drawn, queue=False, **quiet
        )
        said = [self.finding, *self.drawn]
        acts = {
            "cancel_job": self.stop,
            "resume_job": self.resume,
            "export_model": self.export,
            "write_report": self.report,
        }
        for capability, button in acts.items():
            button.click(self._acting(capability), here, said, **slow)
        self.diagnose.click(self.on_diagnose, [self.chosen], found, **slow)
        self.finding.open(self.on_finding, [self.chosen, self.picked, self.cures, self.plan],
                          [*found, self.chosen, *self.drawn], **slow)  # fmt: skip
        self.try_it.click(self.on_try, [self.chosen], [tabs, try_job], **quiet)

    # ------------------------------------------------------------------ what is drawn

    def on_show(self, chosen: str | None, picked: Sequence[str] = ()) -> list[Any]:
        """Draw the page as the store has it."""
        job = self._job(chosen)
        state = job.state if job else ""
        train = job is not None and job.kind == "train"
        ended = train and state == "succeeded"
        title = f"<h2>{h(job.id)}</h2>" if job else ""
        return [
            runs_table(self.desk, picked),
            self._comparison(picked),
            run_detail(self.desk, self.lives, job) if job else "",
            gr.update(visible=job is not None),
            title,
            gr.update(visible=state in UNFINISHED),
            gr.update(visible=state == "interrupted"),
            gr.update(visible=train and state != "queued"),
            gr.update(visible=ended),
            gr.update(visible=ended),
            gr.update(visible=ended),
            self.desk.store.pulse(),
        ]

    def on_choose(self, picked: Sequence[str], event: gr.EventData) -> list[Any]:
        """Show one job; what was found about another goes."""
        return [event.key, "", [], None, *self.on_show(event.key, picked)]

    def on_pick(self, event: gr.EventData) -> list[Any]:
        """Compare the runs that are selected."""
        picked = [str(key) for key in event.keys][:MOST_COMPARED]
        return [picked, self._comparison(picked)]

    def on_compare(
        self, chosen: str | None, picked: Sequence[str], event: gr.EventData
    ) -> list[Any]:
        """Clear the selection, or show one of the compared runs."""
        if event.key == "clear":
            table, *rest = self.on_show(chosen, [])
            # The page holds the same table with boxes ticked: the stamp has it drawn anew.
            return [chosen, [], f"<!-- {time.time_ns()} -->{table}", *rest]
        return [event.key, picked, *self.on_show(event.key, picked)]

    def on_tick(self, chosen: str | None, picked: Sequence[str], pulse: Any) -> list[Any]:
        """Draw again where the page was shown and something changed."""
        if pulse is None or tuple(pulse) == self.desk.store.pulse():
            return [gr.skip()] * len(self.drawn)
        return self.on_show(chosen, picked)

    # ------------------------------------------------------------------ what can be done

    def _acting(self, capability: str) -> Any:
        def act(chosen: str | None, picked: Sequence[str]) -> list[Any]:
            try:
                said = _said(self.desk.call(capability, job=chosen))
            except ToolError as error:
                said = problem_card(error.problem, error.hint)
            return [said, *self.on_show(chosen, picked)]

        return act

    def on_diagnose(self, chosen: str | None) -> list[Any]:
        """Say what went wrong in the chosen run."""
        try:
            document = self.desk.call("diagnose_run", job=chosen).document()
        except ToolError as error:
            return [problem_card(error.problem, error.hint), [], None]
        cures = [cause.get("cure") or {} for cause in document.get("causes") or ()]
        return [diagnosis_card(document), cures, None]

    def on_finding(
        self,
        chosen: str | None,
        picked: Sequence[str],
        cures: Sequence[dict[str, Any]],
        plan: str | None,
        event: gr.EventData,
    ) -> list[Any]:
        """Plan a cure, and start or leave the plan that was shown for it."""
        act, _, which = str(event.key).partition(":")
        try:
            if act == "cure":
                card, waiting = self._plan_cure(cures[int(which)])
                return [card, cures, waiting, chosen, *[gr.skip()] * len(self.drawn)]
            if plan is None:
                return [gr.skip()] * (4 + len(self.drawn))
            decide = consent.grant if act == "start" else consent.decline
            done = decide(self.desk.ctx, plan, by="button")
        except ToolError as error:
            card = problem_card(error.problem, error.hint)
            return [card, cures, None, chosen, *[gr.skip()] * len(self.drawn)]
        shown = done.job or chosen
        return [_note(done.message), [], None, shown, *self.on_show(shown, picked)]

    def _plan_cure(self, cure: dict[str, Any]) -> tuple[str, str]:
        """Ask for the cured run; nothing starts before the button under its card."""
        arguments = {k: v for k, v in cure["arguments"].items() if v is not None}
        report = self.desk.call(str(cure.get("capability") or "start_training"), **arguments)
        approval_id = str(getattr(report, "approval_id", ""))
        if not approval_id:
            return _said(report), ""
        card = approval_card(self.desk.store.approvals.get(approval_id))
        buttons = (
            '<p class="acts"><button type="button" class="small go" data-key="start"'
            ' data-busy="Starting">Start</button><button type="button" class="small"'
            ' data-key="leave">Not now</button></p>'
        )
        return f'<div class="asking">{card}{buttons}</div>', approval_id

    def on_try(self, chosen: str | None) -> list[Any]:
        """Open the Try page with the chosen run."""
        return [gr.update(selected="try"), gr.update(choices=[chosen], value=chosen)]

    def _comparison(self, picked: Sequence[str]) -> str:
        known = {job.id: job for job in self.desk.store.jobs.find(limit=MOST)} if picked else {}
        jobs = [known[job_id] for job_id in picked if job_id in known]
        lives = {job.id: self.lives.of(self.desk.store, job.id) for job in jobs}
        shown = comparison(jobs, lives, self._conclusion([job.id for job in jobs]))
        return f'<div data-picked="{h(" ".join(picked))}">{shown}</div>'

    def _conclusion(self, jobs: Sequence[str]) -> str:
        if len(jobs) < 2:
            return ""
        try:
            return str(getattr(self.desk.call("compare_jobs", jobs=jobs), "conclusion", ""))
        except ToolError:
            return ""  # more runs than it takes, or one that did not end: the table still stands

    def _job(self, job_id: str | None) -> JobRecord | None:
        if not job_id:
            return None
        return next((j for j in self.desk.store.jobs.find(limit=MOST) if j.id == job_id), None)


def _said(report: Report) -> str:
    return f'<pre class="step" tabindex="0">{h(report.text()[:4000])}</pre>'


def _note(text: str) -> str:
    return f'<p class="done" role="status">{h(text)}</p>'
