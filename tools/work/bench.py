"""What every comparison works with: rows, models' books, the exam, progress."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tools.datasets.manifest import Manifest
from tools.evaluate.pairs import AnswerPair
from tools.history.spec import TrainingSpec
from tools.work.contenders import key_of
from tools.work.exam import exam_for
from tools.work.heldout import HeldOut
from tools.work.judging import Exam
from tools.work.report import Job
from tools.work.scorebook import Scorebook
from tools.work.weighing import Asked

_MOST_SHARED = 40
Rival = tuple[TrainingSpec, Path]


class Bench:
    """Everything one comparison works with.

    Attributes:
        pairs: Answers of both models, for people to judge.
        rival: Another run that is compared with, instead of the base.
    """

    def __init__(
        self,
        job: Job,
        spec: TrainingSpec,
        manifest: Manifest,
        result: Path,
        rows: HeldOut,
        asked: Asked,
        *,
        batch: int,
        pattern: str | None,
        metric: str | None,
        rival: Rival | None,
        patience_s: float,
    ) -> None:
        self.job, self.spec, self.manifest, self.result = job, spec, manifest, result
        self.rows, self.asked, self.rival = rows, asked, rival
        self.pattern, self.metric = pattern, metric
        self.pairs: list[AnswerPair] = []
        self.reused = False
        self.training = manifest.split_file(job.settings.dataset_folder(spec.dataset), "train")
        self._batch, self._patience_s = batch, patience_s
        self.tick = Ticker(job, rows.n, 3 if rival else 2)

    def exam(self, spec: TrainingSpec, tokenizer: Any, model: Any) -> Exam:
        """Set the exam for one model."""
        declared = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
        stops = declared if isinstance(declared, list) else [declared]
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        return exam_for(
            self.manifest, self.training, self.rows, tokenizer, spec,
            context=int(context) if context else None,
            declared_stops=[int(stop) for stop in stops if stop is not None],
            batch=self._batch, patience_s=self._patience_s,
        )  # fmt: skip

    def books(
        self, spec: TrainingSpec, tokenizer: Any, exam: Exam, result: Path, name: str
    ) -> tuple[Scorebook, Scorebook]:
        """Open the books of a tuned model and of its base; the base's are shared."""
        asked = {
            "rows": self.rows.fingerprint, "labels": exam.labels, "answers": exam.answers,
            "tokens": exam.max_tokens, "new": exam.max_new_tokens, "stops": exam.stops,
            "share": exam.share_prompt,
        }  # fmt: skip
        folder = self.job.folder
        tuned = Scorebook(folder / f"scores-{name}.jsonl", key_of(spec, tokenizer, asked, result))
        key = key_of(spec, tokenizer, asked, None)
        base = Scorebook.opened(folder / f"scores-{name}-base.jsonl", key, self.shared(key))
        return tuned, base

    def keep(self, book: Scorebook) -> None:
        """Share a base's scores with later evaluations; of all that are shared, keep the newest."""
        path = self.shared(book.key)
        book.keep(path)
        books = sorted(path.parent.glob("*.jsonl"), key=lambda file: file.stat().st_mtime)
        for old in books[:-_MOST_SHARED]:
            old.unlink(missing_ok=True)

    def shared(self, key: str) -> Path:
        """Return where all evaluations find the base's scores on these rows."""
        return self.job.settings.home / "cache" / "evaluations" / f"{key[:32]}.jsonl"


class Ticker:
    """Turns rows done into progress of all passes, at most twice a second."""

    def __init__(self, job: Job, rows: int, passes: int) -> None:
        self._job = job
        self._total = passes * rows
        self._done = 0
        self._began = time.monotonic()
        self._told = 0.0

    def __call__(self, done: int) -> None:
        """Count rows that are done; stops the work where a person asked for that."""
        self._job.check_cancelled()
        self._done += done
        now = time.monotonic()
        if now - self._told < 0.5 and self._done < self._total:
            return
        self._told = now
        left = (now - self._began) * (self._total - self._done) / max(1, self._done)
        self._job.progress("evaluate", self._done, self._total, eta_s=round(left, 1))
