"""Predicted against measured peak memory of real training runs on an NVIDIA card.

Every run is a real worker process on a random-weight model of a real shape: load, labels, probe,
two steps, an evaluation. What was predicted is what the plan told before; *allocated* is the peak
of PyTorch's allocator, *reserved* what it held after a step, *taken* what the driver counts for
the process (context included). Several runs go side by side as long as their predictions fit. It
goes on where it was stopped; the first arguments are seconds and processes at most:
`python -m tests.benchmarks.gpu_peaks 300 6`.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import psutil

from tools.advise import feasible
from tools.advise.lengths import measure_lengths
from tools.advise.plan import Plan, PlanRequest, compile_plan
from tools.context import Context
from tools.jobs.launch import submit
from tools.settings import read_settings
from tools.shipped import shipped

KEPT = Path(__file__).parent / "results" / "gpu_peaks.csv"
GIB = 2**30
_SHARE_OF_CARD = 0.45
_DEADLINE_S, _LEAST_S = 240, 10
_LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128256,
    "num_key_value_heads": 8, "rope_theta": 500000.0, "max_position_embeddings": 131072,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None,
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "Llama-3.2-1B": {
        **_LLAMA, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "num_attention_heads": 32, "head_dim": 64, "tie_word_embeddings": True,
    },
    "Qwen2.5-0.5B": {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 151936,
        "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
        "num_attention_heads": 14, "num_key_value_heads": 2, "max_position_embeddings": 32768,
        "rope_theta": 1000000.0, "tie_word_embeddings": True,
    },
    "Qwen2.5-1.5B": {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 151936,
        "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
        "num_attention_heads": 12, "num_key_value_heads": 2, "max_position_embeddings": 32768,
        "rope_theta": 1000000.0, "tie_word_embeddings": True,
    },
    "Llama-3.2-3B": {
        **_LLAMA, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28,
        "num_attention_heads": 24, "head_dim": 128, "tie_word_embeddings": True,
    },
    "Llama-3.1-8B": {
        **_LLAMA, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "head_dim": 128, "tie_word_embeddings": False,
    },
}  # fmt: skip
"""Sizes of the published config.json files."""
_BATCHES = {
    "Qwen2.5-0.5B": 4, "Llama-3.2-1B": 4, "Qwen2.5-1.5B": 4, "Llama-3.2-3B": 2, "Llama-3.1-8B": 1,
}  # fmt: skip
_METHODS = {
    "Llama-3.2-1B": ("lora", "qlora", "dora"),
    "Qwen2.5-0.5B": ("full",),
    "Qwen2.5-1.5B": ("lora", "qlora"),
    "Llama-3.2-3B": ("lora", "dora"),
    "Llama-3.1-8B": ("lora", "qlora", "dora"),
}


@dataclass(frozen=True)
class Case:
    """One run to measure."""

    model: str
    method: str
    length: int
    checkpointing: bool


@dataclass(frozen=True)
class Peak:
    """What was predicted for a run, and what it took. All in GiB."""

    model: str
    method: str
    length: int
    checkpointing: bool
    batch: int
    rank: int
    trained_share: float
    low: float
    expected: float
    high: float
    allocated: float
    reserved: float
    taken: float
    gpu: str

    @property
    def case(self) -> Case:
        """What tells runs apart."""
        return Case(self.model, self.method, self.length, self.checkpointing)


@dataclass
class Running:
    """A run whose end is awaited."""

    case: Case
    plan: Plan
    ctx: Context
    job: str
    began: float
    taken: float = 0.0


def cases() -> Iterator[Case]:
    """Yield all combinations, every model's short rows first."""
    for length in (512, 2048):
        for model, methods in _METHODS.items():
            for method in methods:
                for checkpointing in (False, True):
                    yield Case(model, method, length, checkpointing)


def kept() -> list[Peak]:
    """Return what was measured so far."""
    if not KEPT.is_file():
        return []
    with KEPT.open(encoding="utf-8", newline="") as file:
        return [_read(row) for row in csv.DictReader(file)]


def _read(row: dict[str, str]) -> Peak:
    values: dict[str, Any] = dict(row)
    for name in ("low", "expected", "high", "allocated", "reserved", "taken"):
        values[name] = float(row[name])
    values |= {name: int(row[name]) for name in ("length", "batch", "rank")}
    values["trained_share"] = float(row["trained_share"])
    return Peak(**values | {"checkpointing": row["checkpointing"] == "True"})


def measure_all(seconds: float, most: int, root: Path, models: Sequence[str] = ()) -> None:
    """Measure what is still missing (of some models), for so long, so many runs side by side."""
    began = time.monotonic()
    done = {peak.case for peak in kept()}
    named = models or tuple(_METHODS)
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
    batch = _BATCHES[case.model]
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
    memory = run.plan.memory
    told = [e.payload.get("memory_reserved_gib") for e in run.ctx.store.jobs.events(run.job)]
    reserved = max((value or 0.0 for value in told), default=0.0)
    split = run.plan.manifest.split_file(
        run.ctx.settings.dataset_folder(run.plan.manifest.id), "train"
    )
    share = measure_lengths(split, run.plan.model).answer_share(run.case.length)
    peak = Peak(
        run.case.model, run.case.method, run.case.length, run.case.checkpointing,
        run.plan.spec.batch_size, run.plan.spec.rank, round(share, 4), *(round(x, 3) for x in (
            memory.low_gib, memory.expected_gib, memory.high_gib, allocated, reserved, run.taken)),
        run.plan.machine.gpus[0].name,
    )  # fmt: skip
    new = not KEPT.is_file()
    with KEPT.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Peak)])
        if new:
            writer.writeheader()
        writer.writerow(asdict(peak))
    parts = {name: round(value, 2) for name, value in memory.parts.items()}
    print(_line(peak), round(time.monotonic() - run.began, 1), json.dumps(parts), flush=True)


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


def _line(peak: Peak) -> str:
    error = (peak.expected - peak.taken) / peak.taken if peak.taken else 0.0
    above = " above high" if peak.taken > peak.high else ""
    return (
        f"| {peak.model} | {peak.method} | {peak.batch} | {peak.length} | "
        f"{'on' if peak.checkpointing else 'off'} | {peak.low:.2f} | {peak.expected:.2f} | "
        f"{peak.high:.2f} | {peak.allocated:.2f} | {peak.reserved:.2f} | {peak.taken:.2f} | "
        f"{error:+.1%}{above} |"
    )


def main() -> str:
    """Measure what is missing where there is a card, and return the table."""
    with tempfile.TemporaryDirectory() as folder:
        measure_all(3600, 1, Path(folder))
    return table()


def table() -> str:
    """Compare what was measured with what was predicted then."""
    peaks = kept()
    errors = [abs(p.expected - p.taken) / p.taken for p in peaks if p.taken]
    above = sum(p.taken > p.high for p in peaks)
    cards = ", ".join(sorted({p.gpu for p in peaks}))
    head = (
        f"{len(peaks)} runs on {cards}: mean error {sum(errors) / max(1, len(errors)):.1%}, "
        f"largest {max(errors, default=0):.1%}, {above} above *high*."
    )
    columns = (
        "| model | method | batch | length | checkpointing | low | expected | high | allocated | "
        "reserved | taken | error |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    )
    return "\n".join([head, "", columns, *map(_line, peaks)])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        measure_all(float(sys.argv[1]), int(sys.argv[2]), Path(place))
