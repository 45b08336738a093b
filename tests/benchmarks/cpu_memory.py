"""Predicted against measured resident peak of real training runs on this processor.

Every run is a whole worker process: load, labels, probe, a few steps, an evaluation. The peak is
what the worker itself measured before it judged. Models of random weights have real shapes.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tools.advise.plan import PlanRequest, compile_plan
from tools.context import Context
from tools.jobs.launch import submit
from tools.settings import read_settings
from tools.shipped import shipped

_STEPS = 3
_DEADLINE_S = 900
SHAPES: dict[str, dict[str, int]] = {
    "random-50M": {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 15},
    "random-120M": {"hidden_size": 768, "intermediate_size": 2304, "num_hidden_layers": 16},
    "random-300M": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 24},
}
METHODS = ("lora", "qlora", "dora", "full")


@dataclass(frozen=True)
class Case:
    """One run."""

    model: str
    method: str
    length: int
    checkpointing: bool

    @property
    def batch(self) -> int:
        """Rows of a micro-batch: fewer for the larger models, so that a run takes seconds."""
        return 16 if self.model in {"starter", "babyllama-105"} else 4


def cases() -> Iterator[Case]:
    """Yield all combinations; babyllama reads 256 tokens and one character each."""
    for model in ("starter", "babyllama-105", *SHAPES):
        for method in METHODS:
            for length in (128, 256) if model == "babyllama-105" else (128, 512):
                for checkpointing in (False, True):
                    yield Case(model, method, length, checkpointing)


def main() -> str:
    """Run all cases and return the table."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for case in cases() if (row := measure(case, Path(folder)))]
    return table(rows)


def measure(case: Case, folder: Path) -> dict[str, Any] | None:
    """Run one case and return what was predicted and measured."""
    home = Path(tempfile.mkdtemp(dir=folder))
    settings = read_settings(
        {"LUTHIER_HOME": str(home), "HOME": str(folder), "HF_HUB_OFFLINE": "1",
         "LUTHIER_WORKER_THREADS": "1"}
    )  # fmt: skip
    ctx = Context(settings)
    data = home / "rows.jsonl"
    _write_rows(data, case)
    plan = compile_plan(
        ctx,
        PlanRequest(
            path=str(data),
            model=_model(case, folder),
            method=case.method,
            batch_size=case.batch,
            max_length=case.length,
            max_steps=_STEPS,
            gradient_checkpointing=case.checkpointing,
        ),
    )
    record = submit(ctx, plan.spec, name="bench", predicted={})
    measured = _wait(ctx, record.id)
    shutil.rmtree(home)
    if measured is None:
        print(f"failed: {case}", flush=True)
        return None
    row = {
        "case": case,
        "low": plan.memory.low_gib,
        "expected": plan.memory.expected_gib,
        "high": plan.memory.high_gib,
        "measured": measured,
    }
    print(json.dumps({**row, "case": vars(case)}), flush=True)
    return row


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


def _write_rows(path: Path, case: Case) -> None:
    """Rows a little longer than the limit, so that every batch has exactly its length."""
    words = ["ba", "do", "ki", "lu", "me", "no", "ra", "su", "te", "vo"]
    with path.open("w", encoding="utf-8") as file:
        for row in range(case.batch * 5):
            text = " ".join(words[(row * 7 + i * i) % 10] for i in range(case.length))
            answer = " ".join(words[(row * 3 + i) % 10] for i in range(case.length // 3))
            file.write(json.dumps({"prompt": f"{row} {text}", "completion": answer}) + "\n")


def _model(case: Case, folder: Path) -> str:
    if case.model == "starter":
        return "starter"
    if case.model == "babyllama-105":
        material = os.environ.get("LUTHIER_MATERIAL")
        root = Path(material) if material else Path(__file__).parents[3] / "shared" / "material"
        return str(root / "models" / "babyllama-105")
    path = folder / case.model
    if not path.is_dir():
        _make_model(path, SHAPES[case.model])
    return str(path)


def _make_model(path: Path, sizes: dict[str, int]) -> None:
    """Write random weights in another process: building them here would keep torch in memory."""
    import subprocess

    code = (
        "import sys, json; from transformers import LlamaConfig, LlamaForCausalLM;"
        "LlamaForCausalLM(LlamaConfig(**json.loads(sys.argv[2]))).save_pretrained(sys.argv[1])"
    )
    config = {
        **sizes, "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 32000,
        "max_position_embeddings": 1024, "tie_word_embeddings": False,
    }  # fmt: skip
    subprocess.run([sys.executable, "-c", code, str(path), json.dumps(config)], check=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        source = shipped("starter-model", name)
        if source.is_file():
            shutil.copy(source, path / name)


def table(rows: list[dict[str, Any]]) -> str:
    """Return the figures and a row for each run."""
    errors = [abs(r["expected"] - r["measured"]) / r["measured"] for r in rows]
    above = sum(r["measured"] > r["high"] for r in rows)
    lines = [
        f"{len(rows)} runs: mean error {sum(errors) / max(1, len(errors)):.1%}, largest "
        f"{max(errors, default=0):.1%}, {above} measured peaks above *high*.",
        "",
        "| model | method | batch | length | checkpointing | low | expected | high | measured |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        c = r["case"]
        figures = " | ".join(f"{r[k]:.3f}" for k in ("low", "expected", "high", "measured"))
        on = "on" if c.checkpointing else "off"
        lines.append(f"| {c.model} | {c.method} | {c.batch} | {c.length} | {on} | {figures} |")
    return "\n".join(lines)
