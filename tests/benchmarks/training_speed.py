"""Time to a peer's final validation loss: Luthier beside other trainers at their own defaults.

Same model, tokens, rank, targets, learning rate, schedule and samples per update; each run is a
process of its own, the trainers take turns, validation stands outside the clock. One thread. It
goes on where it was stopped; `LUTHIER_ANEW=1` measures again, `LUTHIER_KEPT=1` only writes the
table of what was measured. TRL stands in this environment; other peers in environments of their own
below the folder that `LUTHIER_PEERS` names:

    llamafactory/   torch==2.13.0, then llamafactory==0.9.5; torchvision and torchaudio removed
    olive/          torch==2.13.0, then olive-ai==0.13.0 requests peft
    stub/           an empty `torchaudio` package, which LLaMA-Factory imports and does not use
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

_ROOT = Path(__file__).parents[2]
_MATERIAL = _ROOT.parent / "shared" / "material"
KEPT = Path(__file__).parent / "results" / "training_speed.json"
_TURNS = int(os.environ.get("LUTHIER_TURNS", "5"))
_EVAL_STEPS = 4
_SAME = "Luthier, same settings"
_LONGER = "Luthier, same settings, a fifth more rows"
_BETTER = "Luthier, recommended (rate × 2.5)"
_KINDS: dict[str, dict[str, Any]] = {
    "LLaMA-Factory at its defaults": {"trainer": "llamafactory"},
    _SAME: {"trainer": "ours"},
    _LONGER: {"trainer": "ours", "longer": 1.2},
    _BETTER: {"trainer": "ours", "learning_rate": 5e-3},
    "TRL at its defaults": {"trainer": "trl"},
    "Olive at its defaults": {"trainer": "olive"},
    "TRL, packing bfd": {"trainer": "trl", "options": {"packing": True, "max_length": 256}},
}
_PEERS = ("llamafactory", "olive")
_ONCE = ("TRL at its defaults", "TRL, packing bfd", "Olive at its defaults")
"""The slower ones are measured in one turn unless `LUTHIER_ALL` is set."""
_LONGEST = 200
"""Characters of question and answer: the model's tokens are characters, and it holds 256."""
Row = dict[str, Any]


def main() -> str:
    """Measure both data sets and return the tables."""
    material = Path(os.environ.get("LUTHIER_MATERIAL", _MATERIAL))
    model = str(material / "models" / "babyllama-105")
    parts = [
        compare("banking77, 1,000 rows", banking(material), (200, 1000), model, 1),
        compare("phrase/tone, 360 rows", tones(), (50, 360), model, 2),
    ]
    return "\n\n".join([_about(), *parts])


def banking(material: Path) -> list[Row]:
    """Return banking77 in one order, as questions and intents."""
    file = material / "datasets" / "classification" / "banking77" / "train.csv"
    with file.open(encoding="utf-8") as lines:
        read = list(csv.DictReader(lines))
    rows = [row_of(r["text"].strip(), r["category"].replace("_", " ")) for r in read]
    random.Random(1).shuffle(rows)
    return rows


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


def compare(title: str, rows: list[Row], sizes: tuple[int, int], model: str, epochs: int) -> str:
    """Let the trainers take turns and return their table."""
    # Trainers cut long rows in different ways, so there are none.
    short = [r for r in rows if len(r["prompt"][0]["content"]) + len(r["label"]) <= _LONGEST]
    held_out, rows = sizes[0], short[: sum(sizes)]
    found: dict[str, list[Row]] = {name: [] for name in _KINDS}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
        fixed = {
            "rows": str(place / "rows.json"), "held_out_rows": held_out, "model": model,
            "rank": 8, "batch": 16, "epochs": epochs, "length": 256, "learning_rate": 2e-3,
            "eval_steps": _EVAL_STEPS,
        }  # fmt: skip
        measures = "LUTHIER_KEPT" not in os.environ
        same = run({**fixed, "trainer": "encode", "into": folder}, place) if measures else {}
        for turn in range(_TURNS):
            # Who comes first changes, so that nobody has the same neighbour in time.
            order = [*_KINDS.items()]
            for name, kind in order[turn % len(order) :] + order[: turn % len(order)]:
                if turn and name in _ONCE and "LUTHIER_ALL" not in os.environ:
                    continue
                case = {**same, **kind, "seed": 17 + turn}
                case["epochs"] = epochs * kind.get("longer", 1)
                if (figures := remembered(title, name, turn, case, place)) is None:
                    print(title, name, "is not installed or not measured", flush=True)
                    continue
                found[name].append(figures)
                told = {k: v for k, v in figures.items() if k != "curve"}
                print(title, name, told, flush=True)
    return table(title, found)


def remembered(title: str, name: str, turn: int, case: Row, place: Path) -> Row | None:
    """Return a run's figures, measured now or kept from before; None where there are none."""
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    key = f"{title} | {name} | {turn}"
    if "LUTHIER_KEPT" in os.environ:
        return dict(kept[key]) if key in kept else None
    if key not in kept or "LUTHIER_ANEW" in os.environ:
        if case["trainer"] in _PEERS and not python_of(case["trainer"]).is_file():
            return None
        kept[key] = run(case, place)
        KEPT.write_text(json.dumps(kept, indent=0), encoding="utf-8")
    return dict(kept[key])


def python_of(trainer: str) -> Path:
    """Return the interpreter that a trainer is installed for; that of a peer may not exist."""
    if trainer not in _PEERS:
        return Path(sys.executable)
    return Path(os.environ.get("LUTHIER_PEERS", "")) / trainer / "bin" / "python"


def run(case: Row, place: Path) -> Row:
    """Do one run in a process of its own."""
    file = place / "case.json"
    file.write_text(json.dumps(case), encoding="utf-8")
    peer = case["trainer"] in _PEERS
    module = "peer_run" if peer else "speed_run"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment["OLIVE_DISABLE_TELEMETRY"] = "1"
    if peer:
        stub = str(Path(os.environ["LUTHIER_PEERS"]) / "stub")
        environment["PYTHONPATH"] = os.pathsep.join([str(_ROOT), stub])
    done = subprocess.run(
        [str(python_of(case["trainer"])), "-m", f"tests.benchmarks.{module}", str(file)],
        capture_output=True, text=True, timeout=3600, check=False, env=environment,
        # Olive leaves a cache where it is started.
        cwd=place if peer else _ROOT,
    )  # fmt: skip
    told = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not told:
        raise RuntimeError(done.stderr[-2000:])
    result: Row = json.loads(told[-1].removeprefix("RESULT "))
    return result


def mean_curve(runs: list[Row]) -> list[tuple[float, float]]:
    """Return seconds and validation loss at each step that was looked at, averaged over turns."""
    steps = [{step: (s, loss) for step, s, loss in run["curve"]} for run in runs]
    shared = sorted(set.intersection(*(set(one) for one in steps)))
    points = [tuple(statistics.mean(p) for p in zip(*(one[n] for one in steps), strict=True))
              for n in shared]  # fmt: skip
    end = (statistics.mean(r["seconds"] for r in runs), statistics.mean(r["loss"] for r in runs))
    return [(seconds, loss) for seconds, loss in [*points, end]]


def time_to(curve: list[tuple[float, float]], loss: float) -> float | None:
    """Return the seconds until a validation loss was first seen to be reached, or None."""
    return next((seconds for seconds, value in curve if value <= loss), None)


def table(title: str, found: dict[str, list[Row]]) -> str:
    """Return the table of one data set: how soon we are as good as each peer at its end."""
    ours = (_SAME, _LONGER, _BETTER)
    lines = [
        f"**{title}**",
        "",
        "| trainer | turns | final loss | whole run, CPU s | samples/s | tokens/s | peak, GiB | "
        "same rows: times as fast | Luthier as good, same settings: s, times as fast | "
        "recommended: s, times as fast |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        if not runs:
            lines.append(f"| {name} | 0 | not measured | | | | | | | |")
            continue
        against = _against(runs, found) if name not in ours else ["", "", ""]
        lines.append(
            f"| {name} | {len(runs)} | {_middle(runs, 'loss', 3)} | {_middle(runs, 'seconds', 1)} |"
            f" {_middle(runs, 'samples_per_s', 1)} | {_middle(runs, 'tokens_per_s', 0)} |"
            f" {_middle(runs, 'memory_gib', 2)} | {' | '.join(against)} |"
        )
    return "\n".join(lines)


def _against(peer: list[Row], found: dict[str, list[Row]]) -> list[str]:
    """Return three cells: the same rows, and until as good as the peer is at its end."""
    seconds, loss = (statistics.mean(run[name] for run in peer) for name in ("seconds", "loss"))
    cells = []
    if found[_SAME]:
        own = statistics.mean(run["seconds"] for run in found[_SAME])
        cells.append(f"{seconds / own:.2f} ×")
    for name in (_LONGER, _BETTER):
        first = time_to(mean_curve(found[name]), loss) if found[name] else None
        cells.append(f"{first:.1f} s, {seconds / first:.2f} ×" if first else "not reached")
    return cells


def _middle(runs: list[Row], name: str, digits: int) -> str:
    values = [run[name] for run in runs]
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) < 2:
        return middle
    return f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def _about() -> str:
    return (
        "Babyllama-105 (0.94M parameters), LoRA r8 on all linear layers, alpha 16, 16 rows an "
        "update, cosine schedule, learning rate 0.002, one thread. Each turn has another seed (17 "
        "and on), and the trainers take turns; median and range where there are more than one. "
        "Seconds are CPU seconds of that thread while the trainer trains: loading, reading, "
        "tokenising and validating stand apart, for all alike. All trainers see the same tokens, "
        "and the loss is the mean per answer token of the same held-out rows, computed by the "
        f"same code every {_EVAL_STEPS} updates. The loss of one run is a draw, so losses and "
        "curves are averaged over the turns: *as good* is when Luthier's mean loss is at or below "
        "the peer's mean final loss, in runs over a fifth more rows, whose schedule ends later (a "
        "run over the same rows has the same loss at its end, give or take a draw). Defaults on a "
        "CPU: LLaMA-Factory 0.9.5 gradient checkpointing, padding to multiples of 8, with a stub "
        "for torchaudio; TRL 1.16 bfloat16 autocast, gradient checkpointing, padding in random "
        "order; Olive 0.13 the base and the adapter in bfloat16, gradient checkpointing, dropout "
        "0.05, the question learnt like the answer, and rows joined end to end without a border, "
        "to 256 tokens here, as many an update as hold 16 rows. *Packing bfd* joins rows to 256 "
        "tokens, so an update holds more of them: not the same samples per update."
    )
