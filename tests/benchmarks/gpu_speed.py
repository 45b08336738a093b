"""Training speed on an NVIDIA card beside TRL's `SFTTrainer`, and Unsloth where it is installed.

A random-weight model of Llama-3.2-1B's shape, LoRA on all linear layers, real rows; same model,
rows, rank, targets, learning rate, schedule and samples per update. The figure is the time to the
peer's final validation loss. Wall-clock seconds of training alone: every run is a process of its
own that has loaded everything before its clock starts, the trainers take turns, and the clock
stands still while the held-out rows are scored, by one function for all.

`python -m tests.benchmarks.gpu_speed FOLDER [TURNS]`: FOLDER holds `model/` (see
`gpu_peaks.model_folder`, with a real tokenizer) and `rows.json`, a list of prompt and completion.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

KEPT = Path(__file__).parent / "results" / "gpu_speed.json"
_UNSLOTH = "LUTHIER_UNSLOTH_PATH"
"""Variable with the import path of an environment that has Unsloth and the versions it wants."""
FIXED: dict[str, Any] = {
    "rank": 16, "batch": 16, "epochs": 1, "length": 1024, "learning_rate": 1e-3,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "TRL at its defaults": {"trainer": "trl"},
    "Luthier, same settings (packed)": {"trainer": "ours"},
    "Luthier, packed, Liger kernels": {"trainer": "ours", "liger": True},
    "Unsloth": {"trainer": "unsloth"},
    "Luthier, padded": {"trainer": "ours", "batching": "padded"},
    "TRL without checkpointing": {"trainer": "trl", "options": {"gradient_checkpointing": False}},
}
MEASURED = (
    "2026-11-27 on a machine with one NVIDIA H200 (139 GiB), 16 CPU cores, driver 580, Python "
    "3.12, torch 2.11 (CUDA 13.0), transformers 5.23, trl 1.16, peft 0.21.2"
)
_ABOUT = """Llama-3.2-1B's shape with random weights, 722 rows of Alpaca in 46 updates of 16, LoRA
r16 on all linear layers, bfloat16, learning rate 0.001, cosine. One run each, alone on the card,
and a second of TRL. TRL's first steps take long (its loss has Triton kernels, compiled when first
used), so they are told apart. The same TRL run twice ended 0.013 apart: the losses are equal within
that, and *time to TRL's loss* is not told. TRL recomputes activations by default and needs less
memory for it.

Seen beside other runs on the card, so no measurement: in 7 updates a later step of TRL's took
0.5 s, of Unsloth's 2026.10.9 (with transformers 5.17 and trl 1.15) 0.5 s, of Luthier's with Liger's
kernels 0.2 s, from the same first loss to 10.08, 10.14 and 10.04."""


def _child(trainer: str) -> subprocess.Popen[str]:
    more = ["--unsloth"] if trainer == "unsloth" else []
    variables = dict(os.environ)
    if more and _UNSLOTH in variables:
        variables |= {"PYTHONPATH": variables[_UNSLOTH], "BARE": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.gpu_trainers", *more], env=variables,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def measure(folder: Path, turns: int, kinds: dict[str, dict[str, Any]]) -> None:
    """Let the trainers take turns; what is measured is kept at once."""
    fixed = {**FIXED, "model": str(folder / "model"), "rows": str(folder / "rows.json")}
    todo = [(name, turn, {**fixed, **kind, "seed": 17 + turn})
            for turn in range(turns) for name, kind in kinds.items()]  # fmt: skip
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    todo = [each for each in todo if f"{each[0]} | {each[1]}" not in kept]
    ready = _child(todo[0][2]["trainer"]) if todo else None
    for place, (name, turn, case) in enumerate(todo):
        # The next process loads its libraries while this one trains: cores are plenty there.
        now, ready = ready, None
        if place + 1 < len(todo):
            ready = _child(todo[place + 1][2]["trainer"])
        assert now is not None
        told, _ = now.communicate(json.dumps(case) + "\n", timeout=240)
        found = [line for line in told.splitlines() if line.startswith("RESULT ")]
        if not found:
            print("FAILED", name, told[-2500:], flush=True)
            continue
        kept[f"{name} | {turn}"] = json.loads(found[-1].removeprefix("RESULT "))
        KEPT.write_text(json.dumps(kept, indent=0), encoding="utf-8")
        print(name, turn, found[-1], flush=True)


def main() -> str:
    """Return the table of what was measured beside TRL at its defaults."""
    kept: dict[str, Any] = json.loads(KEPT.read_text())
    found: dict[str, list[dict[str, Any]]] = {}
    for key, result in kept.items():
        found.setdefault(key.rpartition(" | ")[0], []).append(result)
    peer = found["TRL at its defaults"][0]
    lines = [
        _ABOUT,
        "",
        "| trainer | run | final loss | whole run, s | of that the first quarter, s | "
        "a step after it, s | samples/s after it | peak, GiB | times TRL: whole | after it |",
        "|---" * 10 + "|",
    ]
    for name, runs in found.items():
        for number, run in enumerate(runs, 1):
            step, whole = _later_step_s(run), run["seconds"]
            lines.append(
                f"| {name} | {number} | {run['loss']:.3f} | {whole:.1f} | {run['curve'][0][1]:.1f} "
                f"| {step:.3f} | {FIXED['batch'] / step:.0f} | {run['memory_gib']:.1f} | "
                f"{peer['seconds'] / whole:.2f} | {_later_step_s(peer) / step:.2f} |"
            )
    return "\n".join(lines)


def _later_step_s(run: dict[str, Any]) -> float:
    """Seconds of a step once every kernel is compiled: between the first score and the last."""
    (first, began, _), (last, ended, _) = run["curve"][0], run["curve"][-1]
    return float(ended - began) / (last - first)


if __name__ == "__main__":
    measure(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3, KINDS)
