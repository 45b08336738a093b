"""Deleting what a job or a dataset version left: an exact list first, then exactly that list."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.context import Context
from tools.datasets.manifest import Manifest
from tools.errors import BadInput, Conflict, NotAllowed, NotFound
from tools.history.jobs import JobRecord
from tools.history.spec import PARENTS, UNFINISHED, StartedSpec, runs_of
from tools.history.store import DatasetRecord
from tools.jobs.find import find_job
from tools.jobs.reports import PlanReport
from tools.paths import locate

ACTION = "forget"
_MIB = 2**20


def ask_to_forget(ctx: Context, *, jobs: Sequence[str] = (), path: str | None = None) -> PlanReport:
    """Store the exact list of what would be deleted, and let it wait for consent.

    Raises:
        BadInput: Nothing was named.
        NotFound: There is no such job or prepared dataset.
        Conflict: It is in use.
    """
    if not jobs and path is None:
        raise BadInput(
            "Nothing was named to delete.", hint="Name a job, several jobs, or a prepared dataset."
        )
    named = [find_job(ctx, job) for job in dict.fromkeys(jobs)]
    # The trials of a search go with it, and each of several adapters.
    parts = [t for r in named if r.kind in PARENTS for t in ctx.store.jobs.find(parent=r.id)]
    records = list({record.id: record for record in [*named, *parts]}.values())
    versions = _versions(ctx, path) if path is not None else []
    for record in records:
        _check_job(record)
    _check_unused(ctx, versions)
    plan = _plan(ctx, records, versions)
    approval = ctx.store.approvals.request(
        ACTION,
        subject=_subject(plan),
        plan=plan,
        card=_card(plan),
        thread_id=ctx.thread_id,
        call_id=ctx.call_id,
    )
    return PlanReport(
        state=approval.state,
        action=ACTION,
        approval_id=approval.id,
        plan_hash=approval.plan_hash,
        subject=approval.subject,
        plan=approval.plan,
        estimate={"freed_bytes": plan["total_bytes"]},
        card=approval.card,
    )


def still_the_same(ctx: Context, plan: dict[str, Any]) -> bool:
    """Return whether what the plan lists is still exactly what lies there."""
    return all(
        _measure(_inside(ctx, entry["folder"])) == (entry["files"], entry["bytes"])
        for entry in plan["folders"]
    )


def delete(ctx: Context, plan: dict[str, Any]) -> str:
    """Delete exactly what the plan lists; the history keeps the rows.

    Raises:
        Conflict: A job of it runs again.
        NotAllowed: A folder of it lies outside Luthier's home.
    """
    for job_id in plan["jobs"]:
        _check_job(ctx.store.jobs.get(job_id))
    for entry in plan["folders"]:
        folder = _inside(ctx, entry["folder"])
        if folder.exists():
            shutil.rmtree(folder)
    for job_id in plan["jobs"]:
        ctx.store.jobs.forget(job_id)
    for version in plan["datasets"]:
        ctx.store.forget_dataset(version)
    names = ", ".join([*plan["jobs"], *plan["datasets"]])
    return f"Deleted {names}: {plan['total_bytes'] / _MIB:.1f} MiB freed."


def _plan(ctx: Context, records: list[JobRecord], versions: list[DatasetRecord]) -> dict[str, Any]:
    names = [f"jobs/{record.id}" for record in records]
    names += [f"exports/{record.id}" for record in records if record.kind == "export"]
    names += [f"datasets/{version.id}" for version in versions]
    folders = []
    for name in names:
        folder = _inside(ctx, name)
        if folder.exists():
            files, size = _measure(folder)
            folders.append({"folder": name, "files": files, "bytes": size})
    return {
        "jobs": [record.id for record in records],
        "datasets": [version.id for version in versions],
        "folders": folders,
        "total_bytes": sum(int(str(entry["bytes"])) for entry in folders),
    }


def _check_job(record: JobRecord) -> None:
    if record.state in UNFINISHED:
        raise Conflict(
            f"{record.id} is {record.state}, so its files are in use.",
            hint=f"Cancel it first: `luthier cancel {record.id}`.",
        )
    if record.forgotten_at:
        raise NotFound(f"The files of {record.id} were already deleted.", hint="Name another job.")


def _check_unused(ctx: Context, versions: list[DatasetRecord]) -> None:
    wanted = {version.id for version in versions}
    for job in ctx.store.jobs.find(states=UNFINISHED):
        spec = job.spec
        runs = runs_of(spec) if isinstance(spec, StartedSpec) else (spec,)
        if wanted & {getattr(run, "dataset", None) for run in runs}:
            raise Conflict(
                f"{job.id} is {job.state} and uses that data.", hint="Wait for it, or cancel it."
            )


def _versions(ctx: Context, path: str) -> list[DatasetRecord]:
    text = path.strip().strip("\"'")
    real = str(locate(ctx.settings, text))
    found = []
    for version in ctx.store.datasets():
        folder = str(ctx.settings.dataset_folder(version.id).resolve())
        manifest = Manifest.model_validate(version.manifest)
        if text in (version.id, version.source) or real in (folder, manifest.source_path):
            found.append(version)
    if not found:
        raise NotFound(
            f"There is no prepared dataset of {path}.",
            hint="Luthier deletes only what it made; your own files stay yours to delete.",
        )
    return found


def _inside(ctx: Context, name: str) -> Path:
    home = ctx.settings.home.resolve()
    folder = home / name
    if folder.is_symlink() or folder.resolve() != folder or not folder.is_relative_to(home):
        raise NotAllowed(
            f"{name} does not lie in Luthier's own folder.",
            hint="Look at it yourself; Luthier deletes only inside its home.",
        )
    return folder


def _measure(folder: Path) -> tuple[int, int]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return len(files), sum(path.stat().st_size for path in files)


def _subject(plan: dict[str, Any]) -> str:
    return f"Delete the files of {', '.join([*plan['jobs'], *plan['datasets']])} for good."


def _card(plan: dict[str, Any]) -> dict[str, str]:
    return {
        entry["folder"]: f"{entry['files']} files, {entry['bytes'] / _MIB:.1f} MiB"
        for entry in plan["folders"]
    } | {"in all": f"{plan['total_bytes'] / _MIB:.1f} MiB", "stays": "the entry in the history"}
