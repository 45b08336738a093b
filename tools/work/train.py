"""A training run from its frozen spec: load, look at the labels, probe, train, save, judge."""

from __future__ import annotations

import gc
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed
from transformers.utils import logging as transformers_logging

from tools.datasets.manifest import Manifest, read_manifest
from tools.errors import Refused
from tools.history.events import GatePassed, Timed, Warned
from tools.history.spec import TrainingSpec
from tools.work.arguments import steps_of, trainer_arguments
from tools.work.clues import data_of, setup_of
from tools.work.computing import inputs_as_they_are
from tools.work.continued import take_over
from tools.work.engines import added, check_started, cuts_weights, is_spread
from tools.work.forward import keep_rows_apart
from tools.work.keep import Keeper, save_result
from tools.work.ladder import OutOfMemory, as_attempted, explained_memory, step_down, what_changed
from tools.work.launching import run_ranks
from tools.work.load import load_config, load_model, load_tokenizer
from tools.work.memory import (
    allow_gpu_memory,
    fail_before_being_killed,
    forget_peak,
    give_back,
    lift_limit,
    memory_peak_gib,
    recompute_activations,
)
from tools.work.methods import keep_initial, keep_trained_weights_exact, make_trainable
from tools.work.monitor import Monitor, RunFacts
from tools.work.objectives import Objective, objective_of, rows_stay_apart
from tools.work.outcome import conclude
from tools.work.probe import probe
from tools.work.recipe import Recipe
from tools.work.report import Cancelled, Job
from tools.work.rows import Encoded
from tools.work.template import marks_generation, template_notes

_HELD_OUT_ROWS = 512


@dataclass
class Prepared:
    """Everything a run needs before its first step."""

    manifest: Manifest
    tokenizer: Any
    model: Any
    objective: Objective
    rows: Encoded
    held_out: Encoded


@dataclass
class Fitted:
    """A trained model, and what its training measured."""

    model: Any
    tokenizer: Any
    keeper: Keeper
    facts: RunFacts


def run(job: Job) -> dict[str, Any]:
    """Train as the spec says and leave an adapter (or a model), metrics and a notice.

    Where memory runs out, what the plan allows to change is changed and the run goes on from its
    last checkpoint.

    Raises:
        Refused: A gate said no.
        Cancelled: The person asked to stop; the last checkpoint stays and can be resumed.
    """
    _settle_libraries(job)
    spec = as_attempted(job, job.record.training)
    while True:
        try:
            return _attempt(job, spec)
        except OutOfMemory as error:
            # The error itself would keep the failed attempt's tensors alive.
            failure = OutOfMemory(
                error.problem, available_gib=error.available_gib, hopeless=error.hopeless
            )
        gc.collect()
        give_back()
        torch.cuda.empty_cache()
        spec = _next_attempt(job, spec, failure)


def run_as_rank(job: Job) -> dict[str, Any]:
    """Train as one of several processes; the worker that launched them finishes the run.

    Returns:
        The fields of `RunFacts`.
    """
    _settle_libraries(job)
    return asdict(_fit(job, as_attempted(job, job.record.training)).facts)


def _settle_libraries(job: Job) -> None:
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if job.record.training.device == "cuda" and job.settings.memory_limit_gib:
        allow_gpu_memory(job.settings.memory_limit_gib)
    torch.set_num_threads(job.settings.worker_threads or torch.get_num_threads())


def _attempt(job: Job, spec: TrainingSpec) -> dict[str, Any]:
    fitted = _fit_spread(job, spec) if is_spread(spec) else _fit(job, spec)
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


def _fit(job: Job, spec: TrainingSpec) -> Fitted:
    set_seed(spec.seed)
    keeper = Keeper(job, spec)
    prepared = _prepare(job, spec)
    tried_gib = _try_first(job, spec, prepared) if keeper.resumed is None else 0.0
    # The probe's throw-away copy is no part of what the run needs.
    forget_peak(spec.device)
    trainer, monitor = _train(job, spec, prepared, keeper)
    job.measure(
        memory_gib=round(max(tried_gib, _peak_gib(spec)), 3),
        train_s=round(monitor.elapsed_s, 1),
        steps=int(trainer.state.global_step),
        tokens_per_s=round(trainer.tokens_seen / max(1e-9, monitor.elapsed_now_s), 1),
    )
    job.emit(
        Timed(
            train_s=round(monitor.elapsed_now_s, 2),
            data_wait_s=round(monitor.data_wait_s, 2),
            eval_s=round(monitor.eval_s, 2),
        )
    )
    if monitor.cancelled or trainer.cancelled:
        raise Cancelled(job.id)
    facts = monitor.facts(int(trainer.state.global_step))
    return Fitted(prepared.model, prepared.tokenizer, keeper, facts)


def _peak_gib(spec: TrainingSpec) -> float:
    """Return the peak on one GPU, or of all processes together where they share the machine."""
    peak = memory_peak_gib(spec.device)
    return added(peak) if spec.device == "cpu" else peak


def _try_first(job: Job, spec: TrainingSpec, prepared: Prepared) -> float:
    """Probe the run where that can be done; returns the peak of memory that it took, in GiB."""
    if not spec.probe:
        job.warn("not_probed", "The probe was left out, as the plan says.")
    elif cuts_weights(spec):
        job.warn("not_probed", f"{spec.engine} cuts the model up only when the run begins.")
    else:
        job.phase("probe")
        prompt = prepared.objective.prompt(_split(job, prepared.manifest))
        tried = probe(job, spec, prepared.model, prepared.objective, prepared.rows, prompt)
        return tried.peak_gib
    return 0.0


def _next_attempt(job: Job, spec: TrainingSpec, failure: OutOfMemory) -> TrainingSpec:
    manifest = read_manifest(job.settings.dataset_folder(spec.dataset))
    tokenizer = load_tokenizer(job, spec)
    objective = objective_of(spec, tokenizer, None)
    rows = objective.encode(_split(job, manifest, "train"), max_length=spec.max_length, model=None)
    return step_down(
        job,
        spec,
        config=load_config(job, spec),
        length=max(rows.lengths),
        failure=failure,
    )


def _prepare(job: Job, spec: TrainingSpec) -> Prepared:
    job.phase("load", note=spec.model)
    manifest = read_manifest(job.settings.dataset_folder(spec.dataset))
    if manifest.fingerprint != spec.dataset_fingerprint:
        raise Refused(
            f"The prepared data {spec.dataset} is not what the plan was made for.",
            hint="Make the plan again.",
            refused_by="preflight",
        )
    tokenizer = load_tokenizer(job, spec)
    for code, message in template_notes(tokenizer):
        job.emit(Warned(code=code, message=message))
    # Where an earlier attempt could load it, a smaller batch leaves room for it again.
    first = spec == job.record.training
    lift_limit()
    with explained_memory(spec, what=f"The model {spec.model}" if first else ""):
        model = load_model(job, spec, trainable=True)
    if spec.device == "cpu":
        fail_before_being_killed()
    objective = objective_of(spec, tokenizer, model)
    if objective.batcher.packed:
        keep_rows_apart(model)
    job.phase("read", note=spec.dataset)
    limit = _length_limit(spec, model)
    began = time.monotonic()
    rows, held_out = (
        objective.encode(_split(job, manifest, name), max_length=limit, model=model)
        for name in ("train", "validation")
    )
    tokenize_s = round(time.monotonic() - began, 2)
    _tell_labels(job, spec, objective, rows, model)
    if objective.batcher.packed and not rows_stay_apart(model, rows):
        objective.batcher.packed = False
        job.warn("not_packed", "This model would let packed rows see each other; they are padded.")
    held_out = _some(held_out)
    with explained_memory(spec):
        for part in (rows, held_out):
            objective.reference(model, part)
    model = make_trainable(model, spec, tokenizer=tokenizer, steps=steps_of(spec, len(rows)))
    take_over(job, spec, model)
    if spec.gradient_checkpointing:  # before the probe, which must need no more than the run
        recompute_activations(model)
    keep_initial(model, spec, job.folder)
    _tell_clues(job, spec, manifest, model, tokenizer, (rows, held_out), tokenize_s)
    return Prepared(manifest, tokenizer, model, objective, rows, held_out)


def _tell_labels(
    job: Job, spec: TrainingSpec, objective: Objective, rows: Encoded, model: Any
) -> None:
    # Before the gate, which may refuse because of it.
    if rows.cut:
        job.warn(
            "rows_cut",
            f"{rows.cut} rows were longer than the limit and lost their start; the longest has "
            f"{rows.longest} tokens.",
        )
    measures = objective.check(rows, model)
    job.emit(GatePassed(gate="labels", measures=measures))
    if spec.objective == "chat" and not marks_generation(objective.tokenizer):
        message = (
            "The chat template does not mark what the assistant wrote, so only the last answer "
            "of each conversation is trained."
        )
        job.warn("last_answer_only", message)
    if rows.dropped:
        job.warn("rows_dropped", f"{rows.dropped} rows hold nothing to learn and are left out.")


def _tell_clues(
    job: Job,
    spec: TrainingSpec,
    manifest: Manifest,
    model: Any,
    tokenizer: Any,
    both: tuple[Encoded, Encoded],
    tokenize_s: float,
) -> None:
    """Tell what a diagnosis would want to know later."""
    setup = setup_of(job, spec, model, tokenizer)
    job.emit(setup)
    folder = job.settings.dataset_folder(manifest.id)
    stops = setup.stop_token_ids
    job.emit(data_of(spec, manifest, folder, *both, stops, tokenizer, tokenize_s))


def _train(
    job: Job, spec: TrainingSpec, prepared: Prepared, keeper: Keeper
) -> tuple[Recipe, Monitor]:
    job.phase("train", note=keeper.note)
    monitor = Monitor(job, spec, memory=keeper.memory)
    keeper.monitor = monitor
    trainer = Recipe(
        job=job,
        objective=prepared.objective,
        rows=prepared.rows,
        held_out=prepared.held_out,
        on_checkpoint=keeper.checkpoint_written,
        model=prepared.model,
        args=trainer_arguments(job.folder, spec, len(prepared.rows)),
        processing_class=prepared.tokenizer,
        callbacks=[monitor],
    )
    check_started(spec, trainer.accelerator)
    keep_trained_weights_exact(prepared.model)
    monitor.trainer = trainer
    with (
        explained_memory(spec),
        keeper.explained_disk(),
        inputs_as_they_are(spec, prepared.model),
    ):
        trainer.train(resume_from_checkpoint=keeper.resumed)
    return trainer, monitor


def _split(job: Job, manifest: Manifest, name: str = "validation") -> Path:
    folder = job.settings.dataset_folder(manifest.id)
    return manifest.split_file(folder, "train" if name == "train" else "validation")


def _length_limit(spec: TrainingSpec, model: Any) -> int:
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return min(spec.max_length, int(context)) if context else spec.max_length


def _some(held_out: Encoded) -> Encoded:
    """Return at most so many rows that validation does not dominate the run, spread evenly."""
    count = len(held_out)
    if count <= _HELD_OUT_ROWS:
        return held_out
    return held_out.pick([i * count // _HELD_OUT_ROWS for i in range(_HELD_OUT_ROWS)])


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
