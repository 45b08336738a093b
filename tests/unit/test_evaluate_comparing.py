"""Runs side by side: one is called better only where the evidence allows it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.jobs_factory import make_spec_alone
from tools.context import Context
from tools.errors import BadInput, NotFound
from tools.evaluate.comparing import compare


def _run(ctx: Context, accuracy: float | None, **values: Any) -> str:
    record = ctx.store.jobs.create(make_spec_alone(**values), name="tickets")
    ctx.store.jobs.set_state(record.id, "running")
    if accuracy is not None:
        figures = {"accuracy": accuracy, "accuracy_low": accuracy - 0.04}
        ctx.store.jobs.record(record.id, metrics={**figures, "accuracy_high": accuracy + 0.04})
    ctx.store.jobs.set_state(record.id, "succeeded")
    return record.id


def test_names_what_differs_and_calls_the_one_with_the_higher_interval_better(
    ctx: Context,
) -> None:
    low, high = _run(ctx, 0.7, rank=8), _run(ctx, 0.9, rank=16)
    report = compare(ctx, [low, high])
    assert report.differences["rank"] == (8, 16)
    assert report.better == high
    assert report.measure == "accuracy"
    assert "rank: 8 / 16" in report.text()


def test_overlapping_intervals_make_none_better(ctx: Context) -> None:
    report = compare(ctx, [_run(ctx, 0.80), _run(ctx, 0.82)])
    assert report.better is None
    assert "cannot be told apart" in report.conclusion


def test_figures_of_different_rows_are_not_laid_against_each_other(ctx: Context) -> None:
    runs = [_run(ctx, 0.5), _run(ctx, 0.9, dataset_fingerprint="other" * 8)]
    report = compare(ctx, runs)
    assert (report.same_rows, report.better) == (False, None)


def test_a_run_without_judgement_is_said(ctx: Context) -> None:
    silent = _run(ctx, None)
    assert silent in compare(ctx, [silent, _run(ctx, 0.9)]).conclusion


def test_one_run_alone_or_an_unknown_one_is_refused(ctx: Context) -> None:
    only = _run(ctx, 0.9)
    with pytest.raises(BadInput):
        compare(ctx, [only, only])
    with pytest.raises(NotFound):
        compare(ctx, [only, "nothing-99"])
