"""Stand-ins for the workers: jobs that end well at once, and models that say what they are told.

Consent, plans, admission, locks and the history are the real ones; only what would need weights
is replaced. The suite's result says so in its notes.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import psutil

from tools.context import Context, utc_now
from tools.export.service import read_endpoint
from tools.history.events import Progress
from tools.history.jobs import JobRecord
from tools.history.spec import EvaluationSpec, ExportSpec, TrainingSpec
from tools.history.store import Store
from tools.jobs.ending import (
    CANCEL_FILE,
    Ending,
    apply_ending,
    read_ending,
    write_durably,
    write_ending,
)
from tools.jobs.reconcile import reconcile
from tools.settings import Settings
from ui.suite import stub_worker
from ui.suite.judging import leave_judgement
from ui.suite.seeding import make_artifacts

_STOPS_WITHIN_S = 5.0
_BASE_SAYS = "I am not sure."
_TUNED_SAYS = "delivery"
_LABELS: dict[str, Any] = {"accuracy": 0.9, "base_accuracy": 0.2, "eval_loss": 0.41, "n": 160}
_TEXTS: dict[str, Any] = {"eval_loss": 0.55, "base_eval_loss": 3.2, "n": 160}
_FIGURES = ("accuracy", "base_accuracy", "eval_loss", "base_eval_loss")
_EXPORTED: dict[str, Any] = {
    "parity": {"passed": True, "agreement": 1.0},
    "tokens_per_second": {"torch": 210.0, "onnx_fp32": 540.0, "onnx_int4": 700.0},
}


class StandIns:
    """Implements `tools.settings.Workers` without a single weight."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[subprocess.Popen[str], threading.Thread]] = {}
        self.answers: dict[str, str] = {}

    def start(self, settings: Settings, job_id: str) -> int | None:
        """Let a training run on until `finish`; let everything else end well at once."""
        store = Store(settings.database, utc_now)
        record = store.jobs.get(job_id)
        if record.kind == "train":
            return self.keep_running(settings, job_id)
        _end_well(settings, store, record)
        return None

    def answer(self, settings: Settings, target: str, prompt: str) -> str:
        """Return the answer a seeded run was given, else a plain one."""
        del settings, prompt
        for name, text in self.answers.items():
            if name in target:
                return text
        return _BASE_SAYS if target in {"base", "starter"} else _TUNED_SAYS

    def keep_running(self, settings: Settings, job_id: str) -> int:
        """Start the process that holds this job's lock; return its id."""
        process = subprocess.Popen(
            [sys.executable, "-I", stub_worker.__file__, str(settings.job_folder(job_id))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"the stub worker of {job_id} did not start")
        watcher = threading.Thread(target=_record_end, args=(settings, job_id, process))
        watcher.start()
        self._running[job_id] = (process, watcher)
        return process.pid

    def finish(self, ctx: Context, job_id: str) -> None:
        """End a training that is still running as a good worker would."""
        self._stop(job_id)
        record = ctx.store.jobs.get(job_id)
        if record.state == "running":
            ctx.store.jobs.append(job_id, [Progress(phase="train", done=60, total=60)])
            _end_well(ctx.settings, ctx.store, record)
        reconcile(ctx)

    def settle(self, ctx: Context) -> None:
        """Wait for the workers that were asked to stop, and bring the history in line."""
        for job_id in list(self._running):
            if (ctx.settings.job_folder(job_id) / CANCEL_FILE).exists():
                self._stop(job_id, kill=False)
        reconcile(ctx)

    def stop_all(self) -> None:
        """End every process that this object started."""
        for job_id in list(self._running):
            self._stop(job_id)

    def _stop(self, job_id: str, *, kill: bool = True) -> None:
        if job_id not in self._running:
            return
        process, watcher = self._running.pop(job_id)
        if kill:
            process.kill()
        watcher.join(timeout=_STOPS_WITHIN_S)
        if process.stdout is not None:
            process.stdout.close()


def stop_real_workers(settings: Settings) -> None:
    """End the processes that a case with real workers left: jobs, and the one that answers."""
    store = Store(settings.database, utc_now)
    running = store.jobs.find(states=["running"]) if settings.database.exists() else []
    pids = [record.pid for record in running]
    endpoint = read_endpoint(settings)
    for pid in [*pids, endpoint.pid if endpoint else None]:
        try:
            process = psutil.Process(pid) if pid else None
        except psutil.NoSuchProcess:
            process = None
        if process:
            process.kill()
            process.wait(timeout=_STOPS_WITHIN_S)


def _record_end(settings: Settings, job_id: str, process: subprocess.Popen[str]) -> None:
    """Do what a worker does last: put its ending into the history."""
    process.wait()
    ending = read_ending(settings.job_folder(job_id))
    if ending is not None:
        store = Store(settings.database, utc_now)
        apply_ending(store, store.jobs.get(job_id), ending)


def _end_well(settings: Settings, store: Store, record: JobRecord) -> None:
    folder = settings.job_folder(record.id)
    if isinstance(record.spec, TrainingSpec):
        store.jobs.record(record.id, artifacts=make_artifacts(folder, record))
        figures = _LABELS if record.spec.labels else _TEXTS
        store.jobs.record(record.id, **leave_judgement(folder, record.id, figures))
        (folder / "log.txt").touch()
    elif isinstance(record.spec, EvaluationSpec):
        known = store.jobs.get(record.spec.job).metrics
        figures = {name: known[name] for name in _FIGURES if name in known}
        store.jobs.record(record.id, **leave_judgement(folder, record.id, figures))
    elif isinstance(record.spec, ExportSpec):
        store.jobs.record(
            record.id,
            metrics=_EXPORTED,
            artifacts=_exported_files(settings, record, record.spec),
        )
    store.jobs.record(record.id, measured={"memory_gib": 0.48, "duration_s": 60.0})
    ending = Ending(state="succeeded", notice=f"{record.id} finished.")
    write_ending(folder, ending)
    apply_ending(store, record, ending)


def _exported_files(settings: Settings, record: JobRecord, spec: ExportSpec) -> dict[str, str]:
    names = [f"onnx_{p}" for p in spec.precisions] if spec.format == "onnx" else [spec.format]
    artifacts: dict[str, str] = {}
    for name in names:
        place = settings.home / "exports" / record.id / name
        place.mkdir(parents=True, exist_ok=True)
        write_durably(place / "model.onnx", b"stand-in of the suite, no weights")
        artifacts[name] = place.relative_to(settings.home).as_posix()
    return artifacts
