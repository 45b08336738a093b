"""The end of a training run: judged against its base, entered in the ledger, told in words."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

from tools.context import utc_now
from tools.diagnose.compare import with_sick
from tools.history.spec import TrainingSpec
from tools.jobs.trials import final_loss, is_trial, leads
from tools.work.clues import judged_of
from tools.work.evaluate import RESULT_FILE, judge
from tools.work.ladder import explained_memory
from tools.work.load import load_tokenizer
from tools.work.memory import give_back
from tools.work.report import Job
from tools.work.shortage import MemoryShort
from tools.work.template import template_hash

_BATCHES = (32, 8, 1)


def conclude(job: Job, spec: TrainingSpec, result: Path, *, resumed: bool) -> dict[str, Any]:
    """Judge the result on its held-out rows and say what it is worth.

    Args:
        result: Folder of the adapter or model.
        resumed: The run went on from a checkpoint, so its time says nothing of a whole run.
    """
    if _is_worth_judging(job):
        judge_result(job, spec, result)
    began = job.record.started_at or utc_now()
    job.measure(duration_s=round((utc_now() - began).total_seconds(), 1))
    record = job.store.jobs.get(job.id)
    for quantity, unit in (("memory_gib", "GiB"), ("duration_s", "s")):
        if resumed and quantity == "duration_s":
            continue
        predicted, measured = record.predicted.get(quantity), record.measured.get(quantity)
        if predicted and measured:
            job.store.record_prediction(
                job.id,
                quantity,
                predicted=float(predicted),
                measured=float(measured),
                unit=unit,
            )
    told = notice(job.id, record.metrics)
    cured = with_sick(job.store, record, state="succeeded")
    return {"notice": f"{told} {cured.text}" if cured else told, "artifact": result.name}


def _is_worth_judging(job: Job) -> bool:
    """Of the trials of a search only those are judged that lead when they end."""
    record = job.store.jobs.get(job.id)
    return not is_trial(job.store, record) or leads(job.store, record, final_loss(record))


def judge_result(job: Job, spec: TrainingSpec, result: Path) -> None:
    """Compare the tuned model with its base; the figures go into the job's metrics."""
    job.phase("evaluate")
    values = _judged(job, spec, result)
    if values is None:
        text = f"Memory did not suffice to judge the result; `luthier evaluate {job.id}` can later."
        job.warn("not_judged", text)
        return
    job.metrics(**values)
    template = template_hash(load_tokenizer(job, spec, adapter=result))
    job.emit(judged_of(values, job.folder / RESULT_FILE, template))


def _judged(job: Job, spec: TrainingSpec, result: Path) -> dict[str, Any] | None:
    """Judge with as many rows at once as there is memory for; None where one is too many."""
    for batch in _BATCHES:
        try:
            with explained_memory(spec):
                return judge(job, spec, result, batch)
        except MemoryShort:
            gc.collect()
            give_back()
    return None


def notice(job_id: str, metrics: dict[str, Any]) -> str:
    """Return what the person is told: the figure that matters, the verdict, the next step."""
    rows = metrics.get("n")
    on = f" on {rows} held-out rows" if rows else ""
    measure = str(metrics.get("primary") or "accuracy")
    if metrics.get(measure) is None:
        measure = "eval_loss"
    if metrics.get(measure) is not None:
        base = metrics.get(f"base_{measure}", metrics.get(f"word_list_{measure}"))
        before = "" if base is None else f"{base:.2f} → "
        name = "validation loss" if measure == "eval_loss" else measure.replace("_", " ")
        figure = f"{name} {before}{metrics[measure]:.2f}{on}"
    else:
        figure = "its result is saved"
    verdict = f": {metrics['verdict']}" if metrics.get("verdict") else ""
    return f"{job_id} finished: {figure}{verdict}. Next: try it or export it to ONNX."
