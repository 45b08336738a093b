"""Several processes for one run, engine by engine, against one process: the same losses?

Two CPU processes (gloo) train what one does, on the same rows: each takes half of every batch.
FSDP needs GPUs; its configuration is read here by accelerate's own plugin and DeepSpeed's by its
own parser, and a run over two machines is played by two launchers on this one.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tests.jobs_factory import make_dataset, make_spec
from tools.context import Context
from tools.history.spec import UNFINISHED
from tools.jobs.follow import wait
from tools.jobs.launch import submit
from tools.settings import read_settings

_DEADLINE_S = 500.0
CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ddp", {"engine": "ddp"}),
    ("zero1", {"engine": "zero1"}),
    ("zero2", {"engine": "zero2"}),
    ("zero3", {"engine": "zero3"}),
    ("zero3, all offloaded", {"engine": "zero3", "offload": "parameters"}),
    ("zero2, full", {"engine": "zero2", "method": "full", "learning_rate": 1e-3}),
    ("zero3, full", {"engine": "zero3", "method": "full", "learning_rate": 1e-3}),
)


def main() -> str:
    """Run all cases, or those whose numbers are named in LUTHIER_CASES, and return the table."""
    chosen = [int(n) for n in os.environ.get("LUTHIER_CASES", "").split(",") if n]
    kept = Path(tempfile.gettempdir()) / "luthier-engines.jsonl"
    alone: dict[str, dict[str, Any]] = {}
    # One home for all: what DeepSpeed compiles at its first use stays there.
    folder = Path(tempfile.gettempdir()) / "luthier-engines"
    folder.mkdir(exist_ok=True)
    with kept.open("a") as file:
        ctx = _context(folder)
        for number, (name, changes) in enumerate(CASES):
            if chosen and number not in chosen:
                continue
            method = changes.get("method", "lora")
            plain = {k: v for k, v in changes.items() if k not in ("engine", "offload")}
            alone[method] = alone.get(method) or _run(ctx, {**plain, "batch_size": 8})
            found = _run(ctx, {**changes, "batch_size": 4, "processes": 2})
            row = {
                "number": number,
                "case": name,
                "method": method,
                "alone": alone[method],
                **found,
            }
            print(json.dumps(row), flush=True)
            file.write(json.dumps(row) + "\n")
            file.flush()
    rows = {row["number"]: row for row in map(json.loads, kept.read_text().splitlines())}
    return table([rows[number] for number in sorted(rows)])


def _run(ctx: Context, changes: dict[str, Any]) -> dict[str, Any]:
    values = {"max_steps": 8, "eval_steps": 4, "save_steps": 4}
    spec = make_spec(make_dataset(ctx), "starter", **values | changes)
    record = submit(ctx, spec, name=f"{spec.engine} {spec.method}")
    ended = wait(ctx, record.id, timeout_s=_DEADLINE_S)
    if ended.state in UNFINISHED:
        raise RuntimeError(f"{record.id} is still {ended.state}")
    events = ctx.store.jobs.events(record.id, kinds=["metrics"])
    losses = [e.payload["loss"] for e in events if e.payload["loss"] is not None]
    if ended.state != "succeeded":
        print((ctx.settings.job_folder(record.id) / "log.txt").read_text()[-3000:], flush=True)
    return {
        "state": ended.state,
        "losses": losses,
        "eval_loss": ended.metrics.get("best_eval_loss"),
        "error": (ended.error or {}).get("message", ""),
        "train_s": ended.measured.get("train_s"),
    }


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
    return max(abs(a - b) / abs(b) for a, b in zip(mine, alone, strict=True))


def table(rows: list[dict[str, Any]]) -> str:
    """Return a row for each engine."""
    equal = [r for r in rows if (d := difference(r)) is not None and d < 1e-4]
    lines = [
        f"{len(rows)} runs with two CPU processes (gloo), 8 steps each: {len(equal)} have every "
        "training loss within 0.01 % of the run with one process.",
        "",
        "| engine | method | state | largest difference of a loss | last validation loss, one "
        "process | two | note |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        gap = difference(r)
        shown = "–" if gap is None else f"{gap:.1e}"
        lines.append(
            f"| {r['case']} | {r['method']} | {r['state']} | {shown} | "
            f"{r['alone']['eval_loss']:.5f} | {r['eval_loss'] or 0:.5f} | {r['error'] or '–'} |"
        )
    lines += [
        "",
        "FSDP shards over GPUs. On a CPU accelerate quietly runs DDP in its place, so Luthier "
        "refuses it there; its configuration is checked with accelerate's own parser "
        "(tests/integration/test_engines_config.py).",
    ]
    return "\n".join(lines)
