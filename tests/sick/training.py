"""Trains one tiny run in this process, as its worker would, with a fault put in by a patch."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sick.rows import Rows, write
from tools.context import Context, utc_now
from tools.history.jobs import slug
from tools.history.spec import TrainingSpec
from tools.history.store import Store
from tools.jobs.ending import apply_ending
from tools.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]
MATERIAL = Path(os.environ.get("LUTHIER_MATERIAL", ROOT.parent / "shared" / "material"))
STORIES = str(MATERIAL / "models" / "stories260K")
STARTER = "starter"
Patch = Callable[[ExitStack], None]


@dataclass
class Case:
    """A run to be made.

    Attributes:
        code: The cause that was put in; empty for a healthy run.
        patch: Puts in what no setting can.
        cured: Whether the cure's changes are tried out as well.
    """

    name: str
    code: str
    rows: Callable[[], tuple[Rows, Rows]]
    spec: dict[str, Any] = field(default_factory=dict)
    patch: Patch | None = None
    cured: bool = False
    model: str = STORIES


def spec_for(manifest: Any, case: Case, changes: dict[str, Any]) -> TrainingSpec:
    """A short LoRA run with usual settings, as the case changes them."""
    small = case.model == STORIES
    values: dict[str, Any] = {
        "path": manifest.source,
        "dataset": manifest.id,
        "dataset_fingerprint": manifest.fingerprint,
        "task": manifest.task,
        "objective": manifest.objective,
        "labels": manifest.labels,
        "model": case.model,
        "method": "lora",
        "rank": 8,
        "alpha": 16,
        "learning_rate": 1e-2 if small else 4e-3,
        "batch_size": 8,
        "max_steps": 80,
        "max_length": 128,
        "eval_steps": 10,
        "save_steps": 500,
        "probe": False,
    }
    return TrainingSpec(**values | case.spec | changes)


def make_context(folder: Path) -> Context:
    """A context with a home of its own."""
    environment = {
        "LUTHIER_HOME": str(folder / "home"),
        "HOME": str(folder),
        "LUTHIER_NETWORK": "never",
        "LUTHIER_WORKER_THREADS": "1",
    }
    settings = read_settings(environment).model_copy(update={"work_dir": folder})
    settings.home.mkdir(parents=True, exist_ok=True)
    return Context(settings)


@contextmanager
def trained(case: Case, **changes: Any) -> Iterator[tuple[Context, str]]:
    """Train a case; gives the context and the job's id while its home is there."""
    with tempfile.TemporaryDirectory() as folder:
        ctx = make_context(Path(folder))
        yield ctx, train_in(ctx, case, **changes)


def train_in(ctx: Context, case: Case, **changes: Any) -> str:
    """Train a case in this home and return the job's id."""
    from tools.work import worker
    from tools.work.report import Job

    manifest = write(ctx, slug(case.name), *case.rows())
    spec = spec_for(manifest, case, changes)
    record = ctx.store.jobs.create(spec, name=case.name)
    ctx.store.jobs.set_state(record.id, "running")
    ctx.settings.job_folder(record.id).mkdir(parents=True)
    store = Store.open_as_worker(ctx.settings.database, clock=utc_now)
    job = Job(ctx.store.jobs.get(record.id), ctx.settings, store)
    with ExitStack() as stack:
        if case.patch is not None:
            case.patch(stack)
        ending = worker._run(job)
    job.flush()
    apply_ending(store, job.record, ending)
    return record.id


def document_of(ctx: Context, job_id: str) -> dict[str, Any]:
    """Return a run as `luthier show --json` gives it, as small as a diagnosis can bear."""
    record = ctx.store.jobs.get(job_id)
    events = []
    for event in ctx.store.jobs.events(job_id):
        if event.kind in ("progress", "checkpoint"):
            continue
        payload = {k: v for k, v in event.payload.items() if v not in (None, [], {}, "")}
        events.append({"kind": event.kind, **payload})
    keep = {
        "train_loss",
        "macro_f1",
        "majority_share",
        "excluded",
        "n",
        "accuracy",
        "eval_loss",
        "base_accuracy",
        "base_eval_loss",
        "tfidf_accuracy",
        "forgetting",
    }
    return {
        "state": record.state,
        "spec": record.spec.model_dump(mode="json", exclude_defaults=True)
        | {"precision": record.training.precision},
        "events": events,
        "metrics": {k: v for k, v in record.metrics.items() if k in keep},
        "error": record.error,
    }
