"""Time to the peer's final validation loss: Luthier beside TRL's own `SFTTrainer` at its defaults.

Same model, rows, rank, targets, learning rate, schedule and samples per update; each run is a
process of its own, the trainers take turns, validation stands outside the clock. One thread. It
goes on where it was stopped; `LUTHIER_ANEW=1` measures again.
"""

from __future__ import annotations

import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tools.shipped import shipped

_MATERIAL = Path(__file__).parents[3] / "shared" / "material"
KEPT = Path(__file__).parent / "results" / "training_speed.json"
_TURNS = int(os.environ.get("LUTHIER_TURNS", "3"))
_EVAL_STEPS = 7
Row = dict[str, Any]


def main() -> str:
    """Measure both data sets and return the table."""
    material = Path(os.environ.get("LUTHIER_MATERIAL", _MATERIAL))
    model = str(material / "models" / "babyllama-105")
    with tempfile.TemporaryDirectory() as folder:
        parts = [
            compare("banking77, 1,000 rows", banking(material), 200, model, 1, Path(folder)),
            compare("phrase/tone, 360 rows", tones(), 50, model, 2, Path(folder)),
        ]
    return "\n\n".join([_about(), *parts])


def banking(material: Path) -> list[Row]:
    """Return 1,200 rows of banking77 as questions and intents."""
    file = material / "datasets" / "classification" / "banking77" / "train.csv"
    with file.open(encoding="utf-8") as lines:
        read = list(csv.DictReader(lines))
    rows = [row_of(r["text"].strip(), r["category"].replace("_", " ")) for r in read]
    random.Random(1).shuffle(rows)
    return rows[:1200]


def tones() -> list[Row]:
    """Return the shipped phrases and their tones."""
    lines = (shipped("samples") / "phrase_tone.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row_of(r["phrase"], r["tone"]) for r in map(json.loads, lines)]
    random.Random(1).shuffle(rows)
    return rows


def row_of(asked: str, answer: str) -> Row:
    """Return a prepared row."""
    return {
        "prompt": [{"role": "user", "content": asked}],
        "completion": [{"role": "assistant", "content": answer}],
        "label": answer,
    }


def compare(
    title: str, rows: list[Row], held_out: int, model: str, epochs: int, folder: Path
) -> str:
    """Let the trainers take turns and return their table."""
    file = folder / "rows.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    fixed = {
        "rows": str(file), "held_out": held_out, "model": model, "rank": 8, "batch": 16,
        "epochs": epochs, "length": 256, "learning_rate": 2e-3, "eval_steps": _EVAL_STEPS,
    }  # fmt: skip
    kinds: dict[str, dict[str, Any]] = {
        "TRL at its defaults": {"trainer": "trl"},
        "TRL, packing bfd": {
            "trainer": "trl",
            "options": {"packing": True, "max_length": 256},
        },
        "Luthier, same settings (packed)": {"trainer": "ours"},
        "Luthier, grouped": {"trainer": "ours", "batching": "grouped"},
        "Luthier, recommended (rate × 2.5)": {"trainer": "ours", "learning_rate": 5e-3},
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in kinds}
    for turn in range(_TURNS):
        for name, kind in kinds.items():
            if turn and name == "TRL, packing bfd":
                continue
            case = {**fixed, **kind, "seed": 17 + turn}
            found[name].append(remembered(title, name, turn, case))
            told = {k: v for k, v in found[name][-1].items() if k != "curve"}
            print(title, name, told, flush=True)
    return table(title, found)


def remembered(title: str, name: str, turn: int, case: dict[str, Any]) -> dict[str, Any]:
    """Return a run's figures, measured now or kept from before."""
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    key = f"{title} | {name} | {turn}"
    if key not in kept or "LUTHIER_ANEW" in os.environ:
        kept[key] = run(case)
        KEPT.write_text(json.dumps(kept, indent=0), encoding="utf-8")
    return dict(kept[key])


def run(case: dict[str, Any]) -> dict[str, Any]:
    """Do one run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.speed_run", json.dumps(case)],
        capture_output=True, text=True, timeout=3600, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    told = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not told:
        raise RuntimeError(done.stderr[-2000:])
    result: dict[str, Any] = json.loads(told[-1].removeprefix("RESULT "))
    return result


def time_to(curve: list[list[float]], whole: float, end: float, loss: float) -> float | None:
    """Return the seconds until a validation loss was first reached, or None."""
    reached = [seconds for _, seconds, value in curve if value <= loss]
    return reached[0] if reached else (whole if end <= loss else None)


def table(title: str, found: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table of one data set."""
    peers = found["TRL at its defaults"]
    lines = [
        f"**{title}**",
        "",
        "| trainer | final loss | whole run, CPU s | samples/s | tokens/s | peak, GiB | "
        "time to TRL's final loss, s | as many times as fast |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        times = [
            time_to(r["curve"], r["seconds"], r["loss"], peer["loss"])
            for r, peer in zip(runs, peers, strict=False)
        ]
        ratios = [p["seconds"] / t for p, t in zip(peers, times, strict=False) if t]
        reached = f"{statistics.median([t for t in times if t]):.1f}" if any(times) else "–"
        missed = sum(t is None for t in times)
        if missed and any(times):
            reached += f" ({missed} of {len(times)} did not reach it)"
        ratio = f"{statistics.median(ratios):.2f}" if ratios else "not reached"
        lines.append(
            f"| {name} | {_middle(runs, 'loss', 3)} | {_middle(runs, 'seconds', 1)} | "
            f"{_middle(runs, 'samples_per_s', 1)} | {_middle(runs, 'tokens_per_s', 0)} | "
            f"{_middle(runs, 'memory_gib', 2)} | {reached} | {ratio} |"
        )
    return "\n".join(lines)


def _middle(runs: list[dict[str, Any]], name: str, digits: int) -> str:
    values = [run[name] for run in runs]
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) < 2:
        return middle
    return f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def _about() -> str:
    return (
        "Babyllama-105 (0.94M parameters), LoRA r8 on all linear layers, 16 rows an update, cosine "
        f"schedule, learning rate 0.002, one thread; {_TURNS} turns with different seeds, median "
        "and range; seconds are CPU seconds of that thread, validation apart. TRL's defaults on a "
        "CPU are bfloat16 autocast, gradient checkpointing and padding in the order of a random "
        "sampler; each turn is compared with TRL's of the same turn. *Packing bfd* joins rows to "
        "256 tokens, so an update holds more of them: not the same samples per update."
    )
