"""`kill -9` at 20 random moments: of training, of checkpoint writing, of going on.

Every killed run is resumed until it ends. Its losses and its weights must be those of the run that
was left alone, bit for bit; no checkpoint that it started from may be half written; no job may
have a state that is not true.
"""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.jobs_factory import make_dataset, make_spec
from tools.context import Context
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED
from tools.jobs.checkpoints import HALF, checkpoint_folders, latest_checkpoint, read_checkpoint
from tools.jobs.follow import wait
from tools.jobs.launch import submit
from tools.jobs.reconcile import is_alive, reconcile
from tools.jobs.resume import resume, why_not_resumable
from tools.settings import read_settings

KILLS = 20
_SEED = 11
_DEADLINE_S = 300.0
_STEPS = 60
_WHEN = ("training", "checkpoint writing", "resume")


def main() -> str:
    """Kill until there are enough, and return the table. LUTHIER_KILLS says how many this time."""
    wanted = int(os.environ.get("LUTHIER_KILLS", KILLS))
    kept = Path(tempfile.gettempdir()) / "luthier-kill-series.jsonl"
    before = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    chooser = random.Random(_SEED + len(before))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        ctx = _context(Path(folder))
        spec = make_spec(
            make_dataset(ctx), "starter", max_steps=_STEPS, eval_steps=20, save_steps=4,
            dropout=0.1, learning_rate=3e-3,
        )  # fmt: skip
        whole = _ended(ctx, submit(ctx, spec, name="whole"))
        while len(rows) < wanted:
            number, most = len(before) + len(rows), wanted - len(rows)
            new = _killed_run(ctx, spec, whole, chooser, number, most)
            rows += new
            with kept.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in new)
    return table(before + rows)


def _killed_run(
    ctx: Context, spec: Any, whole: JobRecord, chooser: random.Random, number: int, most: int
) -> list[dict[str, Any]]:
    """Start a run, kill it up to three times on its way, and compare its end."""
    record = submit(ctx, spec, name=f"killed {number}")
    rows: list[dict[str, Any]] = []
    for when in _WHEN[: min(3, most)]:
        row = _kill(ctx, record, when, chooser)
        rows.append(row)
        print(json.dumps(row), flush=True)
        after = ctx.store.jobs.get(record.id)
        if why_not_resumable(ctx, after)[0]:
            row["lost"] = True
            record = submit(ctx, spec, name=f"again {number}")
        else:
            resume(ctx, after)
    ended = _ended(ctx, record)
    for row in rows:
        row["end"] = ended.state
        row["equal_losses"] = _losses(ctx, record.id) == _losses(ctx, whole.id)
        row["equal_weights"] = _weights(ctx, record.id) == _weights(ctx, whole.id)
    return rows


def _kill(ctx: Context, record: JobRecord, when: str, chooser: random.Random) -> dict[str, Any]:
    folder = ctx.settings.job_folder(record.id)
    _until(lambda: _may_strike(ctx, record, when, chooser), when)
    pid = ctx.store.jobs.get(record.id).pid
    assert pid is not None
    step = max(_losses(ctx, record.id), default=0)
    os.kill(pid, signal.SIGKILL)
    _until(lambda: not _lives(pid) and not is_alive(folder), "its end")
    halves = [p.name for p in checkpoint_folders(folder) if read_checkpoint(p) is None]
    halves += [p.name for p in (folder / "checkpoints" / HALF).glob("checkpoint-*")]
    reconcile(ctx)
    state = ctx.store.jobs.get(record.id).state
    found = latest_checkpoint(folder, plan_hash=record.plan_hash)
    return {
        "when": when,
        "step": step,
        "half_written": halves,
        "state": state,
        "true_state": state == ("interrupted" if found else "lost"),
        "chosen": found[0].name if found else None,
        "chosen_is_whole": found is None or found[0].name not in halves,
    }


def _may_strike(ctx: Context, record: JobRecord, when: str, chooser: random.Random) -> bool:
    """Wait for the kind of moment, then a random while within it."""
    folder = ctx.settings.job_folder(record.id)
    if when == "checkpoint writing":
        return any((folder / "checkpoints" / HALF).glob("checkpoint-*/*"))
    phases = ctx.store.jobs.events(record.id, kinds=["phase"])
    if when == "resume":
        attempts = ctx.store.jobs.events(record.id, kinds=["attempt"])
        if not attempts or not any(p.seq > attempts[-1].seq for p in phases):
            return False
        time.sleep(chooser.uniform(0, 6))
        return True
    if max(_losses(ctx, record.id), default=0) < 5:
        return False
    time.sleep(chooser.uniform(0, 2.0))
    return True


def _until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"never happened: {what}")
        time.sleep(0.002)


def _ended(ctx: Context, record: JobRecord) -> JobRecord:
    after = wait(ctx, record.id, timeout_s=_DEADLINE_S)
    if after.state in UNFINISHED:
        raise RuntimeError(f"{record.id} is still {after.state}")
    return after


def _losses(ctx: Context, job_id: str) -> dict[int, float]:
    events = ctx.store.jobs.events(job_id, kinds=["metrics"])
    return {e.payload["step"]: e.payload["loss"] for e in events if e.payload["loss"] is not None}


def _weights(ctx: Context, job_id: str) -> bytes | None:
    path = ctx.settings.job_folder(job_id) / "adapter" / "adapter_model.safetensors"
    return path.read_bytes() if path.is_file() else None


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _context(folder: Path) -> Context:
    settings = read_settings(
        {"LUTHIER_HOME": str(folder / "home"), "HOME": str(folder), "HF_HUB_OFFLINE": "1",
         "LUTHIER_WORKER_THREADS": "1"}
    )  # fmt: skip
    return Context(settings.model_copy(update={"work_dir": folder}))


def table(rows: list[dict[str, Any]]) -> str:
    """Return the figures and a row for each kill."""
    resumed = [r for r in rows if not r.get("lost")]
    equal = sum(r["equal_losses"] and r["equal_weights"] for r in resumed)
    lines = [
        f"{len(rows)} kills; {len(resumed)} runs went on, of which {equal} ended with losses and "
        f"weights equal bit for bit to the run that was left alone; "
        f"{sum(not r['chosen_is_whole'] for r in rows)} half-written checkpoints were chosen "
        f"({sum(bool(r['half_written']) for r in rows)} lay there); "
        f"{sum(not r['true_state'] for r in rows)} jobs had a false state.",
        "",
        "| killed while | after step | half written | state | went on from | end | equal |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        same = "yes" if r["equal_losses"] and r["equal_weights"] else "no"
        lines.append(
            f"| {r['when']} | {r['step']} | {', '.join(r['half_written']) or '–'} | {r['state']} "
            f"| {r['chosen'] or '–'} | {r['end']} | {'started anew: ' if r.get('lost') else ''}"
            f"{same} |"
        )
    return "\n".join(lines)
