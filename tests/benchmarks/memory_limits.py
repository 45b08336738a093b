"""Runs that hit a real memory limit: how many the ladder saves, and with what.

Each case is first run free, to see how much memory a batch takes; then a fresh worker gets a limit
(RLIMIT_AS, or a control group's) between the needs of its batch and of a smaller one, or, in the
last cases, below any; in the late ones it comes in mid-run, below what is mapped. Nothing is told
of the limit: the run finds out by hitting it. Rows are kept as they are there and not measured
again; `LUTHIER_ANEW=1` forgets them, `LUTHIER_CASES=3,4` does these.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from tests.jobs_factory import make_dataset
from tests.memory_cases import CASES, Case, spec_of
from tools.context import Context
from tools.history.jobs import JobRecord
from tools.history.spec import MAY_CHANGE, UNFINISHED
from tools.jobs.follow import wait
from tools.jobs.launch import submit
from tools.jobs.reconcile import is_alive, reconcile
from tools.settings import Settings, read_settings
from tools.starting import Surroundings
from tools.work.nursery import Nursery

KEPT = Path(__file__).parent / "results" / "memory_limits.jsonl"
_DEADLINE_S = 900.0
_MIB = 2**20
_LEAST_BYTES = 500 * 2**20
"""Python itself and the history fit into it; the training libraries do not."""
_CHANGEABLE = frozenset(MAY_CHANGE)
_LATE_STEP = 4
_GROUP = Path("/sys/fs/cgroup/memory")


class Limited:
    """Starts workers and holds them to a limit of address space, or in a control group.

    Most are forked from a process that has loaded the libraries, as a search does with its trials.

    Attributes:
        limit_bytes: What the next worker may have, or None.
        group: Whether a control group holds it, which does not count what a fork shares.
        fresh: Whether it is a process of its own.
    """

    def __init__(self, home: Path) -> None:
        self._nursery = Nursery(home)
        self._nursery.warm(Surroundings(dict(os.environ), ("deepspeed",)))
        self._folder = _GROUP / f"luthier-{os.getpid()}"
        self.limit_bytes: int | None = None
        self.group = False
        self.fresh = False

    def start(self, settings: Settings, job_id: str) -> int | None:
        """Start a worker and limit it before its libraries are loaded or its job begins."""
        folder = settings.job_folder(job_id)
        pid = None if self.fresh else self._nursery.fork(job_id)
        if pid is None:
            with (folder / "log.txt").open("ab") as log:
                pid = subprocess.Popen(
                    [sys.executable, "-P", "-m", "tools.work.worker", job_id],
                    cwd=folder, env=settings.worker_environment(), stdin=subprocess.DEVNULL,
                    stdout=log, stderr=subprocess.STDOUT,
                ).pid  # fmt: skip
        if pid is not None and self.limit_bytes is not None:
            self.hold(pid, self.limit_bytes)
        return pid

    def hold(self, pid: int, limit_bytes: int) -> None:
        """Limit a running worker."""
        if not self.group:
            psutil.Process(pid).rlimit(psutil.RLIMIT_AS, (limit_bytes, limit_bytes))
            return
        self._folder.mkdir(exist_ok=True)
        (self._folder / "memory.limit_in_bytes").write_text(str(limit_bytes))
        (self._folder / "cgroup.procs").write_text(str(pid))

    def let_go(self) -> None:
        """Limit nothing more, and remove the control group once it is empty."""
        if self._folder.exists():
            _until(lambda: not (self._folder / "cgroup.procs").read_text(), "the group's end")
            self._folder.rmdir()
        self.limit_bytes = None

    def answer(self, settings: Settings, target: str, prompt: str) -> str:
        """Say nothing: only jobs run here."""
        return ""


def main() -> str:
    """Run the cases that are not there yet, and return the table."""
    chosen = [int(n) for n in os.environ.get("LUTHIER_CASES", "").split(",") if n]
    rows = [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []
    found = {} if "LUTHIER_ANEW" in os.environ else {row["case"]["name"]: row for row in rows}
    needs: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        ctx, workers = _context(Path(folder))
        for number, case in enumerate(CASES):
            if (number in chosen) if chosen else (case.name not in found):
                found[case.name] = row = measure(ctx, workers, case, needs)
                print(json.dumps(row), flush=True)
                KEPT.write_text("".join(json.dumps(row) + "\n" for row in found.values()))
    return table([found[case.name] for case in CASES if case.name in found])


def measure(ctx: Context, workers: Limited, case: Case, needs: dict[str, int]) -> dict[str, Any]:
    """Run one case free, with its batch and with one row, then under the limit.

    Args:
        needs: What was measured free already; grows.
    """
    workers.group = case.group
    workers.fresh = case.group or case.method == "qlora"
    wanted, smaller = _need(ctx, case, needs), _need(ctx, _one_row(case), needs)
    limit = max(round(smaller + case.share * (wanted - smaller)), _LEAST_BYTES)
    if case.wide:
        limit = round(wanted * 0.9)
    workers.limit_bytes = None if case.late else limit
    spec = spec_of(ctx, case)
    record = submit(ctx, spec, name="limited")
    if case.late:
        _until(lambda: _last_step(ctx, record) >= _LATE_STEP, "the first steps")
        pid = ctx.store.jobs.get(record.id).pid
        assert pid is not None
        # The largest of some moments: what a step takes is given back after it.
        used = max(_most("VmSize", pid) for _ in range(50) if not time.sleep(0.02))
        limit = round(smaller + case.share * (min(used, wanted) - smaller))
        workers.hold(pid, limit)
    ended = wait(ctx, record.id, timeout_s=_DEADLINE_S)
    if ended.state in UNFINISHED:
        raise RuntimeError(f"{case.name} is still {ended.state}")
    workers.let_go()
    attempts = [
        e.payload["changes"]
        for e in ctx.store.jobs.events(record.id, kinds=["attempt"])
        if e.payload["changes"]
    ]
    touched = {name for changes in attempts for name in changes}
    last = {k: v[1] for changes in attempts for k, v in changes.items()}
    batch = last.get("batch_size", case.batch)
    accumulation = last.get("gradient_accumulation", spec.gradient_accumulation)
    metrics = ctx.store.jobs.events(record.id, kinds=["metrics"])
    error = ended.error or {}
    return {
        "case": asdict(case),
        "needed_mib": round(wanted / _MIB),
        "limit_mib": round(limit / _MIB),
        "state": ended.state,
        "refused_by": error.get("refused_by"),
        "tries": len(attempts),
        "became": last,
        "protected_changed": sorted(touched - _CHANGEABLE),
        "spec_unchanged": ended.plan_hash == record.plan_hash and ended.spec == spec,
        "same_update": batch * accumulation == case.batch * spec.gradient_accumulation,
        "steps": len({e.payload["step"] for e in metrics if e.payload["loss"] is not None}),
        "planned_steps": spec.max_steps,
        "resumed_at": _resumed_at(ctx, record),
        "message": error.get("message", ""),
        "proposal": error.get("hint", ""),
    }


def _one_row(case: Case) -> Case:
    """Return the least that can be tried: one row, in a run that needs about as little as any."""
    method = case.method if case.method in ("qlora", "full") else "lora"
    words = 200 if not case.wide else case.words
    rate = {"learning_rate": 1e-3} if method == "full" else {}
    return Case("one row", method, 1, words, group=case.group, wide=case.wide, changes=rate)


def _need(ctx: Context, case: Case, needs: dict[str, int]) -> int:
    """Return the most memory that a free run takes for its first, longest batches."""
    of = [case.method, case.objective, case.batch, case.words, case.group, case.wide, case.changes]
    key = json.dumps(of)
    if key not in needs:
        record = submit(ctx, spec_of(ctx, case, may_change=()), name="free")
        needs[key] = _peak(ctx, record, resident=case.group)
        reconcile(ctx)
    return needs[key]


def _peak(ctx: Context, record: JobRecord, *, resident: bool) -> int:
    what, peak = "VmHWM" if resident else "VmPeak", 0
    while (now := ctx.store.jobs.get(record.id)).state in UNFINISHED:
        peak = max(peak, _most(what, now.pid))
        gates = ctx.store.jobs.events(record.id, kinds=["gate"])
        if now.pid and any(event.payload["gate"] == "probe" for event in gates):
            # What it learns is of no interest.
            peak = max(peak, _most(what, now.pid))
            psutil.Process(now.pid).kill()
            _until(lambda: not is_alive(ctx.settings.job_folder(record.id)), "its end")
            return peak
        time.sleep(0.05)
    raise RuntimeError(f"the free run is {now.state}: {now.error}")


def _last_step(ctx: Context, record: JobRecord) -> int:
    metrics = ctx.store.jobs.events(record.id, kinds=["metrics"])
    return max((event.payload["step"] for event in metrics), default=0)


def _resumed_at(ctx: Context, record: JobRecord) -> list[str]:
    phases = ctx.store.jobs.events(record.id, kinds=["phase"])
    return [e.payload["note"] for e in phases if e.payload["phase"] == "train"][1:]


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"never happened: {what}")
        time.sleep(0.02)


def _most(what: str, pid: int | None) -> int:
    """Return the most bytes a process has had so far; 0 before it lives and after its end.

    Args:
        what: `VmPeak` for addresses, `VmHWM` for what was resident.
    """
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0
    found = re.search(rf"^{what}:\s+(\d+) kB", status.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _context(folder: Path) -> tuple[Context, Limited]:
    settings = read_settings(
        {"LUTHIER_HOME": str(folder / "home"), "HOME": str(folder), "HF_HUB_OFFLINE": "1",
         "LUTHIER_WORKER_THREADS": "1"}
    )  # fmt: skip
    ctx = Context(settings.model_copy(update={"work_dir": folder}))
    make_dataset(ctx)  # so that there is a home
    os.environ.update(settings.worker_environment())
    workers = Limited(settings.home)
    return Context(ctx.settings.model_copy(update={"workers": workers})), workers


def table(rows: list[dict[str, Any]]) -> str:
    """Return the figures, what fell short, and a row for each case."""
    meant = [r for r in rows if r["case"]["saved"]]
    saved = [r for r in meant if _is_saved(r)]
    others = [r for r in rows if not r["case"]["saved"]]
    proposed = [r for r in others if _is_proposed(r)]
    wrong = [r for r in rows if r["protected_changed"] or not r["spec_unchanged"]]
    share = len(saved) / max(1, len(meant))
    first = sum(r["tries"] <= 1 for r in saved)
    kinds = (
        f"RLIMIT_AS, {sum(r['case']['group'] for r in rows)} a control group, "
        f"{sum(r['case']['late'] for r in rows)} lowered in mid-run to less than is mapped"
    )
    lines = [
        f"{len(rows)} runs under a real limit that their batch breaks ({kinds}). Of {len(meant)} "
        f"meant to be saved {len(saved)} ({share:.0%}) finished all their steps "
        f"within two tries with the same rows per update, {first} of them in one; of "
        f"{len(others)} that nothing can save {len(proposed)} ended with a proposal; {len(wrong)} "
        f"changed a protected field.",
        "",
        *[
            f"- Not as meant: {r['case']['name']} ended `{r['state']}` after {r['tries']} tries. "
            f"{r['message']} {r['proposal']}".rstrip()
            for r in rows
            if r not in saved and r not in proposed
        ],
        "",
        "| case | needed MiB | limit MiB | end | tries | became | went on | proposal |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        became = ", ".join(f"{k} {v}" for k, v in r["became"].items()) or "–"
        proposal = f"{r['message']} {r['proposal']}" if r["state"] == "failed" else "–"
        lines.append(
            f"| {r['case']['name']} | {r['needed_mib']} | {r['limit_mib']} | {r['state']} "
            f"| {r['tries']} | {became} | {'; '.join(r['resumed_at']) or '–'} | {proposal} |"
        )
    return "\n".join(lines)


def _is_proposed(row: dict[str, Any]) -> bool:
    return bool(row["refused_by"] == "memory" and row["proposal"])


def _is_saved(row: dict[str, Any]) -> bool:
    whole = row["same_update"] and row["steps"] == row["planned_steps"]
    return bool(row["state"] == "succeeded" and whole and row["tries"] <= 2)
