"""The panel of the job that runs: how far, how long still, and how well."""

from __future__ import annotations

from collections import deque

from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED, TrainingSpec
from tools.settings import Settings
from ui.web.cards import facts
from ui.web.charts import loss_curve
from ui.web.escape import h
from ui.web.live import Life
from ui.web.words import clock, gib, interval, number

_PHASES = {
    "load": "loading the model",
    "probe": "trying a few real steps",
    "train": "training",
    "evaluate": "measuring base and tuned",
    "merge": "merging the adapter",
    "build": "building the ONNX model",
    "parity": "comparing with the tuned model",
}
_LOG_LINES = 200

EMPTY = (
    '<section class="run empty" aria-label="No job"><h3>Nothing is running</h3>'
    "<p>Ask for a model, or drop a file into the chat. Jobs go on when you close this page.</p>"
    "</section>"
)


def run_panel(
    job: JobRecord | None,
    life: Life | None,
    parent: JobRecord | None = None,
    *,
    curve: bool = True,
) -> str:
    """Return the panel's HTML; the buttons below it are the page's own.

    Args:
        parent: The training that an export or evaluation is about; its verdict stays in sight.
        curve: Draw the loss in it; not where it is drawn larger beside.
    """
    if job is None or life is None:
        return EMPTY
    body = [_bar(job, life), _words(job, life)]
    drawn = curve and loss_curve(life.train, life.validation, total_steps=life.total_steps)
    if drawn:
        body.append(
            f'<figure>{drawn}<figcaption><i class="train"></i>train'
            '<i class="validation"></i>validation</figcaption></figure>'
        )
    body.append(facts(_figures(job, life)))
    body += [f'<p class="note">{h(warning)}</p>' for warning in life.warnings[-2:]]
    if parent is not None and parent.metrics.get("verdict"):
        body.append(_verdict_of(parent))
    return (
        f'<section class="run {h(job.state)}" aria-label="Job {h(job.id)}">'
        f'<header><b>{h(job.id)}</b><span class="state {h(job.state)}">{h(job.state)}</span>'
        f"</header>{''.join(body)}</section>"
    )


def log_tail(settings: Settings, job_id: str) -> str:
    """Return the end of a job's log, escaped."""
    path = settings.job_folder(job_id) / "log.txt"
    if not path.is_file():
        return '<p class="quiet">There is no log yet.</p>'
    with path.open(encoding="utf-8", errors="replace") as lines:
        last = "".join(deque(lines, maxlen=_LOG_LINES))
    return f'<pre class="log" tabindex="0" aria-label="Log of {h(job_id)}">{h(last)}</pre>'


def share_done(job: JobRecord, life: Life) -> float | None:
    """Return how much of the present phase is done, from 0 to 1; None where it is unknown."""
    if job.state == "succeeded":
        return 1.0
    return min(1.0, life.done / life.total) if life.total else None


def _bar(job: JobRecord, life: Life) -> str:
    share = share_done(job, life)
    if job.state not in UNFINISHED and job.state != "succeeded":
        return ""
    if share is None:
        return '<div class="bar waiting" role="progressbar" aria-label="Progress"><i></i></div>'
    now = round(100 * share)
    return (
        f'<div class="bar" role="progressbar" aria-label="Progress" aria-valuemin="0"'
        f' aria-valuemax="100" aria-valuenow="{now}"><i style="width:{now}%"></i></div>'
    )


def _words(job: JobRecord, life: Life) -> str:
    if job.state == "queued":
        left, right = "waits for its turn", ""
    elif job.state == "running":
        phase = _PHASES.get(life.phase, life.phase) or "starting"
        left = f"{phase}, {life.done:,} of {life.total:,}" if life.total else phase
        right = f"{clock(life.eta_s)} left" if life.eta_s is not None else ""
    else:
        duration = job.measured.get("duration_s")
        left = str((job.error or {}).get("message") or _ended(job))
        right = clock(duration) if duration is not None else ""
    return f'<p class="where"><span>{h(left)}</span><span class="num">{h(right)}</span></p>'


def _ended(job: JobRecord) -> str:
    return {
        "succeeded": "done",
        "cancelled": "stopped, as asked",
        "interrupted": "interrupted; it can be resumed from its last checkpoint",
        "lost": "its process ended without a result",
    }.get(job.state, "ended")


def _figures(job: JobRecord, life: Life) -> list[tuple[str, str]]:
    predicted = job.predicted.get("memory_gib")
    expected = predicted.get("expected") if isinstance(predicted, dict) else predicted
    memory = job.measured.get("memory_gib") or life.memory_gib
    shown = [("memory", _memory(memory, expected))]
    if life.tokens_per_s and job.state in UNFINISHED:
        shown.append(("speed", f"{life.tokens_per_s:,.0f} tokens/s"))
    if life.validation:
        shown.append(("validation loss", number(life.validation[-1][1], 3)))
    if accuracy := _accuracy(job):
        shown.append(("accuracy", accuracy))
    if isinstance(job.spec, TrainingSpec):
        shown.append(("data", job.spec.dataset))
    return shown


def _accuracy(job: JobRecord) -> str:
    metrics = job.metrics
    if metrics.get("accuracy") is None:
        return ""
    span = interval(metrics.get("accuracy_low"), metrics.get("accuracy_high"))
    base = metrics.get("base_accuracy")
    before = f"{number(base)} → " if base is not None else ""
    return f"{before}{number(metrics['accuracy'])} {span}"


def _verdict_of(parent: JobRecord) -> str:
    """Return the verdict on the tuned model that this job works with."""
    accuracy = _accuracy(parent)
    figure = f"accuracy {accuracy}" if accuracy else ""
    return (
        f'<div class="note tuned"><p>{h(parent.id)}: <b>{h(parent.metrics["verdict"])}</b></p>'
        f"<p>{h(figure or parent.metrics.get('verdict_text') or '')}</p></div>"
    )


def _memory(measured: float | None, predicted: float | None) -> str:
    if measured is None:
        return f"{gib(predicted)} predicted" if predicted is not None else ""
    return gib(measured) + (f" ({gib(predicted)} predicted)" if predicted is not None else "")
