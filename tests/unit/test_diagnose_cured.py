"""A cured run is judged by what its cure was meant to change, and cures fit what was measured."""

from __future__ import annotations

from typing import Any

import pytest

from tests.jobs_factory import make_spec_alone
from tools.context import Context
from tools.diagnose.compare import with_sick
from tools.diagnose.cures import cure_of
from tools.diagnose.evidence import Run
from tools.diagnose.report import Comparison
from tools.history.events import DataSeen, Event, Judged, StepMetrics


def _ended(ctx: Context, events: list[Event], metrics: dict[str, Any], **changes: Any) -> str:
    jobs = ctx.store.jobs
    record = jobs.create(make_spec_alone(**changes), name="made")
    jobs.set_state(record.id, "running")
    jobs.append(record.id, events)
    jobs.record(record.id, metrics=metrics)
    jobs.set_state(record.id, "succeeded")
    return record.id


def _told(ctx: Context, job: str) -> Comparison:
    found = with_sick(ctx.store, ctx.store.jobs.get(job))
    assert found is not None
    return found


def _steps(**values: float) -> list[Event]:
    return [StepMetrics(step=step, epoch=0, **values) for step in (1, 2)]


CURED = [
    (
        "share of rows cut", {"max_length": 24}, {"max_length": 128},
        [DataSeen(truncated_share=0.9)], [DataSeen(truncated_share=0.0)],
    ),
    (
        "share of padding", {"batching": "padded"}, {"batching": "grouped"},
        _steps(padding_share=0.7), _steps(padding_share=0.1),
    ),
    (
        "seconds of evaluation a step", {"eval_steps": 1}, {"eval_steps": 8},
        _steps(eval_loss=1.0, eval_s=2.0), _steps(eval_loss=1.0, eval_s=0.2),
    ),
    (
        "macro F1", {"loss": "cross_entropy"}, {"loss": "focal"},
        [Judged(macro_f1=0.2)], [Judged(macro_f1=0.7)],
    ),
    (
        "loss on general text above the base's", {"method": "full"}, {"method": "lora"},
        [Judged(general_loss=4.0, base_general_loss=2.5)],
        [Judged(general_loss=2.6, base_general_loss=2.5)],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("measure", "sick", "cure", "before", "after"), CURED)
def test_a_cure_is_judged_by_what_it_was_meant_to_change(
    ctx: Context,
    measure: str,
    sick: dict[str, Any],
    cure: dict[str, Any],
    before: list[Event],
    after: list[Event],
) -> None:
    # The accuracy falls a little: that is told, but it is not what was to be cured.
    ill = _ended(ctx, before, {"accuracy": 0.81}, **sick)
    told = _told(ctx, _ended(ctx, after, {"accuracy": 0.8}, **sick | cure, cures=ill))
    assert (told.worked, told.measure) == (True, measure)
    assert "accuracy 0.81 → 0.8" in told.text
    same = _told(ctx, _ended(ctx, before, {"accuracy": 0.9}, **sick | cure, cures=ill))
    assert same.worked is False


def test_a_setting_that_was_no_trouble_does_not_decide(ctx: Context) -> None:
    ill = _ended(ctx, [DataSeen(truncated_share=0.0)], {"eval_loss": 2.0}, max_length=64)
    told = _told(
        ctx,
        _ended(ctx, [DataSeen(truncated_share=0.0)], {"eval_loss": 1.0}, max_length=128, cures=ill),
    )
    assert (told.worked, told.measure) == (True, "validation loss")


def test_overfitting_is_judged_by_how_the_loss_ends_and_its_best_is_told(ctx: Context) -> None:
    def losses(*values: float) -> list[Event]:
        steps: list[Event] = [
            StepMetrics(step=i, epoch=0, eval_loss=v) for i, v in enumerate(values)
        ]
        # What is judged is the best checkpoint: it must not hide how the run ended.
        return [*steps, Judged(eval_loss=min(values), n=7)]

    # One of seven rows more or less decides nothing.
    ill = _ended(ctx, losses(2.0, 0.4, 0.9), {"accuracy": 0.71, "n": 7})
    events, metrics = losses(2.0, 0.8, 0.7), {"accuracy": 0.57, "n": 7}
    told = _told(ctx, _ended(ctx, events, metrics, early_stopping_patience=3, cures=ill))
    assert (told.worked, told.before, told.after) == (True, 0.9, 0.7)
    assert "at its best" in told.text
    assert "0.4, now 0.7" in told.text
    better = losses(2.0, 0.35, 0.4)
    told = _told(ctx, _ended(ctx, better, metrics, early_stopping_patience=3, cures=ill))
    assert told.worked is True
    assert "at its best" not in told.text


def test_the_rarest_label_is_seen_often_enough() -> None:
    spec = {"labels": ["a", "b"], "max_steps": 30, "batch_size": 8, "loss": "cross_entropy"}
    run = Run(spec=spec, data={"rows": 120, "label_counts": {"a": 110, "b": 10}})
    assert cure_of(run, "class_collapse").changes["max_steps"] == (30, 150)
    run.data["label_counts"] = {"a": 60, "b": 60}
    assert cure_of(run, "class_collapse").changes["max_steps"] == (30, 60)


def test_runs_without_a_figure_in_common_are_not_judged(ctx: Context) -> None:
    ill = _ended(ctx, [], {"accuracy": 0.5})
    assert _told(ctx, _ended(ctx, [], {"train_loss": 1.0}, cures=ill)).worked is None


def test_cut_rows_get_the_length_that_the_longest_of_them_has() -> None:
    run = Run(spec={"max_length": 24, "batch_size": 8})
    text = "64 rows were longer than the limit and lost their start; the longest has 121 tokens."
    run.warnings.append(("rows_cut", text))
    assert cure_of(run, "truncation").changes["max_length"] == (24, 128)
    measured = Run(spec={"max_length": 32}, data={"tokens_longest": 200, "tokens_p95": 32})
    assert cure_of(measured, "truncation").changes["max_length"] == (32, 224)
