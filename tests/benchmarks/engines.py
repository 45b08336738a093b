"""Several processes for one run, engine by engine, against one process: the same losses?

Two CPU processes (gloo) train what one does, on the same rows: each takes half of every batch.
Some are stopped, or killed with `kill -9`, after a few steps and resumed. FSDP needs GPUs; its
configuration is read by accelerate's own plugin in tests/integration/test_engines_config.py.

DeepSpeed is an extra (`DS_BUILD_OPS=0 pip install 'luthier[deepspeed]'`). Rows are kept as they
are there and not measured again; `LUTHIER_ANEW=1` forgets them.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.jobs_factory import make_dataset, make_spec
from tools.context import Context
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED
from tools.jobs.follow import wait
from tools.jobs.launch import submit
from tools.jobs.reconcile import is_alive, reconcile
from tools.jobs.resume import cancel, resume
from tools.settings import read_settings

KEPT = Path(__file__).parent / "results" / "engines.jsonl"
TOLERANCE = 1e-4
"""Largest relative difference of a training loss to the run with one process."""
_DEADLINE_S = 900.0
_FULL = {"method": "full", "learning_rate": 1e-3}
_STOP_AT_STEP = 5
CASES: dict[str, dict[str, Any]] = {
    "ddp": {"engine": "ddp"},
    "zero1": {"engine": "zero1"},
    "zero2": {"engine": "zero2"},
    "zero3": {"engine": "zero3"},
    "zero3, all offloaded": {"engine": "zero3", "offload": "parameters"},
    "ddp, full": {"engine": "ddp", **_FULL},
    "zero1, full": {"engine": "zero1", **_FULL},
    "zero2, full": {"engine": "zero2", **_FULL},
    "zero3, full": {"engine": "zero3", **_FULL},
    "zero3, full, all offloaded": {"engine": "zero3", "offload": "parameters", **_FULL},
    "zero2, stopped and resumed": {"engine": "zero2", "stop": "cancel"},
    "zero3, killed and resumed": {"engine": "zero3", "stop": "kill"},
}


def main() -> str:
    """Run the cases that are not there yet, and return the table."""
    rows = [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []
    found = {} if "LUTHIER_ANEW" in os.environ else {row["case"]: row for row in rows}
    alone: dict[str, dict[str, Any]] = {row["method"]: row["alone"] for row in found.values()}
    # One home for all: what DeepSpeed compiles at its first use stays there.
    folder = Path(tempfile.gettempdir()) / "luthier-engines"
    folder.mkdir(exist_ok=True)
    ctx = _context(folder)
    for name, changes in CASES.items():
        if name in found:
            continue
        method = changes.get("method", "lora")
        plain = {k: v for k, v in changes.items() if k not in ("engine", "offload", "stop")}
        alone[method] = alone.get(method) or _run(ctx, {**plain, "batch_size": 8})
        row = {"case": name, "method": method, "alone": alone[method]}
        found[name] = row | _run(ctx, {**changes, "batch_size": 4, "processes": 2})
        print(json.dumps(found[name]), flush=True)
        KEPT.write_text("".join(json.dumps(row) + "\n" for row in found.values()))
    return table([found[name] for name in CASES if name in found])


def _run(ctx: Context, changes: dict[str, Any]) -> dict[str, Any]:
    stop = changes.get("stop")
    values = {"max_steps": 8, "eval_steps": 4, "save_steps": 4}
    chosen = {k: v for k, v in changes.items() if k != "stop"}
    spec = make_spec(make_dataset(ctx), "starter", **values | chosen)
    record = submit(ctx, spec, name=f"{spec.engine} {spec.method}")
    stopped = _stop_and_resume(ctx, record, stop) if stop else ""
    ended = wait(ctx, record.id, timeout_s=_DEADLINE_S)
    if ended.state in UNFINISHED:
        raise RuntimeError(f"{record.id} is still {ended.state}")
    if ended.state != "succeeded":
        print((ctx.settings.job_folder(record.id) / "log.txt").read_text()[-3000:], flush=True)
    losses = _losses(ctx, record)
    return {
        "state": ended.state,
        "losses": [losses[step] for step in sorted(losses)],
        "eval_loss": ended.metrics.get("best_eval_loss"),
        "error": (ended.error or {}).get("message", ""),
        "train_s": ended.measured.get("train_s"),
        "stopped": stopped,
    }


def _stop_and_resume(ctx: Context, record: JobRecord, how: str) -> str:
    """Cancel or kill a run after its first checkpoint, let it go on, and say what was seen."""
    _until(lambda: max(_losses(ctx, record), default=0) >= _STOP_AT_STEP, "its fifth step")
    if how == "cancel":
        cancel(ctx, record)
        after = wait(ctx, record.id, timeout_s=_DEADLINE_S)
    else:
        pid = ctx.store.jobs.get(record.id).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        _until(lambda: not is_alive(ctx.settings.job_folder(record.id)), "its end")
        reconcile(ctx)
        after = ctx.store.jobs.get(record.id)
    resume(ctx, after)
    (attempt,) = ctx.store.jobs.events(record.id, kinds=["attempt"])
    return f"{after.state}, {attempt.payload['reason']}"


def _losses(ctx: Context, record: JobRecord) -> dict[int, float]:
    events = ctx.store.jobs.events(record.id, kinds=["metrics"])
    return {e.payload["step"]: e.payload["loss"] for e in events if e.payload["loss"] is not None}


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"never happened: {what}")
        time.sleep(0.02)


def _context(folder: Path) -> Context:
    settings = read_settings(
        {"LUTHIER_HOME": str(folder / "home"), "HOME": str(folder), "HF_HUB_OFFLINE": "1",
         "LUTHIER_WORKER_THREADS": "1"}
    )  # fmt: skip
    return Context(settings.model_copy(update={"work_dir": folder}))


def difference(row: dict[str, Any]) -> float | None:
    """Return the largest relative difference of a training loss to the run of one process."""
    mine, alone = row["losses"], row["alone"]["losses"]
    if row["state"] != "succeeded" or len(mine) != len(alone):
        return None
    return float(max(abs(a - b) / abs(b) for a, b in zip(mine, alone, strict=True)))


def table(rows: list[dict[str, Any]]) -> str:
    """Return a row for each engine."""
    equal = [r for r in rows if (d := difference(r)) is not None and d < TOLERANCE]
    lines = [
        f"{len(rows)} runs with two CPU processes (gloo), 8 steps each: {len(equal)} have every "
        f"training loss within {TOLERANCE:.2%} of the run with one process.",
        "",
        "| engine | method | state | largest difference of a loss | last validation loss, one "
        "process | two | stopped | note |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        gap = difference(r)
        shown = "–" if gap is None else f"{gap:.1e}"
        lines.append(
            f"| {r['case']} | {r['method']} | {r['state']} | {shown} | "
            f"{r['alone']['eval_loss']:.5f} | {r['eval_loss'] or 0:.5f} | {r['stopped'] or '–'} "
            f"| {r['error'] or '–'} |"
        )
    lines += [
        "",
        "FSDP shards over GPUs. On a CPU accelerate quietly runs DDP in its place, so Luthier "
        "refuses it there; its configuration is checked with accelerate's own parser "
        "(tests/integration/test_engines_config.py).",
    ]
    return "\n".join(lines)
