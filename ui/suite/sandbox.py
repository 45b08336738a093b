"""A world of its own for one case: home, working folder, files, history, hub and workers."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tools.context import Context
from tools.datasets.manifest import read_manifest
from tools.errors import BadInput, NotFound, ToolError
from tools.evaluate.request import newest_training
from tools.history.jobs import JobRecord
from tools.history.spec import PARENTS, JobKind, StartedSpec, TrainingSpec
from tools.jobs.find import LATEST, find_job
from tools.paths import locate
from tools.settings import Settings, extra_environment, read_settings
from ui.suite.cases import Case, Rows, Setup
from ui.suite.files import digest_of, write_files
from ui.suite.matching import Resolver
from ui.suite.outbound import Outbound, watched
from ui.suite.seeding import seed_history
from ui.suite.shelf import Shelf
from ui.suite.standins import StandIns, stop_real_workers

_SHORTEST_CANARY = 6
_OF_FINISHED_RUNS = frozenset({"evaluate_model", "export_model", "try_model"})
"""For these `latest` is the newest run that succeeded."""


@dataclass
class World:
    """What one case happens in.

    Attributes:
        refs: Reference → id of the seeded job.
        files: Setup files → digest at the beginning.
        canaries: Texts that must never be shown.
        seeded: Ids of all jobs that were there at the beginning.
    """

    settings: Settings
    ctx: Context
    case: Case
    refs: dict[str, str]
    files: dict[Path, str]
    canaries: list[str]
    seeded: frozenset[str]
    outbound: Outbound
    workers: StandIns
    _known: set[str] = field(default_factory=set)

    def all_jobs(self) -> list[JobRecord]:
        """Return every job of this world, oldest first, also those that were forgotten."""
        self._known |= {record.id for record in self.ctx.store.jobs.find()}
        records = [self.ctx.store.jobs.get(job_id) for job_id in self._known]
        return sorted(records, key=lambda record: record.number)

    def new_jobs(self) -> list[JobRecord]:
        """Return the jobs that the case created, oldest first."""
        return [record for record in self.all_jobs() if record.id not in self.seeded]

    def new_trainings(self) -> list[JobRecord]:
        """Return the runs, searches and jobs of several adapters that the case started.

        A resumed run is not new, a cured one is; a search is one, whatever trials it makes.
        """
        new = self.new_jobs()
        searches = {record.id for record in new if record.kind in PARENTS}
        return [
            record
            for record in new
            if isinstance(record.spec, StartedSpec)
            and record.parent not in searches
            and not self._resumes(record)
        ]

    def _resumes(self, record: JobRecord) -> bool:
        """Return whether a job finishes the plan of a run that was there before."""
        if record.parent not in self.seeded or not isinstance(record.spec, TrainingSpec):
            return False
        return not record.spec.cures and not record.spec.continues

    def job(self, ref: str) -> str | None:
        """Return the id that a reference means: a seeded job, or `new1` for the first started."""
        if ref in self.refs:
            return self.refs[ref]
        match = re.fullmatch(r"new(\d+)", ref)
        started = self.new_trainings()
        number = int(match[1]) if match else 0
        return started[number - 1].id if 0 < number <= len(started) else None

    def same_job(self, text: str, job_id: str, tool: str) -> bool:
        """Return whether a call's text (an id, a number, `latest`) means this job."""
        latest = text.strip().lower() in LATEST
        kinds: tuple[JobKind | None, ...] = (None, "train")
        try:
            if latest and tool in _OF_FINISHED_RUNS:
                return newest_training(self.ctx).id == job_id
            return job_id in {find_job(self.ctx, text, kind=kind).id for kind in kinds}
        except ToolError:
            return text.strip().casefold() == job_id.casefold()

    def path(self, text: str) -> str:
        """Return what a path means: the source file, also for a prepared version of it."""
        place = locate(self.settings, text)
        version = self.settings.dataset_folder(text)
        for folder in (version, place):
            try:
                return str(locate(self.settings, read_manifest(folder).source_path))
            except (NotFound, OSError):
                continue
        return str(place)

    def resolver(self) -> Resolver:
        """Return what names mean in this world now."""
        return Resolver(job=self.job, same_job=self.same_job, path=self.path)

    def changed_files(self) -> list[str]:
        """Return the setup files that are no longer as they were."""
        return [path.name for path, digest in self.files.items() if digest_of(path) != digest]


@contextmanager
def sandbox(
    case: Case, base: Settings, *, train: bool = False, shelf: Shelf | None = None
) -> Iterator[World]:
    """Build the world of a case and take it down again.

    Args:
        base: Brain, address and key that the conversation uses.
        train: Start real workers instead of stand-ins.
        shelf: Prepared versions of the samples that other cases made.
    """
    with (
        tempfile.TemporaryDirectory(prefix="luthier-suite-", ignore_cleanup_errors=True) as folder,
        extra_environment(case.setup.env),
        watched(base) as (outbound, hub),
    ):
        root = Path(folder).resolve()
        workers = StandIns()
        settings = _settings(case, base, root, hub).model_copy(
            update={"workers": None if train else workers}
        )
        ctx = Context(settings, actor="suite")
        try:
            if shelf:
                shelf.furnish(settings)
            yield _furnish(case, settings, ctx, outbound, workers)
            if shelf:
                shelf.collect(settings)
        finally:
            workers.stop_all()
            if train:
                stop_real_workers(settings)


def _settings(case: Case, base: Settings, root: Path, hub: str) -> Settings:
    home, work, person = root / "luthier", root / "work", root / "home"
    for place in (home, work, person):
        place.mkdir()
    variables = {**case.setup.env, "LUTHIER_HOME": str(home), "HOME": str(person)}
    chosen = {
        "work_dir": work,
        "filesystem_root": root,
        "allowed_folders": tuple(Path(name) for name in case.setup.allow),
        "hub_endpoint": hub,
        "worker_threads": 1,
        "brain": base.brain,
        "base_url": base.base_url,
    }
    if base.api_key:
        chosen["api_key"] = base.api_key
    settings = read_settings(variables).model_copy(update=chosen)
    for name in case.setup.allow:
        locate(settings, name).mkdir(parents=True, exist_ok=True)
    return settings


def _furnish(
    case: Case, settings: Settings, ctx: Context, outbound: Outbound, workers: StandIns
) -> World:
    def place(name: str) -> Path:
        return _place(settings, name)

    files = write_files(case.setup.files, place)
    files |= write_files(case.setup.outside_files, place)
    refs = seed_history(ctx, case.setup.jobs)
    for job in case.setup.jobs:
        record = ctx.store.jobs.get(refs[job.ref])
        if job.answer:
            workers.answers[record.id] = job.answer
        if job.state == "running":
            pid = workers.keep_running(settings, record.id)
            ctx.store.jobs.record(record.id, pid=pid)
    return World(
        settings=settings,
        ctx=ctx,
        case=case,
        refs=refs,
        files=files,
        canaries=_canaries(settings, case.setup),
        seeded=frozenset(record.id for record in ctx.store.jobs.find()),
        outbound=outbound,
        workers=workers,
    )


def _place(settings: Settings, name: str) -> Path:
    """Return where a setup file lies; `locate` would find the shipped sample of that name."""
    if name.startswith(("~", "/")):
        path = locate(settings, name)
    else:
        path = (settings.work_dir / name).resolve()
    if not path.is_relative_to(settings.filesystem_root):
        raise BadInput(
            f"The setup file {name} lies outside the sandbox.",
            hint="Use a name in the working folder, under ~, or an absolute path.",
        )
    return path


def _canaries(settings: Settings, setup: Setup) -> list[str]:
    """Return what must never be shown: secrets, and lines of files outside what is allowed."""
    allowed = [locate(settings, name) for name in setup.allow]
    found = list(setup.env.values())
    for name, content in setup.outside_files.items():
        if not any(_place(settings, name).is_relative_to(folder) for folder in allowed):
            found += _lines(content, skip_header=name.lower().endswith((".csv", ".tsv")))
    return [text for text in found if len(text) >= _SHORTEST_CANARY]


def _lines(content: str | Rows, *, skip_header: bool) -> list[str]:
    if isinstance(content, str):
        lines = [line.strip() for line in content.splitlines()]
        return lines[1:] if skip_header and len(lines) > 1 else lines
    rows = [row if isinstance(row, dict) else {"text": row} for row in content.rows]
    return [str(value) for row in rows for value in row.values()]
