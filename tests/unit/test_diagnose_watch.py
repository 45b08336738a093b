"""Alarms while a run goes on: each rule raises once, and quiet runs raise none."""

from __future__ import annotations

import random

from tests.jobs_factory import make_spec_alone
from tools.context import Context
from tools.diagnose.compare import with_sick
from tools.diagnose.watch import Alarm, Watch
from tools.history.events import StepMetrics


def _fed(watch: Watch, **series: list[float]) -> list[Alarm]:
    found: list[Alarm] = []
    for step in range(max(map(len, series.values()))):
        values = {name: rows[step] for name, rows in series.items() if step < len(rows)}
        found += watch.see(StepMetrics(step=step, epoch=0.0, **values))  # type: ignore[arg-type]
    return found


def _watch() -> Watch:
    return Watch(make_spec_alone(), limit_gib=10.0)


def test_a_rising_validation_loss_is_told_once() -> None:
    found = _fed(_watch(), eval_loss=[2.0, 1.5, 1.4, 1.5, 1.6, 1.7, 1.9, 2.4])
    assert [a.name for a in found] == ["rising_eval_loss"]
    assert "1.4 at step 2" in found[0].message


def test_a_loss_that_is_no_number_is_told_at_once() -> None:
    found = _watch().see(StepMetrics(step=7, epoch=0.1, not_finite=("loss",)))
    assert [a.name for a in found] == ["nan"]
    assert found[0].code == "nan_loss"


def test_a_plateau_memory_and_lost_speed_are_told() -> None:
    assert [a.name for a in _fed(_watch(), eval_loss=[2.0] + [1.5] * 6)] == ["plateau"]
    assert [a.name for a in _fed(_watch(), memory_gib=[5.0, 9.0, 9.6, 9.9])] == ["memory"]
    speeds = [1000.0] * 40 + [100.0] * 14
    assert [a.name for a in _fed(_watch(), tokens_per_s=speeds)] == ["slow"]


def test_lost_speed_is_told_late_in_a_long_run_too() -> None:
    speeds = [1000.0] * 3000 + [100.0] * 14
    assert [a.name for a in _fed(_watch(), tokens_per_s=speeds)] == ["slow"]


def test_a_growing_training_loss_is_told() -> None:
    found = _fed(_watch(), loss=[2.0 - 0.02 * i for i in range(10)] + [5.0] * 6)
    assert [a.name for a in found] == ["rising_loss"]


def test_noisy_but_healthy_runs_raise_nothing() -> None:
    for seed in range(30):
        chooser = random.Random(seed)
        losses = [2.0 * 0.99**i * (1 + chooser.gauss(0, 0.2)) for i in range(150)]
        held = [1.8 * 0.93**i * (1 + chooser.gauss(0, 0.005)) for i in range(12)]
        speeds = [1000 * (1 + chooser.gauss(0, 0.2)) for _ in range(150)]
        memory = [5 + chooser.gauss(0, 0.1) for _ in range(150)]
        found = _fed(_watch(), loss=losses, eval_loss=held, tokens_per_s=speeds, memory_gib=memory)
        assert found == []


def test_a_cured_run_is_held_against_its_sick_one(ctx: Context) -> None:
    def ran(name: str, losses: list[float], cures: str | None = None) -> str:
        jobs = ctx.store.jobs
        record = jobs.create(make_spec_alone(cures=cures), name=name)
        jobs.set_state(record.id, "running")
        events = [StepMetrics(step=i, epoch=0, eval_loss=v) for i, v in enumerate(losses)]
        jobs.append(record.id, events)
        jobs.record(record.id, metrics={"eval_loss": min(losses)})
        jobs.set_state(record.id, "succeeded")
        return record.id

    sick = ran("sick", [2.0, 1.5, 2.6])
    better, worse = ran("better", [2.0, 1.5, 1.4], sick), ran("worse", [2.0, 2.7, 2.9], sick)
    told = with_sick(ctx.store, ctx.store.jobs.get(better))
    assert told is not None
    assert told.worked is True
    assert (told.before, told.after) == (2.6, 1.4)
    assert sick in told.text
    other = with_sick(ctx.store, ctx.store.jobs.get(worse))
    assert other is not None
    assert other.worked is False
    assert with_sick(ctx.store, ctx.store.jobs.get(sick)) is None
