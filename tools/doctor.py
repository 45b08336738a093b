"""Is this machine able to do the job? Looks at everything a run needs, then really does one step.

The trial trains one step of the starter model on sample rows and exports it to ONNX, through the
real workers, in a temporary home that is deleted afterwards.
"""

from __future__ import annotations

import csv
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from itertools import islice
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from pydantic import BaseModel, ConfigDict

from tools.advise.hardware import this_machine
from tools.advise.plan import PlanRequest, compile_plan
from tools.context import Context
from tools.datasets.quarantine import disarm
from tools.errors import ToolError, TooNew, Unavailable
from tools.evaluate.request import result_of
from tools.export.request import export
from tools.history.database import check_version
from tools.history.jobs import JobRecord
from tools.jobs.follow import wait
from tools.jobs.launch import submit
from tools.reports import Report
from tools.settings import Settings
from tools.shipped import shipped

CheckState = Literal["ok", "note", "broken"]
_LEAST_PYTHON = (3, 11)
_LEAST_MEMORY_GIB = 1.5
_LEAST_DISK_GIB = 1.0
_TRIAL_PATIENCE_S = 420.0
_LOG_LINES = 4
_TRIAL_ROWS = 150


class Check(BaseModel):
    """One thing that was looked at.

    Attributes:
        found: What was found, in a few words.
        fix: What to do, where something is wrong or worth knowing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    state: CheckState
    found: str
    fix: str = ""
    seconds: float = 0.0


class DoctorReport(Report):
    """All checks. `healthy` is false where something is broken."""

    healthy: bool
    checks: tuple[Check, ...]

    def text(self) -> str:
        """Return a line per check, and what to do about the broken ones."""
        marks = {"ok": "ok    ", "note": "note  ", "broken": "BROKEN"}
        lines = []
        for check in self.checks:
            lines.append(f"{marks[check.state]}  {check.name}: {disarm(check.found)}")
            if check.fix:
                lines.append(f"        {disarm(check.fix)}")
        broken = sum(check.state == "broken" for check in self.checks)
        lines += ["", "Everything works." if not broken else f"{broken} to be put right."]
        return "\n".join(lines)


def diagnose_machine(settings: Settings, *, trial: bool = True) -> DoctorReport:
    """Check this machine.

    Args:
        trial: Also train one step and export it; takes about a minute.
    """
    checks = [
        _timed(name, look, settings)
        for name, look in (
            ("Python", _python),
            ("packages", _packages),
            ("home", _home),
            ("disk", _disk),
            ("memory", _memory),
            ("GPU", _gpu),
            ("history", _database),
            ("port", _port),
            ("starter model", _starter),
        )
    ]
    if trial and not any(check.state == "broken" for check in checks):
        checks += _trial(settings)
    healthy = not any(check.state == "broken" for check in checks)
    return DoctorReport(healthy=healthy, checks=tuple(checks))


Finding = tuple[CheckState, str, str]


def _timed(name: str, look: Callable[[Settings], Finding], settings: Settings) -> Check:
    began = time.monotonic()
    state, found, fix = look(settings)
    seconds = round(time.monotonic() - began, 2)
    return Check(name=name, state=state, found=found, fix=fix, seconds=seconds)


def _python(_: Settings) -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if tuple(sys.version_info[:2]) < _LEAST_PYTHON:
        return "broken", found, "Install Python 3.11 or newer and install Luthier into it."
    return "ok", found, ""


def _packages(_: Settings) -> Finding:
    try:
        needs = [Requirement(text) for text in requires("luthier") or []]
    except PackageNotFoundError:
        return "broken", "Luthier is not installed in this Python.", "Run `pip install luthier`."
    wrong = []
    counted = 0
    for need in needs:
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        counted += 1
        try:
            here = version(need.name)
        except PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(here, prereleases=True):
            wrong.append(f"{need.name} is {here}, needed is {need.specifier}")
    if wrong:
        return "broken", "; ".join(wrong), "Install Luthier again with its constraints.txt."
    return "ok", f"all {counted} are here", ""


def _home(settings: Settings) -> Finding:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.home) as file:
            file.write(b"x")
    except OSError as error:
        found = f"{settings.home} cannot be written: {error.strerror}"
        return "broken", found, "Point LUTHIER_HOME at a folder you can write to."
    return "ok", f"{settings.home} can be written", ""


def _disk(settings: Settings) -> Finding:
    place = settings.home if settings.home.exists() else settings.home.parent
    if not place.exists():
        return "note", "unknown", "The home does not exist yet."
    free = shutil.disk_usage(place).free / 2**30
    if free < _LEAST_DISK_GIB:
        fix = "Free some space, or point LUTHIER_HOME at a larger disk."
        return "broken", f"{free:.1f} GiB free", fix
    return "ok", f"{free:.1f} GiB free", ""


def _memory(settings: Settings) -> Finding:
    machine = this_machine(settings)
    found = f"{machine.free_memory_gib:.1f} of {machine.memory_gib:.1f} GiB free"
    if machine.free_memory_gib < _LEAST_MEMORY_GIB:
        return "broken", found, "Close other programs; even the starter model needs 1.5 GiB."
    return "ok", found, ""


def _gpu(settings: Settings) -> Finding:
    gpus = this_machine(settings).gpus
    if not gpus:
        return "note", "none seen", "Small models train on the CPU; larger ones need a GPU."
    return "ok", ", ".join(f"{gpu.name}, {gpu.free_gib:.0f} GiB free" for gpu in gpus), ""


def _database(settings: Settings) -> Finding:
    if not settings.database.exists():
        return "ok", "none yet; it is created at the first start", ""
    try:
        check_version(settings.database)
    except TooNew as error:
        return "broken", error.problem, error.hint
    except Unavailable as error:
        older = "older than this Luthier" in error.problem
        return ("note" if older else "broken"), error.problem, error.hint
    return "ok", "readable and of this version", ""


def _port(settings: Settings) -> Finding:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", settings.port))
        except OSError:
            fix = "Luthier may already be open; otherwise choose another with `--port`."
            return "note", f"{settings.port} is in use", fix
    return "ok", f"{settings.port} is free", ""


def _starter(_: Settings) -> Finding:
    folder = shipped("starter-model")
    if not (folder / "model.safetensors").is_file():
        return "broken", "missing", "Install Luthier again."
    return "ok", f"{(folder / 'model.safetensors').stat().st_size / 1e6:.1f} MB", ""


def _trial(settings: Settings) -> list[Check]:
    """Train one step and export it; the second is left out where the first fails."""
    folder = Path(tempfile.mkdtemp(prefix="luthier-doctor-"))
    alone = {"home": folder / "home", "work_dir": folder, "network": "never", "workers": None}
    ctx = Context(settings.model_copy(update=alone), actor="python")
    try:
        return list(_steps(ctx, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _steps(ctx: Context, folder: Path) -> Iterator[Check]:
    began = time.monotonic()
    record: JobRecord | None = None
    name = "one training step"
    try:
        record = _train(ctx, folder)
        yield _ended(ctx, name, record, began)
        if record.state != "succeeded":
            return
        name, began = "ONNX export", time.monotonic()
        result_of(ctx, record)
        report = export(ctx, record.id, form="onnx", precision="fp32", device="cpu")
        yield _ended(ctx, name, wait(ctx, report.job, timeout_s=_TRIAL_PATIENCE_S), began)
    except ToolError as error:
        seconds = round(time.monotonic() - began, 1)
        yield Check(name=name, state="broken", found=error.problem, fix=error.hint, seconds=seconds)


def _train(ctx: Context, folder: Path) -> JobRecord:
    data = folder / "doctor.csv"
    with (
        shipped("samples", "support_tickets.csv").open(encoding="utf-8", newline="") as sample,
        data.open("w", encoding="utf-8", newline="") as file,
    ):
        csv.writer(file).writerows(islice(csv.reader(sample), 1 + _TRIAL_ROWS))
    request = PlanRequest(path=str(data), model="starter", method="lora", max_steps=1)
    plan = compile_plan(ctx, request)
    job = submit(ctx, plan.spec, name="doctor")
    return wait(ctx, job.id, timeout_s=_TRIAL_PATIENCE_S)


def _ended(ctx: Context, name: str, record: JobRecord, began: float) -> Check:
    seconds = round(time.monotonic() - began, 1)
    if record.state == "succeeded":
        return Check(name=name, state="ok", found=f"done in {seconds:.0f} s", seconds=seconds)
    error = record.error or {}
    found = str(error.get("message") or f"the worker is {record.state} after {seconds:.0f} s")
    log = ctx.settings.job_folder(record.id) / "log.txt"
    lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:] if log.is_file() else []
    fix = str(error.get("hint") or "Install Luthier again with its constraints.txt.")
    if lines and error.get("code") in (None, "bug"):
        found += f" Its log ends: {' / '.join(line.strip() for line in lines)[-400:]}"
        fix = "Install Luthier again with its constraints.txt; if that does not help, report this."
    return Check(name=name, state="broken", found=found, fix=fix, seconds=seconds)
