"""Checkpoints of a run, and its result: written whole or not at all."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from tools.errors import Unavailable
from tools.history.events import CheckpointSaved
from tools.history.spec import TrainingSpec
from tools.jobs.checkpoints import (
    drop_half,
    drop_old,
    move_up,
    read_checkpoint,
    seal,
    search_checkpoints,
)
from tools.jobs.ending import write_durably
from tools.methods import method
from tools.work.monitor import Monitor, RunFacts
from tools.work.recipe import save_weights
from tools.work.report import Job
from tools.work.shortage import is_about_memory
from tools.work.template import template_hash

_FULL_DISK_SIGNS = ("no space left", "code: 28", "quota exceeded", "file write failed")
_LITTLE_BYTES = 1024 * 1024


class Keeper:
    """Seals checkpoints, keeps the best and the latest, and finds the one to resume from.

    Two are kept at least, once there are two.

    Attributes:
        resumed: Checkpoint that this run goes on from, or None.
        memory: What the run knew when that checkpoint was written.
        kept: Checkpoint whose adapter is the result as it lies, for methods that cannot be loaded
            back into what is trained.
    """

    def __init__(self, job: Job, spec: TrainingSpec) -> None:
        self._job = job
        self._full = spec.method == "full"
        self.monitor: Monitor | None = None
        if job.tells:
            drop_half(job.folder)
        self.kept: Path | None = None
        self._whole = method(spec.method).resumes
        found, passed_over = search_checkpoints(job.folder, plan_hash=job.record.plan_hash)
        if found and not self._whole:
            job.warn("starts_anew", f"No checkpoint holds all of {spec.method}; it starts anew.")
            found = None
        self.resumed = str(found[0]) if found else None
        self.memory = found[1].memory if found else {}
        self.note = f"goes on from step {found[1].step}" if found else ""
        if passed_over:
            self.note = f"{self.note or 'starts anew'}; {passed_over}"

    def checkpoint_written(self, folder: Path) -> None:
        """Make a folder that the trainer wrote a checkpoint, then drop those not needed."""
        step = int(folder.name.rpartition("-")[2])
        memory = self.monitor.memory() if self.monitor else {}
        seal(
            folder,
            step=step,
            plan_hash=self._job.record.plan_hash,
            eval_loss=self.monitor.last_eval_loss if self.monitor else None,
            memory=memory,
        )
        # What is told of the steps up to here would be missing from the history of a run that was
        # killed now and goes on from here.
        try:
            self._job.flush()
        except Unavailable as error:
            # A history that is busy takes it later; one that there is no memory to open may never,
            # and then the run goes on from before those steps.
            if is_about_memory(error):
                raise
        folder = move_up(folder)
        self._job.emit(
            CheckpointSaved(step=step, folder=folder.relative_to(self._job.folder).as_posix())
        )
        best = folder.with_name(f"checkpoint-{int(memory.get('best_step', step))}")
        drop_old(self._job.folder, newest=folder, best=best)

    def restore_best(self, model: Any, facts: RunFacts, *, live: bool = True) -> RunFacts:
        """Put the weights with the lowest validation loss into the model.

        Args:
            live: The model is the one that was trained, so that its last step is in it already.

        Returns:
            The facts of what is in the model now.
        """
        best = facts.best_step or facts.last_step
        if live and best == facts.last_step:
            return facts
        if self._load(model, best):
            return facts
        self._job.warn(
            "best_is_gone",
            f"The best checkpoint (step {best}) cannot be read any more; the last one is kept "
            "instead.",
        )
        if not live and not self._load(model, facts.last_step):
            raise Unavailable(
                "No checkpoint of the run can be read.",
                hint="Start it again; its log is in the job's folder.",
            )
        loss = facts.last_eval_loss if facts.last_eval_loss is not None else facts.best_loss
        return replace(facts, best_step=facts.last_step, best_loss=loss)

    def _load(self, model: Any, step: int) -> bool:
        folder = self._job.folder / "checkpoints" / f"checkpoint-{step}"
        if read_checkpoint(folder) is None:
            return False
        if not self._whole:
            self.kept = folder
        elif self._full:
            model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        else:
            from peft import set_peft_model_state_dict  # noqa: PLC0415 - full tuning has no PEFT

            set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))
        return True

    @contextmanager
    def explained_disk(self) -> Iterator[None]:
        """Turn a full disk into one clear sentence; the last whole checkpoint stays."""
        try:
            yield
        except (OSError, RuntimeError, SafetensorError) as error:
            if not _disk_is_full(error, self._job.folder):
                raise
            drop_half(self._job.folder)
            raise Unavailable(
                f"The disk that holds {self._job.settings.home} is full.",
                hint="Free some space; then "
                f"`luthier resume {self._job.id}` goes on from the last checkpoint.",
            ) from error


def save_result(
    job: Job, spec: TrainingSpec, model: Any, tokenizer: Any, kept: Path | None = None
) -> Path:
    """Save what was trained, with its tokenizer and what it was trained from.

    Args:
        kept: Checkpoint whose adapter is taken instead of the model's.
    """
    name = "model" if spec.method == "full" else "adapter"
    folder = job.folder / name
    half = job.folder / f"{name}.part"
    shutil.rmtree(half, ignore_errors=True)
    save_weights(model, half, job.folder)
    if kept is not None:
        for file in ("adapter_model.safetensors", "adapter_config.json"):
            shutil.copyfile(kept / file, half / file)
    tokenizer.save_pretrained(str(half))
    facts = {
        "job": job.id,
        "plan_hash": job.record.plan_hash,
        "base_model": spec.model,
        "base_revision": spec.model_revision,
        "template_hash": template_hash(tokenizer),
        "dataset": spec.dataset,
        "dataset_fingerprint": spec.dataset_fingerprint,
    }
    write_durably(half / "luthier.json", json.dumps(facts, indent=2).encode())
    shutil.rmtree(folder, ignore_errors=True)
    half.rename(folder)
    job.artifact(name, folder)
    job.artifact("log", job.folder / "log.txt")
    return folder


def _disk_is_full(error: BaseException, folder: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    # torch and safetensors wrap the cause in their own words.
    if any(sign in str(error).lower() for sign in _FULL_DISK_SIGNS):
        return True
    return shutil.disk_usage(folder).free < _LITTLE_BYTES
