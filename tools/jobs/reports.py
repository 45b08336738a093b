"""What the capabilities of this room return."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from tools.datasets.quarantine import disarm, untrusted_block
from tools.history.spec import run_of
from tools.jobs.words import clock, figures, headline, shown, table
from tools.reports import Report

if TYPE_CHECKING:
    from tools.history.jobs import JobRecord

_SHOWN_JOBS = 12
_OF_SEVERAL = {"search": "search over ", "adapters": "several, "}


class PlanReport(Report):
    """A plan that waits for consent. `plan` is exactly what would run.

    Attributes:
        estimate: `memory_gib`, `duration_s` (low, expected, high, basis), `disk_gib`, `verdict`.
        card: What the person is shown: label → text.
        why: One `{choice, reason, source}` for each choice that was not the person's own.
    """

    state: str
    action: str
    approval_id: str
    plan_hash: str
    job: str | None = None
    subject: str
    plan: dict[str, Any]
    estimate: dict[str, Any]
    card: dict[str, str]
    why: tuple[dict[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the card, the reasons and what is asked."""
        lines = [f"{self.subject} Nothing has started yet.", ""]
        lines += [f"  {label:<12} {text}" for label, text in self.card.items()]
        if self.why:
            lines += ["", "Why:"]
            lines += [f"  {w['choice']}: {w['reason']} ({w['source']})" for w in self.why]
        lines += [f"Note: {warning}" for warning in self.warnings]
        lines += ["", "It waits for consent: start it, change something, or leave it."]
        return "\n".join(lines)


class ConsentReport(Report):
    """What became of a decision on a waiting plan.

    Attributes:
        state: State of the job that was started, else `done` or `declined`.
        approval: State of the approval: `granted` or `declined`.
        result: Fields of the report of a capability that ran with this consent, and its `type`.
    """

    approval_id: str
    approval: str
    action: str
    state: str
    job: str | None = None
    plan_hash: str
    plan: dict[str, Any]
    message: str
    result: dict[str, Any] | None = None
    result_text: str = ""

    def text(self) -> str:
        """Return what was done."""
        return f"{self.message}\n{self.result_text}" if self.result_text else self.message


class JobRow(Report):
    """One job in a list."""

    id: str
    kind: str
    state: str
    created_at: datetime
    finished_at: datetime | None
    dataset: str
    method: str
    base_model: str
    of_job: str | None
    metrics: dict[str, Any]

    def text(self) -> str:
        """Return the job in a line."""
        figure = headline(self.metrics)
        return f"{self.id} ({self.state}){': ' + figure if figure else ''}"


class JobsReport(Report):
    """Jobs, newest first."""

    jobs: tuple[JobRow, ...]
    total: int

    def text(self) -> str:
        """Return a table of the newest."""
        if not self.jobs:
            return "There are no jobs yet. Start one with a dataset: `luthier train FILE`."
        header = ("job", "state", "data", "method", "base", "result")
        rows = [
            (j.id, j.state, j.dataset, j.method, j.base_model, headline(j.metrics))
            for j in self.jobs[:_SHOWN_JOBS]
        ]
        more = self.total - len(rows)
        return table(header, rows) + (f"\n… and {more} more." if more > 0 else "")

    def document(self) -> Any:
        """Return the list itself."""
        return [job.document() for job in self.jobs]


class ShowReport(Report):
    """Everything about one job.

    Attributes:
        attempts: What was changed beside the frozen spec, and why.
        trials: Of a search: `{number, job, state, value, values, steps}`, `steps` being
            `[step, validation loss]` pairs.
        adapters: Of a job of several: `{name, job, state, dataset, metrics}`.
        events: `{seq, at, kind, payload}`; the payload's fields also stand beside `kind`.
        progress: `{phase, done, total, eta_s}` of a running job.
        resumable: `{can, why}`.
        waits_because: Why a queued job has not started.
    """

    id: str
    job: str
    kind: str
    state: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    dataset: str
    method: str
    base_model: str
    goal: str
    parent: str | None
    plan_hash: str
    spec: dict[str, Any]
    attempts: tuple[dict[str, Any], ...]
    trials: tuple[dict[str, Any], ...] = ()
    adapters: tuple[dict[str, Any], ...] = ()
    events: tuple[dict[str, Any], ...]
    predicted: dict[str, Any]
    measured: dict[str, Any]
    metrics: dict[str, Any]
    artifacts: dict[str, Any]
    error: dict[str, Any] | None
    progress: dict[str, Any] | None
    resumable: dict[str, Any]
    waits_because: str | None
    log_tail: str

    def text(self) -> str:
        """Return how the job stands, its figures, and what can be done next."""
        base = disarm(self.base_model)
        lines = [f"{self.id} is {self.state}: {self.method} on {self.dataset}, base {base}."]
        if self.waits_because:
            lines.append(self.waits_because)
        if self.progress:
            lines.append(self._progress_line())
        if self.error:
            # A library's words may stand in it.
            lines.append(disarm(f"{self.error['message']} {self.error['hint']}"))
        lines += figures(self.metrics, self.predicted, self.measured)
        lines += self._trial_lines() + self._adapter_lines()
        lines += [f"  {name}: {path}" for name, path in self.artifacts.items()]
        if self.state in ("failed", "lost") and self.log_tail:
            lines.append(untrusted_block("end of the log", self.log_tail.splitlines()[-8:]))
        return "\n".join([*lines, self._next()])

    def _trial_lines(self) -> list[str]:
        if not self.trials:
            return []
        best = self.metrics.get("best_job")
        names = list(dict.fromkeys(name for trial in self.trials for name in trial["values"]))
        rows = [
            (
                f"{trial['job']}{' (best)' if trial['job'] == best else ''}",
                trial["state"],
                "" if trial["value"] is None else f"{trial['value']:.4f}",
                *(shown(trial["values"].get(name)) for name in names),
            )
            for trial in self.trials
        ]
        header = ("trial", "state", "validation loss", *(n.replace("_", " ") for n in names))
        return [table(header, rows)]

    def _adapter_lines(self) -> list[str]:
        if not self.adapters:
            return []
        header = ("adapter", "job", "state", "data", "result")
        rows = [
            (a["name"], a["job"] or "", a["state"], a["dataset"], headline(a["metrics"]))
            for a in self.adapters
        ]
        return [table(header, rows)]

    def _progress_line(self) -> str:
        progress = self.progress or {}
        eta = progress.get("eta_s")
        left = f", {clock(eta)} left" if eta else ""
        return f"{progress['phase']}: {progress['done']} of {progress['total']}{left}."

    def _next(self) -> str:
        if self.state == "succeeded" and self.kind == "search":
            return f"Next: try, evaluate or export the best, {self.metrics.get('best_job')}."
        if self.state == "succeeded" and self.kind == "adapters":
            return "Next: try or evaluate one of them, or export them together."
        if self.state == "succeeded" and self.kind == "train":
            return "Next: evaluate it, try it, or export it to ONNX."
        if self.state in ("running", "queued"):
            return "Next: follow it, or cancel it."
        if self.resumable["can"]:
            return f"Next: resume it ({self.resumable['why']})"
        if self.state == "succeeded":
            return "Next: try it."
        return f"It cannot be resumed: {self.resumable['why']}"


class JobStateReport(Report):
    """A job and its state after it was stopped or resumed."""

    job: str
    state: str
    message: str

    def text(self) -> str:
        """Return what was done."""
        return self.message


class WrittenReport(Report):
    """The pages written about a run.

    Attributes:
        files: `report` and `model_card` (Markdown), `report_html`: where each lies.
        page: The report itself.
    """

    job: str
    files: dict[str, str]
    page: str

    def text(self) -> str:
        """Return the page and where it lies."""
        places = "\n".join(
            f"  {name.replace('_', ' ')}: {path}" for name, path in self.files.items()
        )
        return f"{self.page}\nWritten to:\n{places}"


def job_row(record: JobRecord, training: JobRecord | None) -> JobRow:
    """Return a job for a list; `training` is the run that an evaluation or export is about."""
    spec = run_of((training or record).spec)
    return JobRow(
        id=record.id,
        kind=record.kind,
        state=record.state,
        created_at=record.created_at,
        finished_at=record.finished_at,
        dataset=str(getattr(spec, "dataset", "")),
        method=_OF_SEVERAL.get(record.kind, "") + str(getattr(spec, "method", "")),
        base_model=str(getattr(spec, "model", "")),
        of_job=getattr(record.spec, "job", None),
        metrics=record.metrics,
    )
