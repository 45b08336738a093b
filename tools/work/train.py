"""A training run from its frozen spec: attempts until one fits into memory, then save and judge."""

from __future__ import annotations

import gc
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from tools.datasets.manifest import read_manifest
from tools.history.spec import TrainingSpec
from tools.jobs.libraries import left_out
from tools.work.attempts import as_attempted, what_changed
from tools.work.engines import is_spread
from tools.work.fit import Fitted, fit, split_file
from tools.work.keep import Keeper, save_result
from tools.work.ladder import failed, step_down
from tools.work.launching import run_ranks
from tools.work.load import load_config, load_model, load_tokenizer
from tools.work.memory import allow_gpu_memory, give_back, lift_limit, memory_room_gib
from tools.work.methods import make_trainable
from tools.work.monitor import RunFacts
from tools.work.objectives import objective_of
from tools.work.outcome import conclude
from tools.work.report import Job
from tools.work.shortage import Failure, MemoryShort, OutOfMemory, is_about_memory


def run(job: Job) -> dict[str, Any]:
    """Train as the spec says and leave an adapter (or a model), metrics and a notice.

    Where memory runs out, what the plan allows to change is changed and the run goes on from its
    last checkpoint: in a worker that is another process image, which begins here again.

    Raises:
        Refused: A gate said no, or nothing that the plan allows fits.
        Cancelled: The person asked to stop; the last checkpoint stays and can be resumed.
    """
    _settle_libraries(job)
    while True:
        spec = _smaller_where_it_failed(job)
        try:
            return _attempt(job, spec)
        except MemoryShort as short:
            # The error itself would keep the failed attempt's tensors alive.
            failure = short.failure
        except Exception as error:
            if not is_about_memory(error):
                raise
            failure = failed(spec, "Memory ran out between the steps.")
        with suppress(Exception):  # there may be no memory even for this
            gc.collect()
            give_back()
            torch.cuda.empty_cache()
        job.begin_again(failure)


def run_as_rank(job: Job) -> dict[str, Any]:
    """Train as one of several processes; the worker that launched them finishes the run.

    Returns:
        The fields of `RunFacts`.
    """
    _settle_libraries(job)
    return asdict(fit(job, as_attempted(job, job.record.training)).facts)


def _settle_libraries(job: Job) -> None:
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if job.record.training.device == "cuda" and job.settings.memory_limit_gib:
        allow_gpu_memory(job.settings.memory_limit_gib)
    torch.set_num_threads(job.settings.worker_threads or torch.get_num_threads())


def _attempt(job: Job, spec: TrainingSpec) -> dict[str, Any]:
    fitted = _fit_spread(job, spec) if is_spread(spec) else fit(job, spec)
    job.phase("save")
    facts = fitted.keeper.restore_best(fitted.model, fitted.facts, live=not is_spread(spec))
    result = save_result(job, spec, fitted.model, fitted.tokenizer, fitted.keeper.kept)
    _tell_metrics(job, facts)
    resumed = fitted.keeper.resumed is not None
    # Judging loads base and result anew: what was trained must not lie beside them.
    del fitted
    gc.collect()
    lift_limit()
    told = conclude(job, spec, result, resumed=resumed)
    return told | {"notice": f"{told['notice']} {what_changed(job)}".strip()}


def _fit_spread(job: Job, spec: TrainingSpec) -> Fitted:
    """Let several processes train, then load what they left."""
    keeper = Keeper(job, spec)
    facts = RunFacts(**run_ranks(job, spec))
    tokenizer = load_tokenizer(job, spec)
    model = make_trainable(load_model(job, spec, trainable=True), spec, tokenizer=tokenizer)
    return Fitted(model, tokenizer, keeper, facts)


def _smaller_where_it_failed(job: Job) -> TrainingSpec:
    """Return what to try: the plan with what earlier attempts changed, and one more rung down.

    Raises:
        OutOfMemory: There is no rung left.
    """
    spec = as_attempted(job, job.record.training)
    failure, job.failure = job.failure, None
    if failure is None:
        return spec
    job.check_cancelled()
    try:
        chosen = _next_attempt(job, spec, failure)
    except Exception as error:
        if not is_about_memory(error):
            raise
        raise OutOfMemory(f"{failure.problem} Not even the rows can be read now.") from None
    if left_out(job.store, chosen) != left_out(job.store, spec):
        job.begin_again(None)  # what is left out of a process stays out of it
    return chosen


def _next_attempt(job: Job, spec: TrainingSpec, failure: Failure) -> TrainingSpec:
    if spec.device == "cpu":
        # The failed attempt's own heap counted there; a card's memory it had to itself.
        room = memory_room_gib(spec.device)
        least = min(room, failure.available_gib or room)
        failure = failure.model_copy(update={"available_gib": least})
    manifest = read_manifest(job.settings.dataset_folder(spec.dataset))
    tokenizer = load_tokenizer(job, spec)
    objective = objective_of(spec, tokenizer, None)
    file = split_file(job, manifest, "train")
    rows = objective.encode(file, max_length=spec.max_length, model=None)
    return step_down(
        job,
        spec,
        config=load_config(job, spec),
        length=max(rows.lengths),
        failure=failure,
    )


def _tell_metrics(job: Job, facts: RunFacts) -> None:
    values: dict[str, Any] = {"train_loss": facts.last_loss, "first_loss": facts.first_loss}
    if facts.best_loss is not None:
        values |= {
            "eval_loss": facts.best_loss,
            "best_eval_loss": facts.best_loss,
            "best_step": facts.best_step,
            "last_step": facts.last_step,
        }
    if facts.stopped_because:
        values["stopped_because"] = facts.stopped_because
        job.warn("stopped_early", f"The run ended early because {facts.stopped_because}.")
    job.metrics(**values)
