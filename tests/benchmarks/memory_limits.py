"""Runs that hit a real memory limit: how many the ladder saves, and with what.

Each case is first run free, to see how much address space a batch takes; then a fresh worker gets
a limit (RLIMIT_AS) between the needs of its batch and of a smaller one, or, in the last cases,
below any. Nothing is told of the limit: the run finds out by hitting it.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.jobs_factory import make_dataset, make_spec
from tools.advise.specifying import MAY_CHANGE
from tools.context import Context
from tools.history.spec import TrainingSpec
from tools.jobs.follow import wait
from tools.jobs.launch import submit
from tools.settings import Settings, read_settings

_DEADLINE_S = 240.0
_MIB = 2**20
_CHANGEABLE = frozenset(MAY_CHANGE)


@dataclass(frozen=True)
class Case:
    """A run, and where between the needs of its batch and a smaller one the limit lies.

    Attributes:
        share: 0 is the need of a batch of `fits` rows, 1 that of the planned batch.
        saved: Whether the ladder can save it at all.
    """

    name: str
    method: str
    batch: int
    words: int
    share: float = 0.5
    fits: int = 1
    saved: bool = True
    changes: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case("LoRA, 64 long rows", "lora", 64, 200),
    Case("LoRA, 64 long rows, little room", "lora", 64, 200, share=0.25),
    Case("LoRA, 96 rows (not a power of two)", "lora", 96, 200),
    Case("DoRA, 64 long rows", "dora", 64, 200),
    Case("rsLoRA, rank 64", "rslora", 64, 200, changes={"rank": 64, "alpha": 64}),
    Case("IA3, 64 long rows", "ia3", 64, 200),
    Case("full, 64 long rows", "full", 64, 200, changes={"learning_rate": 1e-3}),
    Case("full, 48 rows, little room", "full", 48, 200, share=0.25),
    Case("LoRA, 128 shorter rows", "lora", 128, 100),
    Case("LoRA with accumulation already", "lora", 32, 200, changes={"gradient_accumulation": 2}),
    Case("LoRA, label smoothing", "lora", 64, 200, changes={"loss": "label_smoothing"}),
    Case("LoRA, nothing fits", "lora", 64, 200, share=-0.6, saved=False),
    Case("full, nothing may change", "full", 64, 200, saved=False, changes={"may_change": ()}),
)


class Limited:
    """Starts workers under a limit of address space."""

    def __init__(self, limit_bytes: int | None) -> None:
        self._limit = limit_bytes

    def start(self, settings: Settings, job_id: str) -> int | None:
        """Start a worker, as the launcher does, with the limit set before it begins."""
        folder = settings.job_folder(job_id)

        def limit() -> None:
            if self._limit:
                resource.setrlimit(resource.RLIMIT_AS, (self._limit, self._limit))

        with (folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tools.work.worker", job_id],
                cwd=folder, env=settings.worker_environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, preexec_fn=limit,
            )  # fmt: skip
        self._process = process
        return process.pid

    def answer(self, settings: Settings, target: str, prompt: str) -> str:
        """Say nothing: only jobs run here."""
        return ""


def main() -> str:
    """Run all cases, or those whose numbers are named in LUTHIER_CASES, and return the table."""
    chosen = [int(n) for n in os.environ.get("LUTHIER_CASES", "").split(",") if n]
    kept = Path(tempfile.gettempdir()) / "luthier-memory-limits.jsonl"
    for number, case in enumerate(CASES):
        if not chosen or number in chosen:
            with tempfile.TemporaryDirectory() as folder, kept.open("a") as file:
                row = {"number": number, **measure(case, Path(folder))}
                print(json.dumps(row), flush=True)
                file.write(json.dumps(row) + "\n")
    rows = {row["number"]: row for row in map(json.loads, kept.read_text().splitlines())}
    return table([rows[number] for number in sorted(rows)])


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """Run one case free, twice, then under the limit."""
    wanted, smaller = _peak(case, folder, case.batch), _peak(case, folder, case.fits)
    limit = round(smaller + case.share * (wanted - smaller))
    ctx = _context(folder, "limited", limit)
    spec = _spec(ctx, case, case.batch)
    record = submit(ctx, spec, name="limited")
    ended = wait(ctx, record.id, timeout_s=_DEADLINE_S)
    attempts = [
        e.payload["changes"]
        for e in ctx.store.jobs.events(record.id, kinds=["attempt"])
        if e.payload["changes"]
    ]
    touched = {name for changes in attempts for name in changes}
    last = {k: v[1] for changes in attempts for k, v in changes.items()}
    batch = last.get("batch_size", case.batch)
    accumulation = last.get("gradient_accumulation", spec.gradient_accumulation)
    return {
        "case": asdict(case),
        "needed_mib": round(wanted / _MIB),
        "limit_mib": round(limit / _MIB),
        "state": ended.state,
        "tries": len(attempts),
        "became": last,
        "protected_changed": sorted(touched - _CHANGEABLE - set()),
        "same_update": batch * accumulation == case.batch * spec.gradient_accumulation,
        "message": (ended.error or {}).get("message", ""),
        "proposal": (ended.error or {}).get("hint", ""),
    }


def _peak(case: Case, folder: Path, batch: int) -> int:
    """Return the most address space that a free run with so many rows in a batch takes."""
    ctx = _context(folder, f"free-{batch}", None)
    spec = _spec(ctx, case, batch, may_change=())
    record = submit(ctx, spec, name="free")
    peak = 0
    while (now := ctx.store.jobs.get(record.id)).state in {"queued", "running"}:
        peak = max(peak, _address_space(now.pid))
        if now.measured.get("memory_gib") and now.pid:
            # Trained; the verdict of a free run is of no interest.
            psutil.Process(now.pid).kill()
            return peak
        time.sleep(0.1)
    raise RuntimeError(f"the free run of {case.name} is {now.state}: {now.error}")


def _address_space(pid: int | None) -> int:
    """Return the most bytes a process has addressed so far; 0 before it lives and after its end."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0
    found = re.search(r"^VmPeak:\s+(\d+) kB", status.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _context(folder: Path, name: str, limit: int | None) -> Context:
    home = folder / name
    settings = read_settings(
        {"LUTHIER_HOME": str(home), "HOME": str(folder), "HF_HUB_OFFLINE": "1",
         "LUTHIER_WORKER_THREADS": "1"}
    )  # fmt: skip
    changes = {"work_dir": folder, "workers": Limited(limit)}
    return Context(settings.model_copy(update=changes))


def _spec(ctx: Context, case: Case, batch: int, **changes: Any) -> TrainingSpec:
    manifest = make_dataset(ctx, "text", train=case.batch, validation=4)
    _lengthen(ctx, manifest.id, case.words)
    values: dict[str, Any] = {
        "method": case.method, "batch_size": batch, "max_steps": 2, "eval_steps": 2,
        "save_steps": 2, "max_length": 512, "may_change": MAY_CHANGE, "batching": "grouped",
    }  # fmt: skip
    return make_spec(manifest, "starter", **values | case.changes | changes)


def _lengthen(ctx: Context, version: str, words: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for split in ("train", "validation"):
        path = ctx.settings.dataset_folder(version) / f"{split}.parquet"
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            count = words if split == "train" else 20
            row["text"] = " ".join((row["text"].split() * count)[:count])
        pq.write_table(pa.Table.from_pylist(rows), path)


def table(rows: list[dict[str, Any]]) -> str:
    """Return the figures and a row for each case."""
    within = [r for r in rows if r["state"] == "succeeded" and r["tries"] <= 2 and r["same_update"]]
    proposed = [r for r in rows if r["state"] == "failed" and r["proposal"]]
    wrong = [r for r in rows if r["protected_changed"]]
    lines = [
        f"{len(rows)} runs under a real limit (RLIMIT_AS) that their batch breaks: {len(within)} "
        f"finished within two tries with the same rows per update, {len(proposed)} ended with a "
        f"proposal, {len(wrong)} changed a protected field.",
        "",
        "| case | needed MiB | limit MiB | end | tries | became | proposal |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        became = ", ".join(f"{k} {v}" for k, v in r["became"].items()) or "–"
        proposal = r["proposal"] if r["state"] == "failed" else "–"
        lines.append(
            f"| {r['case']['name']} | {r['needed_mib']} | {r['limit_mib']} | {r['state']} "
            f"| {r['tries']} | {became} | {proposal} |"
        )
    return "\n".join(lines)
