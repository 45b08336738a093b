"""Base against tuned on the same held-out rows: at the end of a training run, or as a job.

What is measured follows from what was trained: labels, answers, preferences, heads, rewards. One
model is in memory at a time. Scores are kept as they are made, so that a killed evaluation goes
on, and those of the base are shared by all evaluations of the same rows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from tools.answering import PATIENCE_AT_END_S
from tools.datasets.manifest import Manifest, SplitName, read_manifest
from tools.errors import Conflict
from tools.evaluate.judgement import Judgement
from tools.evaluate.pairs import ANSWERS, ANSWERS_FILE, write_pairs
from tools.history.spec import EvaluationSpec, TrainingSpec
from tools.work.asking import judge_answers
from tools.work.bench import Bench
from tools.work.benchmark import judge_benchmark
from tools.work.facts import facts_of
from tools.work.head_exam import judge_head
from tools.work.heldout import HeldOut, held_out, other_columns, slice_column_of
from tools.work.memory import memory_peak_gib
from tools.work.report import Job
from tools.work.weighing import Asked, nothing_to_judge, weigh
from tools.work.wishes import judge_preferences, judge_rewards

RESULT_FILE = "evaluation.json"
_ROWS_FILE = "rows.jsonl"
_PATIENCE_S = 300.0


@dataclass(frozen=True)
class Request:
    """Which rows a run is judged on, and against what.

    Attributes:
        split: Of the run's dataset; not used where `path` names a file.
        against: Another training run to compare with, instead of the base.
        patience_s: Time for generated answers of each model.
    """

    split: SplitName
    path: Path | None = None
    shown_path: str | None = None
    slice_column: str | None = None
    limit: int | None = None
    batch: int = 32
    seed: int = 17
    against: str | None = None
    pattern: str | None = None
    metric: str | None = None
    patience_s: float = PATIENCE_AT_END_S

    @property
    def chose_checkpoint(self) -> bool:
        """Training keeps the checkpoint with the lowest loss on the validation split."""
        return self.path is None and self.split == "validation"


def judge(job: Job, spec: TrainingSpec, result: Path, batch: int = 32) -> dict[str, Any]:
    """Judge what a training run saved and return the figures for its `metrics`.

    The whole judgement goes to `evaluation.json` in the job's folder.

    Args:
        result: Folder of the adapter, or of the whole model.
        batch: Rows at once, at most.
    """
    manifest = read_manifest(job.settings.dataset_folder(spec.dataset))
    split: SplitName = "test" if manifest.splits.get("test") else "validation"
    request = Request(split, seed=spec.seed, batch=batch)
    return _compare(job, spec, manifest, result, request).flat()


def run(job: Job) -> dict[str, Any]:
    """Judge a finished training run on the rows that an evaluation job names.

    Raises:
        Conflict: The run's result is gone.
    """
    asked = job.spec
    assert isinstance(asked, EvaluationSpec)
    training = job.store.jobs.get(asked.job)
    result = result_folder(job, training.artifacts, asked.job)
    if asked.benchmark:
        judgement = judge_benchmark(
            job, training.training, result, Path(asked.benchmark), limit=asked.limit,
            seed=asked.seed,
        )  # fmt: skip
        return _told(job, asked, _keep(job, judgement, []))
    manifest = read_manifest(job.settings.dataset_folder(asked.dataset))
    request = Request(
        split=asked.split,
        path=Path(asked.path) if asked.path else None,
        shown_path=asked.path,
        slice_column=asked.slice_column,
        limit=asked.limit,
        batch=asked.batch_size,
        seed=asked.seed,
        against=asked.against,
        pattern=asked.pattern,
        metric=asked.metric,
        patience_s=_PATIENCE_S,
    )
    return _told(job, asked, _compare(job, training.training, manifest, result, request))


def _told(job: Job, asked: EvaluationSpec, judgement: Judgement) -> dict[str, Any]:
    job.metrics(**judgement.flat())
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


def _compare(
    job: Job, spec: TrainingSpec, manifest: Manifest, result: Path, request: Request
) -> Judgement:
    began = time.monotonic()
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(job.settings.worker_threads or torch.get_num_threads())
    rows, asked = _rows(job, spec, manifest, request)
    if not rows.n:
        return _keep(job, nothing_to_judge(asked, rows), [])
    bench = Bench(
        job, spec, manifest, result, rows, asked,
        batch=request.batch, pattern=request.pattern, metric=request.metric,
        rival=_rival(job, request.against), patience_s=request.patience_s,
    )  # fmt: skip
    judged = {
        "dpo": judge_preferences,
        "orpo": judge_preferences,
        "kto": judge_preferences,
        "sequence_classification": judge_head,
        "token_classification": judge_head,
        "grpo": judge_rewards,
    }.get(spec.objective, judge_answers)
    facts = facts_of(
        rows, slice_column=asked.slice_column,
        labelled=bool(manifest.labels) and spec.objective != "token_classification",
    )  # fmt: skip
    found, beside = judged(bench, facts)
    judgement = weigh(asked, rows, facts, found, beside)
    seconds = round(time.monotonic() - began, 1)
    return _keep(job, judgement.model_copy(update={"seconds": seconds}), bench.pairs)


def _rows(
    job: Job, spec: TrainingSpec, manifest: Manifest, request: Request
) -> tuple[HeldOut, Asked]:
    folder = job.settings.dataset_folder(spec.dataset)
    columns: tuple[str, ...] = (request.slice_column,) if request.slice_column else ()
    if request.path and not columns:
        columns = other_columns(request.path, manifest)
    others = [other for other in (_rival(job, request.against),) if other]
    rows = held_out(
        folder, manifest, split=request.split, path=request.path,
        columns=columns, limit=request.limit, seed=request.seed,
        also_trained=[_training_rows(job, other) for other, _ in others],
        prompts_alone=spec.objective == "grpo",
        scratch=job.folder / _ROWS_FILE if request.path else None,
    )  # fmt: skip
    asked = Asked(
        task=manifest.task,
        split=None if request.path else request.split,
        path=request.shown_path,
        slice_column=request.slice_column or slice_column_of(rows, columns),
        seed=request.seed,
        chose_checkpoint=request.chose_checkpoint,
        baseline=request.against or "base",
    )
    return rows, asked


def _rival(job: Job, against: str | None) -> tuple[TrainingSpec, Path] | None:
    if against is None:
        return None
    other = job.store.jobs.get(against)
    return other.training, result_folder(job, other.artifacts, against)


def _training_rows(job: Job, spec: TrainingSpec) -> Path:
    folder = job.settings.dataset_folder(spec.dataset)
    return read_manifest(folder).split_file(folder, "train")


def _keep(job: Job, judgement: Judgement, pairs: list[Any]) -> Judgement:
    path = job.folder / RESULT_FILE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(judgement.model_dump_json(indent=1), encoding="utf-8")
    temporary.replace(path)
    job.artifact("evaluation", path)
    (job.folder / _ROWS_FILE).unlink(missing_ok=True)
    if pairs:
        write_pairs(job.folder / ANSWERS_FILE, pairs)
        job.artifact(ANSWERS, job.folder / ANSWERS_FILE)
    return judgement
