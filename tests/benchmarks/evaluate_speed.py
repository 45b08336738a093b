"""How long judging takes and how much memory it needs: 1,000 and 10,000 short rows, starter model.

Whole worker processes: start, load, both models, generated answers, figures, verdict. The adapter
is drawn, not trained, which changes neither time nor memory. One row is asked of another
adapter on the same rows, whose base scores are found and not made again. `LUTHIER_EVALUATE_ROWS`
names other numbers of rows, such as `1000` or `1000,50000`.
"""

from __future__ import annotations

import csv
import os
import random
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.jobs_factory import make_spec
from tools.context import Context
from tools.datasets.prepare import PrepareOptions, prepare
from tools.evaluate.capabilities import evaluate_model
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED
from tools.settings import read_settings
from tools.shipped import shipped

_PATIENCE_S = 3600.0
_ROWS = "1000,10000"
_THREADS = 2


def main() -> str:
    """Measure and return the table."""
    lines = [
        "| rows | run | seconds | processor seconds | peak memory (GiB) | verdict |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        ctx = _context(Path(folder))
        write_tickets(Path(folder) / "tickets.csv", 600, seed=1)
        counts = [int(n) for n in os.environ.get("LUTHIER_EVALUATE_ROWS", _ROWS).split(",")]
        for rows in counts:
            write_tickets(Path(folder) / f"fresh{rows}.csv", rows, seed=rows)
        manifest = prepare(ctx, str(Path(folder) / "tickets.csv"), PrepareOptions())
        first, second = (drawn_run(ctx, manifest, seed) for seed in (1, 2))
        cases = [(first, rows, "cold") for rows in counts]
        cases.insert(1, (second, counts[0], "base known"))
        for run, rows, name in cases:
            job, seconds, busy_s = _measured(ctx, run, Path(folder) / f"fresh{rows}.csv")
            memory = job.measured.get("memory_gib")
            word = job.metrics.get("verdict")
            cost = f"{seconds:.1f} | {busy_s:.1f} | {memory:.2f}"
            lines.append(f"| {rows:,} | {name} | {cost} | {word} |")
            print(lines[-1], flush=True)
    lines += [
        "",
        f"{_THREADS} threads, load {psutil.getloadavg()[0]:.1f} at the end.",
        "Asked for: 1,000 rows in under 30 s; memory that does not grow with the rows.",
    ]
    return "\n".join(lines)


def write_tickets(file: Path, rows: int, *, seed: int) -> None:
    """Write short tickets that repeat no other: a shipped one, and who wrote it when."""
    chooser = random.Random(seed)
    with shipped("samples", "support_tickets.csv").open(encoding="utf-8", newline="") as source:
        known = list(csv.DictReader(source))
    names = ["Ann", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ivo", "Jun"]
    with file.open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, fieldnames=list(known[0]))
        writer.writeheader()
        text, *_ = known[0]
        for i in range(rows):
            row = dict(chooser.choice(known))
            who = f"{chooser.choice(names)}{seed}{i}"
            row[text] = f"{row[text]} {who}, order {chooser.randrange(10**6)}"
            writer.writerow(row)


def drawn_run(ctx: Context, manifest: Any, seed: int) -> JobRecord:
    """Return a run whose adapter was drawn at random."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    record = ctx.store.jobs.create(make_spec(manifest, "starter", max_length=256), name="drawn")
    folder = ctx.settings.job_folder(record.id) / "adapter"
    folder.mkdir(parents=True)
    model = AutoModelForCausalLM.from_pretrained(shipped("starter-model"))
    config = LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(shipped("starter-model")).save_pretrained(folder)
    ctx.store.jobs.record(record.id, artifacts={"adapter": f"jobs/{record.id}/adapter"})
    ctx.store.jobs.set_state(record.id, "running")
    ctx.store.jobs.set_state(record.id, "succeeded")
    return ctx.store.jobs.get(record.id)


def _measured(ctx: Context, run: JobRecord, file: Path) -> tuple[JobRecord, float, float]:
    """Return the job, its seconds by the clock, and those its process had a processor for."""
    began = time.monotonic()
    report = evaluate_model(run.id, path=str(file), ctx=ctx)
    busy_s = 0.0
    while (job := ctx.store.jobs.get(report.job)).state in UNFINISHED:
        if job.pid and psutil.pid_exists(job.pid):
            with suppress(psutil.Error):
                times = psutil.Process(job.pid).cpu_times()
                busy_s = max(busy_s, times.user + times.system)
        if time.monotonic() - began > _PATIENCE_S:
            raise TimeoutError(report.job)
        time.sleep(0.1)
    return job, time.monotonic() - began, busy_s


def _context(folder: Path) -> Context:
    settings = read_settings(
        {"LUTHIER_HOME": str(folder / "home"), "LUTHIER_WORKER_THREADS": str(_THREADS),
         "HF_HUB_OFFLINE": "1", "HOME": str(folder)}
    )  # fmt: skip
    return Context(settings.model_copy(update={"work_dir": folder}))
