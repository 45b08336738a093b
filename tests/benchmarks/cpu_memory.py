"""Predicted against measured resident peak of real training runs on this processor.

Every run is a whole worker process: load, labels, probe, steps, an evaluation; the peak is what the
worker itself measured, the probe included. Measurements are kept in `results/cpu_memory.csv`: a
second run goes on where the first was stopped, and the table compares them with what is predicted
now. `python -m tests.benchmarks.cpu_memory SECONDS` measures for so long.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import psutil

from tools.advise.architecture import shape_of
from tools.advise.figures import MemoryEstimate
from tools.advise.memory import Workload, estimate_memory
from tools.advise.plan import PlanRequest, compile_plan
from tools.context import Context
from tools.jobs.launch import submit
from tools.settings import read_settings
from tools.shipped import shipped

KEPT = Path(__file__).parent / "results" / "cpu_memory.csv"
_DEADLINE_S = 600
_COMMON = {
    "model_type": "llama", "num_attention_heads": 8, "num_key_value_heads": 4,
    "vocab_size": 32000, "max_position_embeddings": 1024, "tie_word_embeddings": False,
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "random-60M": {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 9},
    "random-120M": {"hidden_size": 768, "intermediate_size": 2304, "num_hidden_layers": 10},
    "random-290M": {"hidden_size": 1024, "intermediate_size": 3584, "num_hidden_layers": 16},
}
BATCHES = {"starter": 16, "babyllama-105": 16, "random-60M": 4, "random-120M": 2, "random-290M": 1}
METHODS = ("lora", "qlora", "dora", "full")


_ABOUT = """The constants of the processor (the floor, three factors of the heap, the share that
checkpointing leaves, the copies beside a quantised base) were chosen with the first 29 runs of
`cpu_memory.csv` in sight; later lines are blind. Other work ran on the machine meanwhile, which
changes times, not peaks."""


@dataclass(frozen=True)
class Measured:
    """One run and its peak. `kept` are the settings that the plan chose."""

    model: str
    method: str
    length: int
    checkpointing: bool
    batch: int
    rank: int
    trained_share: float
    measured_gib: float

    @property
    def key(self) -> tuple[str, str, int, bool]:
        """What tells runs apart."""
        return self.model, self.method, self.length, self.checkpointing


def cases() -> Iterator[tuple[str, str, int, bool]]:
    """Yield all 80 combinations, the cheap ones first; babyllama reads 256 tokens."""
    for model in BATCHES:
        for short in (True, False):
            length = 128 if short else 256 if model == "babyllama-105" else 512
            for checkpointing in (False, True):
                for method in METHODS:
                    yield model, method, length, checkpointing


def kept() -> list[Measured]:
    """Return what was measured so far."""
    if not KEPT.is_file():
        return []
    with KEPT.open(encoding="utf-8", newline="") as file:
        return [
            Measured(
                row["model"], row["method"], int(row["length"]), row["checkpointing"] == "True",
                int(row["batch"]), int(row["rank"]), float(row["trained_share"]),
                float(row["measured_gib"]),
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


def measure_all(seconds: float) -> None:
    """Measure what is still missing, for so long."""
    began = time.monotonic()
    done = {run.key for run in kept()}
    with tempfile.TemporaryDirectory() as folder:
        for case in cases():
            if case in done:
                continue
            if time.monotonic() - began > seconds:
                return
            run = measure(*case, Path(folder))
            if run:
                _keep(run)


def measure(
    model: str, method: str, length: int, checkpointing: bool, folder: Path
) -> Measured | None:
    """Train for a step with a real worker and return the peak; None where it failed."""
    home = Path(tempfile.mkdtemp(dir=folder))
    settings = read_settings(
        {"LUTHIER_HOME": str(home), "HOME": str(folder), "HF_HUB_OFFLINE": "1",
         "LUTHIER_WORKER_THREADS": "1"}
    )  # fmt: skip
    ctx = Context(settings)
    data = home / "rows.jsonl"
    _write_rows(data, BATCHES[model], length)
    wish = PlanRequest(
        path=str(data), model=_model(model, folder), method=method, batch_size=BATCHES[model],
        max_length=length, max_steps=1, gradient_checkpointing=checkpointing,
    )  # fmt: skip
    plan = compile_plan(ctx, wish)
    record = submit(ctx, plan.spec, name="bench", predicted={})
    peak = _wait(ctx, record.id)
    share = _trained_share(plan.manifest.split_file(settings.dataset_folder(plan.manifest.id),
                                                    "train"), plan.model)  # fmt: skip
    shutil.rmtree(home)
    if peak is None:
        print(f"failed: {model} {method} {length} {checkpointing}", flush=True)
        return None
    return Measured(
        model, method, length, checkpointing, plan.spec.batch_size, plan.spec.rank, share, peak
    )


def _trained_share(split: Path, model: Any) -> float:
    from tools.advise.lengths import measure_lengths

    return measure_lengths(split, model).answer_share


def _keep(run: Measured) -> None:
    new = not KEPT.is_file()
    with KEPT.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Measured)])
        if new:
            writer.writeheader()
        writer.writerow(asdict(run))
    print(_line(run, predict(run)), flush=True)


def _wait(ctx: Context, job: str) -> float | None:
    """Return the peak once the worker has told it, and end the worker then."""
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline:
        record = ctx.store.jobs.get(job)
        peak = record.measured.get("memory_gib")
        if peak or record.state not in {"queued", "running"}:
            if record.pid and psutil.pid_exists(record.pid):
                psutil.Process(record.pid).kill()
            if not peak:
                print(record.error, flush=True)
            return float(peak) if peak else None
        time.sleep(0.2)
    return None


def _write_rows(path: Path, batch: int, length: int) -> None:
    """Rows a little longer than the limit, so that every batch has exactly its length."""
    words = ["ba", "do", "ki", "lu", "me", "no", "ra", "su", "te", "vo"]
    with path.open("w", encoding="utf-8") as file:
        for row in range(max(10, batch * 2)):
            text = " ".join(words[(row * 7 + i * i) % 10] for i in range(length))
            answer = " ".join(words[(row * 3 + i) % 10] for i in range(length // 4))
            file.write(json.dumps({"prompt": f"{row} {text}", "completion": answer}) + "\n")


def _model(name: str, folder: Path) -> str:
    if name == "starter":
        return "starter"
    if name == "babyllama-105":
        return str(_material() / "models" / name)
    path = folder / name
    if not path.is_dir():
        _make_model(path, {**_COMMON, **SHAPES[name]})
    return str(path)


def _material() -> Path:
    named = os.environ.get("LUTHIER_MATERIAL")
    return Path(named) if named else Path(__file__).parents[3] / "shared" / "material"


def _make_model(path: Path, config: dict[str, Any]) -> None:
    """Write random weights in another process: building them here would keep torch in memory."""
    code = (
        "import sys, json; from transformers import LlamaConfig, LlamaForCausalLM;"
        "LlamaForCausalLM(LlamaConfig(**json.loads(sys.argv[2]))).save_pretrained(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(path), json.dumps(config)], check=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        source = shipped("starter-model", name)
        if source.is_file():
            shutil.copy(source, path / name)


def config_of(model: str) -> dict[str, Any]:
    """Return a model's config.json."""
    if model in SHAPES:
        return {**_COMMON, **SHAPES[model]}
    folder = shipped("starter-model") if model == "starter" else _material() / "models" / model
    document: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return document


def predict(run: Measured) -> MemoryEstimate:
    """Return what is predicted for a run now."""
    return estimate_memory(
        Workload(
            shape=shape_of(config_of(run.model)), method=run.method, batch=run.batch,
            length=run.length, rank=run.rank, checkpointing=run.checkpointing,
            trained_share=run.trained_share,
        )
    )  # fmt: skip


def _line(run: Measured, memory: MemoryEstimate) -> str:
    figures = (memory.low_gib, memory.expected_gib, memory.high_gib, run.measured_gib)
    error = memory.expected_gib / run.measured_gib - 1
    mark = " above high" if run.measured_gib > memory.high_gib else ""
    return (
        f"| {run.model} | {run.method} | {run.batch} | {run.length} | "
        f"{'on' if run.checkpointing else 'off'} | "
        f"{' | '.join(f'{value:.3f}' for value in figures)} | {error:+.1%}{mark} |"
    )


def table(runs: list[Measured]) -> str:
    """Return the figures and a row for each run."""
    pairs = [(run, predict(run)) for run in runs]
    errors = [abs(m.expected_gib / run.measured_gib - 1) for run, m in pairs]
    above = sum(run.measured_gib > m.high_gib for run, m in pairs)
    widest = max((m.high_gib / m.expected_gib for _, m in pairs), default=1.0)
    lines = [
        _ABOUT,
        "",
        f"{len(runs)} of {len(list(cases()))} runs: mean error "
        f"{sum(errors) / max(1, len(errors)):.1%}, largest {max(errors, default=0):.1%}, {above} "
        f"measured peaks above *high*; *high* is at most {widest - 1:.0%} above *expected*.",
        "",
        "| model | method | batch | length | checkpointing | low | expected | high | measured | "
        "error |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_line(run, memory) for run, memory in pairs)])


def main() -> str:
    """Measure what is missing and return the table."""
    measure_all(float("inf"))
    return table(kept())


if __name__ == "__main__":
    measure_all(float(sys.argv[1]) if len(sys.argv) > 1 else float("inf"))
    print(table(kept()))
