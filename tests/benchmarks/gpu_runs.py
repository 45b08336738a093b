"""Measures real training runs on an NVIDIA card for `gpu_peaks`.

Every run is a real worker process on a random-weight model of a real shape: load, labels, probe,
two steps, an evaluation. Several go side by side as long as their predictions fit. It goes on
where it was stopped; the arguments are seconds and processes at most:
`python -m tests.benchmarks.gpu_runs 300 6`.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import psutil

from tests.benchmarks.gpu_peaks import BATCHES, KEPT, METHODS, SHAPES, Case, Peak, cases, kept, line
from tools.advise import feasible
from tools.advise.lengths import measure_lengths
from tools.advise.plan import Plan, PlanRequest, compile_plan
from tools.context import Context
from tools.jobs.launch import submit
from tools.settings import read_settings
from tools.shipped import shipped

GIB = 2**30
_SHARE_OF_CARD = 0.45
_DEADLINE_S, _LEAST_S = 240, 10


@dataclass
class Running:
    """A run whose end is awaited."""

    case: Case
    plan: Plan
    ctx: Context
    job: str
    began: float
    taken: float = 0.0


def measure_all(seconds: float, most: int, root: Path, models: Sequence[str] = ()) -> None:
    """Measure what is still missing (of some models), for so long, so many runs side by side."""
    began = time.monotonic()
    done = {peak.case for peak in kept()}
    named = models or tuple(METHODS)
    waiting = [case for case in cases() if case not in done and case.model in named]
    running: list[Running] = []
    while waiting or running:
        late = time.monotonic() - began > seconds
        if late:
            waiting = []
        while waiting and len(running) < most:
            started = _start(waiting[0], running, root)
            if started is None:
                break
            waiting.pop(0)
            running.append(started)
        running = [run for run in running if not _ended(run)]
        time.sleep(0.1)


def _start(case: Case, beside: list[Running], root: Path) -> Running | None:
    """Start a run, or return None where there is no room for it beside the others."""
    home = Path(tempfile.mkdtemp(dir=root))
    ctx = Context(
        read_settings({"LUTHIER_HOME": str(home), "HOME": str(root), "HF_HUB_OFFLINE": "1"})
    )
    data = home / "rows.jsonl"
    batch = BATCHES[case.model]
    _write_rows(data, batch, case.length)
    wish = PlanRequest(
        path=str(data), model=str(model_folder(case.model, root)), method=case.method,
        batch_size=batch, gradient_accumulation=1, max_length=case.length, max_steps=2,
        gradient_checkpointing=case.checkpointing,
    )  # fmt: skip
    # Its checkpoints are never kept here: the disk need not hold them.
    feasible.check_disk = lambda *_: None
    plan = compile_plan(ctx, wish)
    room = _SHARE_OF_CARD * plan.machine.gpus[0].memory_gib
    if beside and sum(r.plan.memory.high_gib for r in beside) + plan.memory.high_gib > room:
        shutil.rmtree(home)
        return None
    record = submit(ctx, plan.spec, name="bench", predicted={})
    return Running(case, plan, ctx, record.id, time.monotonic())


def _ended(run: Running) -> bool:
    """Note what the run takes; keep its peak and end it once the worker has told it."""
    record = run.ctx.store.jobs.get(run.job)
    run.taken = max(run.taken, _taken_gib(record.pid))
    peak = record.measured.get("memory_gib")
    age_s = time.monotonic() - run.began
    gone = record.pid is not None and not psutil.pid_exists(record.pid)
    late = age_s > _DEADLINE_S or (gone and age_s > _LEAST_S)
    if not peak and not late and record.state in {"queued", "running"}:
        return False
    if record.pid and psutil.pid_exists(record.pid):
        psutil.Process(record.pid).kill()
    if peak:
        _keep(run, float(peak))
    else:
        print("FAILED", run.case, record.state, record.error, flush=True)
        log = run.ctx.settings.job_folder(run.job) / "log.txt"
        print(log.read_text(encoding="utf-8", errors="replace")[-1500:], flush=True)
    shutil.rmtree(run.ctx.settings.home, ignore_errors=True)
    return True


def _keep(run: Running, allocated: float) -> None:
    spec = run.plan.spec
    told = [e.payload.get("memory_reserved_gib") for e in run.ctx.store.jobs.events(run.job)]
    split = run.plan.manifest.split_file(
        run.ctx.settings.dataset_folder(run.plan.manifest.id), "train"
    )
    share = measure_lengths(split, run.plan.model).answer_share(run.case.length)
    peak = Peak(
        run.case.model, run.case.method, run.case.length, run.case.checkpointing, spec.batch_size,
        spec.rank, spec.dropout, round(share, 4), round(allocated, 3),
        max((value or 0.0 for value in told), default=0.0), round(run.taken, 3),
        run.plan.machine.gpus[0].name,
    )  # fmt: skip
    new = not KEPT.is_file()
    with KEPT.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Peak)])
        if new:
            writer.writeheader()
        writer.writerow(asdict(peak))
    print(line(peak), flush=True)


def _taken_gib(pid: int | None) -> float:
    """What the driver counts for a process; 0 where it does not tell."""
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    held = {p.pid: p.usedGpuMemory for p in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}
    return float(held.get(pid) or 0) / GIB


def _write_rows(path: Path, batch: int, length: int) -> None:
    """Rows a little longer than the limit, so that every batch has exactly its length."""
    words = ["ba", "do", "ki", "lu", "me", "no", "ra", "su", "te", "vo"]
    with path.open("w", encoding="utf-8") as file:
        for row in range(max(10, batch * 3)):
            text = " ".join(words[(row * 7 + i * i) % 10] for i in range(length))
            answer = " ".join(words[(row * 3 + i) % 10] for i in range(length // 4))
            file.write(json.dumps({"prompt": f"{row} {text}", "completion": answer}) + "\n")


def model_folder(name: str, root: Path) -> Path:
    """Return a model of that shape with random bfloat16 weights and the starter's tokenizer."""
    path = root / name
    if not (path / "config.json").is_file():
        code = (
            "import sys, json, torch; from transformers import AutoConfig, AutoModelForCausalLM\n"
            "config = AutoConfig.for_model(**json.loads(sys.argv[2]))\n"
            "torch.set_default_dtype(torch.bfloat16)\n"
            "with torch.device('cuda' if torch.cuda.is_available() else 'cpu'):\n"
            "    model = AutoModelForCausalLM.from_config(config)\n"
            "model.save_pretrained(sys.argv[1])"
        )
        subprocess.run(
            [sys.executable, "-c", code, str(path), json.dumps(SHAPES[name])], check=True
        )
        for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            source = shipped("starter-model", file)
            if source.is_file():
                shutil.copy(source, path / file)
    return path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        measure_all(float(sys.argv[1]), int(sys.argv[2]), Path(place))
