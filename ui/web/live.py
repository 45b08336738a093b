"""The state of a job as its events tell it, kept up to date with a cursor."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from tools.errors import NotFound
from tools.history.jobs import EventRecord, JobRecord
from tools.history.spec import UNFINISHED
from tools.history.store import Store
from ui.web.plot import Point

_KINDS = ("progress", "metrics", "phase", "warning", "attempt")
GAUGES = ("learning_rate", "grad_norm", "tokens_per_s", "memory_gib", "gpu_utilization")
"""What is drawn beside the loss, by the names of the `metrics` event."""
_KEPT_JOBS = 32


@dataclass
class Life:
    """What the events of one job have told so far; `cursor` is the last one read."""

    cursor: int = 0
    train: list[Point] = field(default_factory=list)
    validation: list[Point] = field(default_factory=list)
    phase: str = ""
    note: str = ""
    done: int = 0
    total: int = 0
    eta_s: float | None = None
    total_steps: int | None = None
    memory_gib: float | None = None
    memory_limit_gib: float | None = None
    tokens_per_s: float | None = None
    gauges: dict[str, list[Point]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def read(self, event: EventRecord) -> None:
        """Take in one event."""
        self.cursor, told = event.seq, event.payload
        match event.kind:
            case "phase":
                self.phase, self.note = told["phase"], told["note"]
                self.done, self.total, self.eta_s = 0, 0, None
            case "progress":
                self.phase, self.done, self.total = told["phase"], told["done"], told["total"]
                self.eta_s = told["eta_s"]
                if self.phase == "train":
                    self.total_steps = self.total
            case "metrics":
                self._read_metrics(told)
            case "warning":
                self.warnings.append(told["message"])
            case "attempt":
                self.warnings.append(told["reason"])

    def _read_metrics(self, told: dict[str, float | None]) -> None:
        step = float(told["step"] or 0)
        for name in GAUGES:
            if (value := told.get(name)) is not None:
                self.gauges.setdefault(name, []).append((step, float(value)))
        self.memory_limit_gib = told.get("memory_limit_gib") or self.memory_limit_gib
        if (loss := told["loss"]) is not None:
            self.train.append((step, loss))
        if (loss := told["eval_loss"]) is not None:
            self.validation.append((step, loss))
        self.memory_gib = told["memory_gib"] or self.memory_gib
        self.tokens_per_s = told["tokens_per_s"] or self.tokens_per_s


class Lives:
    """Reads each event once. Only a cache: the events are in the store."""

    def __init__(self) -> None:
        self._lives: OrderedDict[str, Life] = OrderedDict()
        self._mutex = threading.Lock()

    def of(self, store: Store, job_id: str) -> Life:
        """Return a job's life up to now."""
        with self._mutex:
            life = self._lives.setdefault(job_id, Life())
            self._lives.move_to_end(job_id)
            while len(self._lives) > _KEPT_JOBS:
                self._lives.popitem(last=False)
            for event in store.jobs.events(job_id, after=life.cursor, kinds=_KINDS):
                life.read(event)
            return life


def job_to_show(store: Store, thread_id: str) -> JobRecord | None:
    """Return what the run panel is about: what runs, else what waits, else this chat's last job."""
    unfinished = store.jobs.find(states=UNFINISHED)
    running = [job for job in unfinished if job.state == "running"]
    for group in (running, unfinished):
        if group:
            mine = [job for job in group if job.thread_id == thread_id]
            return (mine or group)[0]
    recent = store.jobs.find(limit=40)
    return next((job for job in recent if job.thread_id == thread_id), None)


def parent_of(store: Store, job: JobRecord | None) -> JobRecord | None:
    """Return the training that a job is about; None where there is none, or it was deleted."""
    if job is None or job.parent is None:
        return None
    try:
        return store.jobs.get(job.parent)
    except NotFound:
        return None
