"""From approval to the first step: a worker that loads everything itself, and one that has already.

A plan for the shipped tickets and the starter model is laid on the table and approved as a person
would, with a process standing by (as in the app and the terminal chat) or without. Processor
seconds are the worker's own, from the approval on. A run is stopped after its first step. Turns
alternate, so that a busy moment of the machine slows all alike.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import psutil

from tools.catalog import load_catalog
from tools.context import Context
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED
from tools.jobs.consent import grant
from tools.jobs.follow import wait
from tools.jobs.resume import cancel
from tools.jobs.standby import standing_by
from tools.settings import Settings, read_settings
from tools.shipped import shipped

REPEATS = 5
_THREADS = 2
_PATIENCE_S = 300.0
_LOOK_EVERY_S = 0.02
_READ_THE_PLAN_S = 30.0
_CASES = {
    "fresh process": None,
    "standing by, approved at once": 0.0,
    f"standing by, approved after {_READ_THE_PLAN_S:.0f} s": _READ_THE_PLAN_S,
}


def main() -> str:
    """Measure in turn; return a Markdown table."""
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in _CASES}
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(Path(folder))
        for _ in range(REPEATS):
            for name, waits_s in _CASES.items():
                ready = nullcontext(settings) if waits_s is None else standing_by(settings)
                with ready as given:
                    found[name].append(_measure(Context(given), waits_s or 0.0))
                print(name, *(f"{value:.2f}" for value in found[name][-1]), flush=True)
    lines = [
        f"| worker, median (fastest) of {REPEATS} | processor seconds to the first step"
        " | seconds to the first step | of these until its model is loaded | until the probe |",
        "|---|---|---|---|---|",
    ]
    for name, rows in found.items():
        busy, *clock = (
            f"{statistics.median(column):.1f} ({min(column):.1f})"
            for column in zip(*rows, strict=True)
        )
        lines.append(f"| {name} | {busy} | {clock[0]} | {clock[1]} | {clock[2]} |")
    lines += ["", f"{_THREADS} threads, load {psutil.getloadavg()[0]:.1f} at the end."]
    return "\n".join(lines)


def _measure(ctx: Context, waits_s: float) -> tuple[float, ...]:
    """Return processor seconds and seconds to the first step, then to model and probe."""
    tickets = str(shipped("samples", "support_tickets.csv"))
    plan = load_catalog()["start_training"].call(ctx, {"path": tickets})
    time.sleep(waits_s)
    before = {child.pid: _busy_s(child.pid) for child in psutil.Process().children()}
    approved = ctx.clock().timestamp()
    granted = grant(ctx, plan.approval_id, by="python")  # type: ignore[attr-defined]
    record = ctx.store.jobs.get(str(granted.job))
    samples = _follow(ctx, record)
    cancel(ctx, record)
    wait(ctx, record.id, timeout_s=_PATIENCE_S)
    events = ctx.store.jobs.events(record.id, kinds=["phase", "progress"])
    when: dict[str, float] = {}
    for event in events:
        # Of the phase that is called `train` the first step counts, not its beginning.
        if event.kind == "progress" or event.payload["phase"] != "train":
            when.setdefault(event.payload["phase"], event.at.timestamp())
    busy_s = next(busy for at, busy in samples if at >= when["train"])
    return (
        busy_s - before.get(record.pid or 0, 0.0),
        when["train"] - approved,
        when["read"] - approved,
        when["probe"] - approved,
    )


def _follow(ctx: Context, record: JobRecord) -> list[tuple[float, float]]:
    """Watch a worker until it has told of its first step; return when it had used how much."""
    samples: list[tuple[float, float]] = []
    deadline = time.monotonic() + _PATIENCE_S
    while not ctx.store.jobs.events(record.id, kinds=["progress"]):
        for _ in range(10):
            samples.append((time.time(), _busy_s(record.pid or 0)))
            time.sleep(_LOOK_EVERY_S)
        if time.monotonic() > deadline or ctx.store.jobs.get(record.id).state not in UNFINISHED:
            raise RuntimeError(f"{record.id} never made a step")
    return samples


def _busy_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _settings(folder: Path) -> Settings:
    settings = read_settings(
        {"LUTHIER_HOME": str(folder / "home"), "LUTHIER_WORKER_THREADS": str(_THREADS),
         "LUTHIER_NETWORK": "never", "HOME": str(folder)}
    )  # fmt: skip
    return settings.model_copy(update={"work_dir": folder})
