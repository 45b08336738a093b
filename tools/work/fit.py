"""One attempt at a training run: load, look at the labels, probe, train."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import set_seed

from tools.datasets.manifest import Manifest, read_manifest
from tools.errors import Refused
from tools.history.events import GatePassed, Timed, Warned
from tools.history.spec import TrainingSpec
from tools.work.arguments import steps_of, trainer_arguments
from tools.work.clues import data_of, setup_of
from tools.work.computing import inputs_as_they_are
from tools.work.continued import take_over
from tools.work.engines import added, check_started, cuts_weights
from tools.work.keep import Keeper
from tools.work.ladder import explained_memory
from tools.work.load import load_model, load_tokenizer
from tools.work.memory import (
    fail_before_being_killed,
    forget_peak,
    lift_limit,
    memory_peak_gib,
    recompute_activations,
)
from tools.work.methods import keep_initial, keep_trained_weights_exact, make_trainable
from tools.work.monitor import Monitor, RunFacts
from tools.work.objectives import Objective, may_be_sparse, objective_of, rows_stay_apart
from tools.work.packing import keep_rows_apart
from tools.work.probe import probe
from tools.work.recipe import Recipe
from tools.work.report import Cancelled, Job
from tools.work.rows import Encoded
from tools.work.saving import MomentsTakenOver
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


def fit(job: Job, spec: TrainingSpec) -> Fitted:
    """Train once as the spec says, from the last checkpoint where there is one.

    Raises:
        MemoryShort: Memory ran out.
        Refused: A gate said no.
        Cancelled: The person asked to stop; the last checkpoint stays.
    """
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
        prompt = prepared.objective.prompt(split_file(job, prepared.manifest))
        tried = probe(job, spec, prepared.model, prepared.objective, prepared.rows, prompt)
        return tried.peak_gib
    return 0.0


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
    lift_limit()
    # Every attempt has a process image of its own: nothing but the model takes memory yet.
    with explained_memory(spec, what=f"The model {spec.model}"):
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
        objective.encode(split_file(job, manifest, name), max_length=limit, model=model)
        for name in ("train", "validation")
    )
    tokenize_s = round(time.monotonic() - began, 2)
    _tell_labels(job, spec, objective, rows, model)
    if objective.batcher.packed and not rows_stay_apart(model, rows):
        objective.batcher.packed = False
        job.warn("not_packed", "This model would let packed rows see each other; they are padded.")
    objective.sparse = may_be_sparse(objective, model, rows)
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
        callbacks=[monitor, MomentsTakenOver()],
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


def split_file(job: Job, manifest: Manifest, name: str = "validation") -> Path:
    """Return the file of one split: `train`, or `validation` (or what stands in for it)."""
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
