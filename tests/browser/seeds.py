"""Runs, searches, answers and ledgers written straight into a served home, as workers would."""

from __future__ import annotations

import math
from pathlib import Path

from tests.browser.fakes import METRICS, SPEC
from tools.context import utc_now
from tools.evaluate.figures import Difference, Estimate
from tools.evaluate.judgement import Judgement, RowSample, Samples
from tools.evaluate.pairs import AnswerPair, write_pairs
from tools.history.events import PhaseStarted, StepMetrics, TrialChanged
from tools.history.spec import SearchSpec, TrainingSpec
from tools.history.store import Store

HOSTILE = "<img src=http://evil.example/x.png onerror=alert(1)>"


def store_of(home: Path) -> Store:
    """Open the history of a served home."""
    return Store.open(home / "luthier.db", clock=utc_now)


def ended_run(
    home: Path,
    name: str,
    spec: TrainingSpec = SPEC,
    *,
    accuracy: float = 0.9,
    overfits: bool = False,
    parent: str | None = None,
) -> str:
    """Write a run that ended well, with 60 steps; where it overfits, validation turns upwards."""
    store = store_of(home)
    job = store.jobs.create(spec, name=name, parent=parent)
    store.jobs.set_state(job.id, "running")
    store.jobs.append(job.id, [PhaseStarted(phase="train")])
    for step in range(1, 61):
        held_out = 2.7 * math.exp(-step / 9) + 0.3 + (max(0, step - 20) / 30 if overfits else 0)
        store.jobs.append(
            job.id,
            [
                StepMetrics(
                    step=step, epoch=step / 15, memory_gib=0.8, tokens_per_s=1800.0,
                    loss=2.6 * math.exp(-step / 9) + (0.02 if overfits else 0.25),
                    eval_loss=held_out if step % 5 == 0 else None, learning_rate=0.004,
                    grad_norm=1.0,
                )
            ],
        )  # fmt: skip
    changed = {"accuracy": accuracy, "accuracy_low": accuracy - 0.03, "accuracy_high": 0.99}
    store.jobs.record(
        job.id, metrics=METRICS | changed, measured={"memory_gib": 0.8, "duration_s": 61.0}
    )
    store.jobs.set_state(job.id, "succeeded")
    return job.id


def ended_search(home: Path, losses: list[float]) -> str:
    """Write a search with one trial for each loss; the last one was stopped early."""
    store = store_of(home)
    spec = SearchSpec(base=SPEC, space={"rank": (8, 64)}, trials=len(losses))
    search = store.jobs.create(spec, name="seeded search")
    store.jobs.set_state(search.id, "running")
    for number, loss in enumerate(losses):
        rank = 8 * (number + 1)
        trial = ended_run(
            home, f"seeded trial {number}", SPEC.model_copy(update={"rank": rank}), parent=search.id
        )
        state = "stopped early" if number == len(losses) - 1 else "finished"
        told = TrialChanged(
            number=number, job=trial, state=state, value=loss, values={"rank": rank}
        )
        store.jobs.append(search.id, [told])
        if loss == min(losses):
            store.jobs.record(search.id, metrics={"best_job": trial, "best_value": loss})
    store.jobs.set_state(search.id, "succeeded")
    return search.id


def judged(home: Path, job_id: str) -> None:
    """Add a judgement with three gains and three regressions, one of them hostile."""
    rows = [
        RowSample(
            row=number, prompt=f"{HOSTILE if number == 0 else 'ticket'} {number}",
            expected="billing", base="returns" if number < 3 else "billing",
            tuned="billing" if number < 3 else "delivery", change=1.0 if number < 3 else -1.0,
        )
        for number in range(6)
    ]  # fmt: skip
    judgement = Judgement(
        task="classification", split="validation", path=None, n=180, primary="accuracy",
        metrics={
            "base": {"accuracy": Estimate(value=0.14, low=0.10, high=0.20)},
            "tuned": {"accuracy": Estimate(value=0.93, low=0.90, high=0.95)},
        },
        difference=Difference(metric="accuracy", value=0.79, low=0.72, high=0.85, p=1e-9, n=180),
        samples=Samples(gains=tuple(rows[:3]), regressions=tuple(rows[3:])),
        verdict="ship", verdict_text=METRICS["verdict_text"],
    )  # fmt: skip
    _write(home, job_id, "evaluation", judgement.model_dump_json())


def answered(home: Path, job_id: str, pairs: int) -> None:
    """Add answers of base and tuned model that differ, for people to judge."""
    path = _write(home, job_id, "answers", "")
    write_pairs(
        path,
        [
            AnswerPair(
                row=n, prompt=f"question {n} {HOSTILE}", expected=f"right {n}",
                base=f"apples {n}", tuned=f"pears {n}",
            )
            for n in range(pairs)
        ],
    )  # fmt: skip


def _write(home: Path, job_id: str, artifact: str, text: str) -> Path:
    folder = home / "jobs" / job_id
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{artifact}.json"
    path.write_text(text, encoding="utf-8")
    store_of(home).jobs.record(job_id, artifacts={artifact: f"jobs/{job_id}/{path.name}"})
    return path
