"""What the store knows, told to every brain before it speaks.

Plans that wait, jobs and files change between turns and outlive any summary of the conversation;
so they are read fresh from the store and handed over as one JSON block in the system message.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.context import Context
from tools.history.approvals import Approval
from tools.history.jobs import JobRecord
from tools.history.spec import (
    AdaptersSpec,
    EvaluationSpec,
    ExportSpec,
    SearchSpec,
    TrainingSpec,
    run_of,
)
from tools.shipped import shipped

OPEN, CLOSE = "<state>", "</state>"
_MOST_JOBS = 20
_MOST_FILES = 40
_DEPTH = 2
_DATA_SUFFIXES = frozenset(
    {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".xlsx", ".txt", ".conll", ".arrow"}
)
_PLAN_FIELDS = (
    "path", "model", "method", "rank", "alpha", "dropout", "epochs", "max_steps", "learning_rate",
    "weight_decay", "batch_size", "gradient_accumulation", "max_length", "eval_fraction", "dedupe",
    "template", "device", "goal", "max_minutes", "engine", "objective", "batching", "loss",
    "trials",
)  # fmt: skip
_METRICS = (
    "verdict", "verdict_text", "accuracy", "base_accuracy", "macro_f1", "eval_loss",
    "base_eval_loss", "perplexity", "base_perplexity", "n",
)  # fmt: skip


def read_state(ctx: Context, files: Sequence[str] = ()) -> dict[str, Any]:
    """Return what is waiting, running and at hand, as plain JSON."""
    store = ctx.store
    jobs = store.jobs.find(limit=_MOST_JOBS)
    return {
        "waiting": [_waiting(a) for a in store.approvals.waiting(ctx.thread_id)],
        "jobs": [_job(job, ctx.thread_id) for job in jobs],
        "files": data_files(ctx.settings.work_dir),
        "samples": data_files(shipped("samples"), prefix="data/samples/", depth=1),
        "attached": list(files),
        "prepared": [
            {"id": version.id, "source": version.source} for version in store.datasets(limit=10)
        ],
        "network": ctx.settings.network,
    }


def state_message(state: dict[str, Any]) -> str:
    """Return the block that is put behind the system prompt."""
    return f"{OPEN}{json.dumps(state, ensure_ascii=False)}{CLOSE}"


def parse_state(text: str) -> dict[str, Any]:
    """Return the state in a system message; empty where it holds none."""
    start, end = text.rfind(OPEN), text.rfind(CLOSE)
    if start < 0 or end < start:
        return {}
    state: dict[str, Any] = json.loads(text[start + len(OPEN) : end])
    return state


def data_files(folder: Path, *, prefix: str = "", depth: int = _DEPTH) -> list[str]:
    """Return names of files that may be data, nearest first, relative to the folder."""
    found: list[str] = []
    for root, folders, names in os.walk(folder):
        here = Path(root).relative_to(folder)
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__", "node_modules")))
        if len(here.parts) + 1 >= depth:
            folders.clear()
        found += [
            prefix + str(here / name)
            for name in sorted(names)
            if Path(name).suffix.lower() in _DATA_SUFFIXES and not name.startswith(".")
        ]
        if len(found) >= _MOST_FILES:
            break
    return found[:_MOST_FILES]


def _waiting(approval: Approval) -> dict[str, Any]:
    # A search holds the run that it varies, several adapters the run of each.
    first: dict[str, Any] = next((named["run"] for named in approval.plan.get("runs", ())), {})
    plan = {**approval.plan.get("base", first), **approval.plan}
    return {
        "approval": approval.id,
        "action": approval.action,
        "subject": approval.subject,
        "plan": {name: plan[name] for name in _PLAN_FIELDS if plan.get(name) is not None},
    }


def _job(job: JobRecord, thread_id: str | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "created_at": job.created_at.isoformat(timespec="seconds"),
        "here": bool(thread_id) and job.thread_id == thread_id,
    }
    spec = job.spec
    run = run_of(spec)
    if isinstance(run, TrainingSpec):
        values = run.model_dump(mode="json")
        told |= {name: values[name] for name in _PLAN_FIELDS if values.get(name) is not None}
    elif isinstance(spec, EvaluationSpec | ExportSpec):
        told["job"] = spec.job
        told |= {"format": spec.format} if isinstance(spec, ExportSpec) else {}
    if isinstance(spec, SearchSpec):
        told |= {"trials": spec.trials, "max_minutes": spec.max_minutes}
    if isinstance(spec, AdaptersSpec):
        told["adapters"] = [named.name for named in spec.runs]
    if job.parent:
        told["parent"] = job.parent
    told["metrics"] = {k: job.metrics[k] for k in _METRICS if job.metrics.get(k) is not None}
    told["artifacts"] = sorted(job.artifacts)
    if job.error:
        told["error"] = job.error.get("message")
    return told
