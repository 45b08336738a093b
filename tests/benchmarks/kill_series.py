"""`kill -9` at 20 random moments: of training, checkpoint writing, going on, saving and judging.

Five ways to train, four kills each, drawn with a seed that is printed. Every killed run is resumed
until it ends. Its losses and its weights must be those of the run that was left alone, bit for
bit; no checkpoint that it started from may be half written; no job may have a state that is not
true; no process of it may live on. Whether a checkpoint is whole is judged here anew, not by the
code under test.

The rows of each way to train are kept when they are there and not measured again;
`LUTHIER_ANEW=1` forgets them.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from safetensors.numpy import load_file

from tests.jobs_factory import make_dataset, make_spec
from tools.context import Context
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED, TrainingSpec
from tools.jobs.checkpoints import HALF, MANIFEST, checkpoint_folders
from tools.jobs.follow import wait
from tools.jobs.launch import submit
from tools.jobs.reconcile import is_alive, reconcile
from tools.jobs.resume import resume, why_not_resumable
from tools.settings import read_settings

KEPT = Path(__file__).parent / "results" / "kill_series.jsonl"
SETUPS: dict[str, dict[str, Any]] = {
    "LoRA": {"batching": "grouped"},
    "DoRA, packed": {"method": "dora", "batching": "packed"},
    "QLoRA, packed": {"method": "qlora", "batching": "packed"},
    "full, accumulating": {"method": "full", "learning_rate": 1e-3, "gradient_accumulation": 2},
    "LoRA, two processes": {"engine": "ddp", "processes": 2, "batch_size": 2},
}
_MOMENTS = (
    *("training",) * 6, *("checkpoint writing",) * 5, *("resume",) * 5,
    *("save",) * 2, *("evaluation",) * 2,
)  # fmt: skip
_LAST = ("save", "evaluation")
_STEPS = 40
_DEADLINE_S = 400.0
_ENDS_WITHIN_S = 10.0


def main() -> str:
    """Kill what was not killed yet, and return the table."""
    rows = [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []
    if "LUTHIER_ANEW" in os.environ:
        rows = []
    seed = rows[0]["seed"] if rows else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", flush=True)
    drawn = list(_MOMENTS)
    random.Random(seed).shuffle(drawn)
    each = len(drawn) // len(SETUPS)
    with tempfile.TemporaryDirectory(prefix="kill series ") as folder:
        ctx = _context(Path(folder))
        for number, setup in enumerate(SETUPS):
            if any(row["setup"] == setup for row in rows):
                continue
            chooser = random.Random(f"{seed} {setup}")
            moments = drawn[number * each : (number + 1) * each]
            rows += [{"seed": seed, **row} for row in _series(ctx, setup, moments, chooser)]
            KEPT.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return table(rows)


def _series(
    ctx: Context, setup: str, moments: list[str], chooser: random.Random
) -> list[dict[str, Any]]:
    """Train once in peace, then kill as often as there are moments."""
    values = {"max_steps": _STEPS, "eval_steps": 8, "save_steps": 4, "dropout": 0.1}
    spec = make_spec(make_dataset(ctx), "starter", **values | SETUPS[setup])
    whole = _ended(ctx, submit(ctx, spec, name="whole"))
    if whole.state != "succeeded":
        raise RuntimeError(f"{setup} in peace is {whole.state}: {whole.error}")
    rows: list[dict[str, Any]] = []
    left = sorted(
        moments, key=lambda moment: (moment in _LAST and _LAST.index(moment) + 1, chooser.random())
    )
    while left:
        done = _killed_run(ctx, spec, whole, left, chooser)
        rows += [{"setup": setup, **row} for row in done]
    return rows


def _killed_run(
    ctx: Context, spec: TrainingSpec, whole: JobRecord, left: list[str], chooser: random.Random
) -> list[dict[str, Any]]:
    """Kill one run at the moments that are left, in order, and compare its end."""
    record = submit(ctx, spec, name="killed")
    rows: list[dict[str, Any]] = []
    while left:
        # Nothing goes on before it was stopped once: then the start itself is the moment.
        moment = "start" if left[0] == "resume" and not rows else left[0]
        row = _kill(ctx, record, moment, len(left), chooser)
        if row is None:
            break
        left.pop(0)
        rows.append(row)
        print(json.dumps(row), flush=True)
        after = ctx.store.jobs.get(record.id)
        if why_not_resumable(ctx, after)[0]:
            # Lost: there is nothing to go on from, and the next kill needs another run.
            return rows
        resume(ctx, after)
        attempt = ctx.store.jobs.events(record.id, kinds=["attempt"])[-1]
        found = re.search(r"from step (\d+)", attempt.payload["reason"])
        row["chosen"] = f"checkpoint-{found[1]}" if found else None
        row["chosen_is_whole"] = row["chosen"] in row["whole"]
    ended = _ended(ctx, record)
    for row in rows:
        row["end"] = ended.state
        losses, expected = _losses(ctx, record.id), _losses(ctx, whole.id)
        row["differs_at"] = [n for n in expected if losses.get(n) != expected[n]][:5]
        row["equal_losses"] = losses == expected
        row["equal_weights"] = _weights(ctx, record.id) == _weights(ctx, whole.id) is not None
    return rows


def _kill(
    ctx: Context, record: JobRecord, moment: str, kills_left: int, chooser: random.Random
) -> dict[str, Any] | None:
    """Kill at a moment and look at what is left; None where the run ended before."""
    folder = ctx.settings.job_folder(record.id)
    reached = max(_losses(ctx, record.id), default=0)
    at_step = chooser.randint(reached + 1, reached + max(1, (_STEPS - reached) // (kills_left + 1)))
    if not _wait_for(ctx, record, moment, at_step, chooser):
        return None
    pid = ctx.store.jobs.get(record.id).pid
    assert pid is not None
    step = max(_losses(ctx, record.id), default=0)
    os.kill(pid, signal.SIGKILL)
    _until(lambda: not _lives(pid) and not is_alive(folder), "its end")
    orphans = _orphans(record.id)
    kept = checkpoint_folders(folder)
    whole = [path.name for path in kept if _is_whole(path)]
    halves = [path.name for path in kept if path.name not in whole]
    halves += [f"{HALF}/{path.name}" for path in (folder / "checkpoints" / HALF).glob("*")]
    said = json.loads((folder / "exit.json").read_text()) if (folder / "exit.json").exists() else {}
    reconcile(ctx)
    state = ctx.store.jobs.get(record.id).state
    return {
        "when": moment,
        "step": step,
        "half_written": halves,
        "whole": whole,
        "state": state,
        "true_state": state == said.get("state", "interrupted" if whole else "lost"),
        "orphans": orphans,
    }


def _wait_for(
    ctx: Context, record: JobRecord, moment: str, at_step: int, chooser: random.Random
) -> bool:
    """Wait for a moment, and a random while within it; False where the run ended before."""
    folder = ctx.settings.job_folder(record.id)
    began = len(ctx.store.jobs.events(record.id, kinds=["phase"]))

    def phases() -> list[str]:
        new = ctx.store.jobs.events(record.id, kinds=["phase"])[began:]
        return [event.payload["phase"] for event in new]

    half = folder / "checkpoints" / HALF
    come: dict[str, tuple[Callable[[], Any], float]] = {
        "start": (phases, 6.0),
        "resume": (phases, 6.0),
        "training": (lambda: max(_losses(ctx, record.id), default=0) >= at_step, 1.0),
        "checkpoint writing": (
            lambda: any(_step_of(p.parent) >= at_step for p in half.glob("checkpoint-*/*")), 0.06,
        ),
        "save": (lambda: any(folder.glob("*.part")), 0.05),
        "evaluation": (lambda: "evaluate" in phases(), 1.0),
    }  # fmt: skip
    there, lasts_s = come[moment]
    ended = (folder / "exit.json").exists
    _until(lambda: there() or ended(), moment)
    time.sleep(chooser.uniform(0, lasts_s))
    return not ended()


def _step_of(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _is_whole(checkpoint: Path) -> bool:
    """Tell whether every file is what the manifest says, and the weights can be read."""
    if not (checkpoint / MANIFEST).exists():
        return False
    files = json.loads((checkpoint / MANIFEST).read_text())["files"]
    for name, expected in files.items():
        path = checkpoint / name
        if (
            not path.is_file()
            or hashlib.sha256(path.read_bytes()).hexdigest() != expected["sha256"]
        ):
            return False
    return all(load_file(path) for path in checkpoint.glob("*.safetensors"))


def _orphans(job_id: str) -> int:
    """Return how many processes of a killed job outlive it for long."""

    def alive() -> list[int]:
        found = psutil.process_iter(["cmdline", "status"])
        return [
            p.pid for p in found
            if p.info["status"] != psutil.STATUS_ZOMBIE and job_id in (p.info["cmdline"] or [])
        ]  # fmt: skip

    deadline = time.monotonic() + _ENDS_WITHIN_S
    while alive() and time.monotonic() < deadline:
        time.sleep(0.1)
    return len(alive())


def _until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"never happened: {what}")
        time.sleep(0.002)


def _ended(ctx: Context, record: JobRecord) -> JobRecord:
    after = wait(ctx, record.id, timeout_s=_DEADLINE_S)
    if after.state in UNFINISHED:
        raise RuntimeError(f"{record.id} is still {after.state}")
    return after


def _losses(ctx: Context, job_id: str) -> dict[int, float]:
    events = ctx.store.jobs.events(job_id, kinds=["metrics"])
    return {e.payload["step"]: e.payload["loss"] for e in events if e.payload["loss"] is not None}


def _weights(ctx: Context, job_id: str) -> bytes | None:
    folder = ctx.settings.job_folder(job_id)
    for path in (
        folder / "adapter" / "adapter_model.safetensors",
        folder / "model" / "model.safetensors",
    ):
        if path.is_file():
            return path.read_bytes()
    return None


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _context(folder: Path) -> Context:
    settings = read_settings(
        {"LUTHIER_HOME": str(folder / "home"), "HOME": str(folder), "HF_HUB_OFFLINE": "1",
         "LUTHIER_WORKER_THREADS": "1"}
    )  # fmt: skip
    return Context(settings.model_copy(update={"work_dir": folder}))


def table(rows: list[dict[str, Any]]) -> str:
    """Return the figures and a row for each kill."""
    resumed = [r for r in rows if "end" in r]
    equal = sum(_equal(r) for r in resumed)
    lines = [
        f"{len(rows)} kills (seed {rows[0]['seed']}); of {len(resumed)} the run went on, and "
        f"{equal} ended with losses and weights equal bit for bit to the run that was left alone; "
        f"the other {len(rows) - len(resumed)} came before the first checkpoint. "
        f"{sum(not r['chosen_is_whole'] for r in resumed)} times a checkpoint that is not whole "
        f"was chosen ({sum(bool(r['half_written']) for r in rows)} times one lay there); "
        f"{sum(not r['true_state'] for r in rows)} jobs had a false state; "
        f"{sum(r['orphans'] for r in rows)} processes lived on.",
        "",
        "| run | killed during | after step | not whole | state | went on from | end | equal |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r['setup']} | {r['when']} | {r['step']} | {', '.join(r['half_written']) or '–'} "
            f"| {r['state']} | {r.get('chosen', '–')} | {r.get('end', '–')} "
            f"| {('yes' if _equal(r) else '**no**') if 'end' in r else '–'} |"
        )
    return "\n".join(lines)


def _equal(row: dict[str, Any]) -> bool:
    return bool(row["equal_losses"] and row["equal_weights"])
