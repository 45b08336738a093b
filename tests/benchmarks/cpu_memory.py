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
_IN_SIGHT = 57
_ABOUT = """The formula (tools/advise/processor.py) counts what autograd keeps, held against the
exact trace of such steps, and adds what the heap holds. It was shaped with the first 57 rows in
sight: what they had in common gave the form (the heap holds a multiple of one layer and the head,
not of all layers). Its constants were chosen on the even ones of these. Later rows and the odd
runs were measured after that and changed nothing. Other work ran on the machine meanwhile, which
changes times, not peaks."""
ODD_MODELS: dict[str, dict[str, Any]] = {
    "gpt2-17M": {
        "model_type": "gpt2", "n_embd": 384, "n_layer": 6, "n_head": 6, "vocab_size": 16000,
        "n_positions": 512,
    },
    "qwen2-34M": {
        "model_type": "qwen2", "hidden_size": 448, "intermediate_size": 1216,
        "num_hidden_layers": 10, "num_attention_heads": 7, "num_key_value_heads": 1,
        "vocab_size": 24000, "max_position_embeddings": 1024, "tie_word_embeddings": True,
    },
    "llama-69M": {
        "model_type": "llama", "hidden_size": 640, "intermediate_size": 1728,
        "num_hidden_layers": 12, "num_attention_heads": 10, "num_key_value_heads": 5,
        "vocab_size": 12000, "max_position_embeddings": 1024, "tie_word_embeddings": False,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One run to measure; a rank of None leaves it to the plan."""

    model: str
    method: str
    length: int
    checkpointing: bool
    batch: int
    rank: int | None = None
    targets: str = "all-linear"


ODD = (
    Case("gpt2-17M", "lora", 128, checkpointing=False, batch=8, rank=8),
    Case("qwen2-34M", "lora", 128, checkpointing=False, batch=8, rank=16, targets="q_proj+v_proj"),
    Case("llama-69M", "lora", 96, checkpointing=False, batch=3, rank=64),
    Case("starter", "dora", 64, checkpointing=False, batch=32, rank=4),
    Case("gpt2-17M", "full", 256, checkpointing=True, batch=4),
    Case("qwen2-34M", "dora", 192, checkpointing=True, batch=2, rank=32),
    Case("llama-69M", "full", 64, checkpointing=False, batch=2),
    Case("qwen2-34M", "qlora", 128, checkpointing=False, batch=4, rank=8),
    Case("starter", "lora", 256, checkpointing=False, batch=4, rank=4, targets="q_proj+v_proj"),
    Case("gpt2-17M", "lora", 200, checkpointing=True, batch=6, rank=8, targets="c_attn"),
    Case("llama-69M", "lora", 128, checkpointing=True, batch=6, rank=8),
    Case("qwen2-34M", "full", 128, checkpointing=False, batch=4),
)
"""Other families, ranks, targets and batches: never looked at while the formula was made."""


@dataclass(frozen=True)
class Measured:
    """One run and its peak. `kept` are the settings that the plan chose."""

    model: str
    method: str
    length: int
    checkpointing: bool
    batch: int
    rank: int
    targets: str
    dropout: float
    trained_share: float
    measured_gib: float

    @property
    def case(self) -> Case:
        """What was asked for."""
        odd = self.model in ODD_MODELS or self.batch != BATCHES[self.model]
        return Case(
            self.model, self.method, self.length, self.checkpointing, self.batch,
            self.rank if odd and self.method != "full" else None, self.targets,
        )  # fmt: skip


def cases() -> Iterator[Case]:
    """Yield all 80 combinations, the cheap ones first; babyllama reads 256 tokens."""
    for model in BATCHES:
        for short in (True, False):
            length = 128 if short else 256 if model == "babyllama-105" else 512
            for checkpointing in (False, True):
                for method in METHODS:
                    yield Case(model, method, length, checkpointing, BATCHES[model])


def kept() -> list[Measured]:
    """Return what was measured so far."""
    if not KEPT.is_file():
        return []
    with KEPT.open(encoding="utf-8", newline="") as file:
        return [
            Measured(
                row["model"], row["method"], int(row["length"]), row["checkpointing"] == "True",
                int(row["batch"]), int(row["rank"]), row["targets"], float(row["dropout"]),
                float(row["trained_share"]), float(row["measured_gib"]),
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


def measure_all(seconds: float) -> None:
    """Measure what is still missing, for so long."""
    began = time.monotonic()
    done = {run.case for run in kept()}
    with tempfile.TemporaryDirectory() as folder:
        for case in (*ODD, *cases()):
            if case in done:
                continue
            if time.monotonic() - began > seconds:
                return
            run = measure(case, Path(folder))
            if run:
                _keep(run)


def measure(case: Case, folder: Path) -> Measured | None:
    """Train for a step with a real worker and return the peak; None where it failed."""
    home = Path(tempfile.mkdtemp(dir=folder))
    settings = read_settings(
        {"LUTHIER_HOME": str(home), "HOME": str(folder), "HF_HUB_OFFLINE": "1",
         "LUTHIER_WORKER_THREADS": "1"}
    )  # fmt: skip
    ctx = Context(settings)
    data = home / "rows.jsonl"
    _write_rows(data, case.batch, case.length)
    wish = PlanRequest(
        path=str(data), model=_model(case.model, folder), method=case.method,
        batch_size=case.batch, max_length=case.length, max_steps=1, rank=case.rank,
        gradient_checkpointing=case.checkpointing,
        target_modules=None if case.targets == "all-linear" else tuple(case.targets.split("+")),
    )  # fmt: skip
    plan = compile_plan(ctx, wish)
    record = submit(ctx, plan.spec, name="bench", predicted={})
    peak = _wait(ctx, record.id)
    share = _trained_share(plan.manifest.split_file(settings.dataset_folder(plan.manifest.id),
                                                    "train"), plan.model, case.length)  # fmt: skip
    shutil.rmtree(home)
    if peak is None:
        print(f"failed: {case}", flush=True)
        return None
    return Measured(
        case.model, case.method, case.length, case.checkpointing, plan.spec.batch_size,
        plan.spec.rank, case.targets, plan.spec.dropout if case.method != "full" else 0.0, share,
        peak,
    )  # fmt: skip


def _trained_share(split: Path, model: Any, length: int) -> float:
    from tools.advise.lengths import measure_lengths

    return measure_lengths(split, model).answer_share(length)


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
        _make_model(path, config_of(name))
    return str(path)


def _material() -> Path:
    named = os.environ.get("LUTHIER_MATERIAL")
    return Path(named) if named else Path(__file__).parents[3] / "shared" / "material"


def _make_model(path: Path, config: dict[str, Any]) -> None:
    """Write random weights in another process: building them here would keep torch in memory."""
    code = (
        "import sys, json; from transformers import AutoConfig, AutoModelForCausalLM as Model;"
        "config = AutoConfig.for_model(**json.loads(sys.argv[2]));"
        "Model.from_config(config).save_pretrained(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(path), json.dumps(config)], check=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        source = shipped("starter-model", name)
        if source.is_file():
            shutil.copy(source, path / name)


def config_of(model: str) -> dict[str, Any]:
    """Return a model's config.json."""
    if model in ODD_MODELS:
        return ODD_MODELS[model]
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
            targets=run.targets if run.targets == "all-linear" else tuple(run.targets.split("+")),
            trained_share=run.trained_share, dropout=run.dropout,
        )
    )  # fmt: skip


def _line(run: Measured, memory: MemoryEstimate) -> str:
    figures = (memory.low_gib, memory.expected_gib, memory.high_gib, run.measured_gib)
    error = memory.expected_gib / run.measured_gib - 1
    mark = " above high" if run.measured_gib > memory.high_gib else ""
    return (
        f"| {run.model} | {run.method} | {run.rank} | {run.targets} | {run.batch} | {run.length} | "
        f"{'on' if run.checkpointing else 'off'} | "
        f"{' | '.join(f'{value:.3f}' for value in figures)} | {error:+.1%}{mark} |"
    )


def table(runs: list[Measured]) -> str:
    """Return the figures and a row for each run."""
    asked = list(cases())
    pairs = [(run, predict(run)) for run in runs]
    matrix = [pair for pair in pairs if pair[0].case in asked]
    odd = [pair for pair in pairs if pair[0].case not in asked]
    fitted, held_out = matrix[:_IN_SIGHT][::2], matrix[:_IN_SIGHT][1::2]
    parts = {
        f"all of the matrix, {len(matrix)} of {len(asked)} runs": matrix,
        "its even rows up to the 57th, on which the constants were chosen": fitted,
        "its odd rows up to the 57th": held_out,
        f"its rows from the {_IN_SIGHT + 1}th on, measured afterwards": matrix[_IN_SIGHT:],
        f"odd runs, measured afterwards, {len(odd)} of {len(ODD)}": odd,
    }
    widest = max((m.high_gib / m.expected_gib for _, m in pairs), default=1.0)
    lowest = min((m.low_gib / m.expected_gib for _, m in pairs), default=1.0)
    lines = [
        _ABOUT,
        "",
        *(f"- {name}: {_summary(part)}" for name, part in parts.items() if part),
        f"- *low* is at most {1 - lowest:.0%} below *expected*, *high* {widest - 1:.0%} above",
        "",
        "| model | method | rank | targets | batch | length | checkpointing | low | expected | "
        "high | measured | error |",
        "|---" * 12 + "|",
    ]
    return "\n".join([*lines, *(_line(run, memory) for run, memory in pairs)])


def _summary(part: list[tuple[Measured, MemoryEstimate]]) -> str:
    errors = [m.expected_gib / run.measured_gib - 1 for run, m in part]
    mean, drift = sum(map(abs, errors)) / len(errors), sum(errors) / len(errors)
    above = sum(run.measured_gib > m.high_gib for run, m in part)
    return (
        f"mean error {mean:.1%} ({drift:+.1%} with its sign), largest {max(map(abs, errors)):.1%}, "
        f"{above} peaks above *high*"
    )


def main() -> str:
    """Measure what is missing and return the table."""
    measure_all(float("inf"))
    return table(kept())


if __name__ == "__main__":
    measure_all(float(sys.argv[1]) if len(sys.argv) > 1 else float("inf"))
    print(table(kept()))
