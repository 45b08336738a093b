"""Base against tuned on the same held-out rows: at the end of a training run, or as a job.

Both models are the same process's: an adapter is switched off for the base; a whole tuned model
is judged first, then its base is loaded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from tools.datasets.manifest import Manifest, SplitName, read_manifest
from tools.errors import Conflict
from tools.evaluate.judgement import Judgement
from tools.history.spec import EvaluationSpec, TrainingSpec
from tools.work.encode import answer_of
from tools.work.heldout import HeldOut, held_out, other_columns, parquet_rows, slice_column_of
from tools.work.judging import Exam, sit
from tools.work.load import load_model, load_tokenizer
from tools.work.memory import memory_peak_gib
from tools.work.report import Job
from tools.work.template import stop_token_ids
from tools.work.weighing import Asked, weigh
from tools.work.yardstick import tfidf_predictions

RESULT_FILE = "evaluation.json"
_SHORT_ANSWER_TOKENS = 32
_LOOKED_AT_ROWS = 200


@dataclass(frozen=True)
class Request:
    """Which rows a run is judged on.

    Attributes:
        split: Of the run's dataset; not used where `path` names a file.
        chose_checkpoint: The rows of this split decided which checkpoint was kept.
    """

    split: SplitName
    path: Path | None = None
    shown_path: str | None = None
    slice_column: str | None = None
    limit: int | None = None
    batch: int = 32
    seed: int = 17

    @property
    def chose_checkpoint(self) -> bool:
        """Training keeps the checkpoint with the lowest loss on the validation split."""
        return self.path is None and self.split == "validation"


def judge(job: Job, spec: TrainingSpec, result: Path) -> dict[str, Any]:
    """Judge what a training run saved and return the figures for its `metrics`.

    The whole judgement goes to `evaluation.json` in the job's folder.

    Args:
        result: Folder of the adapter, or of the whole model.
    """
    manifest = read_manifest(job.settings.dataset_folder(spec.dataset))
    split: SplitName = "test" if manifest.splits.get("test") else "validation"
    judgement = _compare(job, spec, manifest, result, Request(split, seed=spec.seed))
    return _keep(job, judgement)


def run(job: Job) -> dict[str, Any]:
    """Judge a finished training run on the rows that an evaluation job names.

    Raises:
        Conflict: The run's result is gone.
    """
    asked = job.spec
    assert isinstance(asked, EvaluationSpec)
    training = job.store.jobs.get(asked.job)
    result = result_folder(job, training.artifacts, asked.job)
    manifest = read_manifest(job.settings.dataset_folder(asked.dataset))
    request = Request(
        split=asked.split,
        path=Path(asked.path) if asked.path else None,
        shown_path=asked.path,
        slice_column=asked.slice_column,
        limit=asked.limit,
        batch=asked.batch_size,
        seed=asked.seed,
    )
    judgement = _compare(job, training.training, manifest, result, request)
    job.metrics(**_keep(job, judgement))
    job.measure(duration_s=judgement.seconds, memory_gib=round(memory_peak_gib("cpu"), 3))
    notice = f"{job.id} finished: {asked.job} is judged {judgement.verdict}."
    return {"notice": f"{notice} {judgement.verdict_text}"}


def result_folder(job: Job, artifacts: dict[str, Any], training_id: str) -> Path:
    """Return the folder with what a training run saved.

    Raises:
        Conflict: The run left nothing, or it was deleted.
    """
    for name in ("adapter", "model"):
        if name in artifacts:
            folder = job.settings.home / str(artifacts[name])
            if folder.is_dir():
                return folder
    raise Conflict(
        f"The tuned weights of {training_id} are no longer there.",
        hint="Train it again; `luthier show` tells with which settings.",
    )


def _keep(job: Job, judgement: Judgement) -> dict[str, Any]:
    path = job.folder / RESULT_FILE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(judgement.model_dump_json(indent=1), encoding="utf-8")
    temporary.replace(path)
    job.artifact("evaluation", path)
    return judgement.flat()


def _compare(
    job: Job, spec: TrainingSpec, manifest: Manifest, result: Path, request: Request
) -> Judgement:
    began = time.monotonic()
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(job.settings.worker_threads or torch.get_num_threads())
    folder = job.settings.dataset_folder(spec.dataset)
    columns: tuple[str, ...] = (request.slice_column,) if request.slice_column else ()
    if request.path and not columns:
        columns = other_columns(request.path, manifest)
    rows = held_out(
        folder, manifest, split=request.split, path=request.path,
        columns=columns, limit=request.limit, seed=request.seed,
    )  # fmt: skip
    asked = Asked(
        task=manifest.task,
        split=None if request.path else request.split,
        path=request.shown_path,
        slice_column=request.slice_column or slice_column_of(rows, columns),
        seed=request.seed,
        chose_checkpoint=request.chose_checkpoint,
    )
    if not rows.n:
        return weigh(asked, rows, None, None, None, None)
    tokenizer = load_tokenizer(job, spec, adapter=result)
    training = manifest.split_file(folder, "train")
    model = load_model(job, spec, adapter=result)
    exam = _exam(manifest, training, rows, tokenizer, model, spec, request.batch)
    tick = _Ticker(job, rows.n)
    tuned_marks = sit(model, tokenizer, rows, exam, tick=tick)
    sample = len(tuned_marks.said)
    if hasattr(model, "disable_adapter"):
        with model.disable_adapter():
            base_marks = sit(model, tokenizer, rows, exam, tick=tick, sample=sample)
    else:
        # The tuned weights go first: two whole models need not fit at once.
        del model
        model = load_model(job, spec)
        base_marks = sit(model, tokenizer, rows, exam, tick=tick, sample=sample)
    yardstick = _yardstick(training, rows, exam, request.seed)
    judgement = weigh(asked, rows, exam, base_marks, tuned_marks, yardstick)
    return judgement.model_copy(update={"seconds": round(time.monotonic() - began, 1)})


def _exam(
    manifest: Manifest,
    training: Path,
    rows: HeldOut,
    tokenizer: Any,
    model: Any,
    spec: TrainingSpec,
    batch: int,
) -> Exam:
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    labels, answers = _labels(manifest, training, rows)
    longest = _longest_answer(tokenizer, rows, answers)
    return Exam(
        stops=tuple(stop_token_ids(tokenizer, model)),
        pad=int(tokenizer.pad_token_id or 0),
        max_tokens=min(spec.max_length, int(context)) if context else spec.max_length,
        batch=batch,
        labels=labels,
        answers=answers,
        known=len(manifest.labels),
        max_new_tokens=longest + 4 if longest <= _SHORT_ANSWER_TOKENS else 0,
    )


def _labels(
    manifest: Manifest, training: Path, rows: HeldOut
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the labels, those of training first, and what the model says for each."""
    if not manifest.labels:
        return (), ()
    said: dict[str, str] = {}
    for row in parquet_rows(training):
        said.setdefault(str(row["label"]), answer_of(row))
        if len(said) == len(manifest.labels):
            break
    new: dict[str, str] = {}
    for row in rows.rows():
        if str(row["label"]) not in manifest.labels:
            new.setdefault(str(row["label"]), answer_of(row))
    labels = (*manifest.labels, *new)
    return labels, tuple({**new, **said}.get(label, label) for label in labels)


def _longest_answer(tokenizer: Any, rows: HeldOut, answers: tuple[str, ...]) -> int:
    texts = list(answers)
    if not texts:
        for row in islice(rows.rows(), _LOOKED_AT_ROWS):
            if "text" in row:
                # Plain text has no answer to generate.
                return 10 * _SHORT_ANSWER_TOKENS
            texts.append(answer_of(row))
    return max(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])


def _yardstick(training: Path, rows: HeldOut, exam: Exam, seed: int) -> list[str] | None:
    if not exam.labels:
        return None
    return tfidf_predictions(parquet_rows(training), rows.rows(), seed=seed)


class _Ticker:
    """Turns rows done into progress of both passes, at most twice a second."""

    def __init__(self, job: Job, rows: int) -> None:
        self._job = job
        self._total = 2 * rows
        self._done = 0
        self._began = time.monotonic()
        self._told = 0.0

    def __call__(self, done: int) -> None:
        self._job.check_cancelled()
        self._done += done
        now = time.monotonic()
        if now - self._told < 0.5 and self._done < self._total:
            return
        self._told = now
        left = (now - self._began) * (self._total - self._done) / max(1, self._done)
        self._job.progress("evaluate", self._done, self._total, eta_s=round(left, 1))
