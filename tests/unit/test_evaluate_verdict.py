"""A verdict is one word with a reason, and it is wrong no more often than it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tools.evaluate.compare import (
    Scores,
    compare_rows,
    mcnemar_p,
    mean_estimate,
    rows_needed,
)
from tools.evaluate.figures import Difference, Estimate
from tools.evaluate.metrics import wilson
from tools.evaluate.verdict import Evidence, contaminated, judge_evidence


def _rights(share: float, n: int, seed: int) -> Scores:
    return (np.random.default_rng(seed).random(n) < share).astype(float)


def _evidence(base: Scores, tuned: Scores, **more: object) -> Evidence:
    return Evidence(
        difference=compare_rows("accuracy", base, tuned, seed=1),
        base=wilson(int(base.sum()), base.size),
        tuned=wilson(int(tuned.sum()), tuned.size),
        **more,  # type: ignore[arg-type]
    )


def test_a_clear_gain_ships() -> None:
    verdict = judge_evidence(_evidence(_rights(0.2, 200, 1), _rights(0.9, 200, 2)))
    assert verdict.word == "ship"
    assert "200 held-out rows" in verdict.text


def test_the_same_model_twice_is_no_gain() -> None:
    same = _rights(0.6, 200, 1)
    assert judge_evidence(_evidence(same, same)).word == "no gain"


def test_a_worse_model_has_regressed() -> None:
    verdict = judge_evidence(_evidence(_rights(0.9, 200, 1), _rights(0.5, 200, 2)))
    assert verdict.word == "regressed"


def test_few_rows_cannot_tell_and_say_how_many_more() -> None:
    verdict = judge_evidence(_evidence(_rights(0.2, 8, 1), _rights(0.9, 8, 2)))
    assert verdict.word == "cannot tell"
    assert "more held-out rows" in verdict.text


@pytest.mark.parametrize("n", [1, 3])
def test_as_many_more_rows_are_asked_for_as_it_takes_to_say_anything(n: int) -> None:
    same = _rights(0.5, n, 1)
    text = judge_evidence(_evidence(same, same)).text
    assert f"About {20 - n} more held-out rows" in text
    assert ("1 row is too few" in text) == (n == 1)


def test_rows_that_repeat_each_other_count_once() -> None:
    sure, unsure = _rights(0.9, 60, 3), _rights(0.45, 60, 4)
    base = _rights(0.4, 60, 5)
    once = compare_rows("accuracy", base, sure, seed=1)
    assert judge_evidence(_better(repeats=140, once=once)).word == "ship"
    once = compare_rows("accuracy", base, unsure, seed=1)
    verdict = judge_evidence(_better(repeats=140, once=once))
    assert verdict.word == "promising"
    assert "140 of the rows repeat others" in verdict.text
    assert judge_evidence(_better(repeats=199)).word == "cannot tell"


def test_models_alike_on_few_rows_may_still_differ_on_others() -> None:
    same = _rights(0.5, 40, 1)
    found = compare_rows("accuracy", same, same, seed=1)
    assert found.low < 0 < found.high < 0.1
    many = _rights(0.5, 4000, 1)
    assert compare_rows("accuracy", many, many, seed=1).high < 0.001


def test_a_mean_lies_within_what_it_is_the_mean_of() -> None:
    scores = np.array([0.0] * 18 + [0.2, 0.3])
    found = mean_estimate(scores, seed=1)
    assert found.low is not None
    assert found.low >= 0


def test_a_small_unsure_gain_is_promising() -> None:
    base = np.array([1.0] * 100 + [0.0] * 100)
    tuned = np.array([1.0] * 92 + [0.0] * 8 + [1.0] * 17 + [0.0] * 83)
    verdict = judge_evidence(_evidence(base, tuned))
    assert verdict.word == "promising"
    assert "touches zero" in verdict.text


def test_something_that_got_worse_holds_back_ship() -> None:
    base, tuned = _rights(0.2, 200, 1), _rights(0.9, 200, 2)
    verdict = judge_evidence(_evidence(base, tuned, regressions=["loss got worse by 0.40"]))
    assert verdict.word == "promising"
    assert "loss got worse" in verdict.text


def test_no_better_than_always_the_same_answer_does_not_ship() -> None:
    base, tuned = _rights(0.2, 200, 1), _rights(0.55, 200, 2)
    assert judge_evidence(_evidence(base, tuned, majority=0.6)).word == "promising"


def test_a_gain_too_small_to_matter_does_not_ship() -> None:
    base = np.zeros(4000)
    tuned = np.zeros(4000)
    tuned[:40] = 1.0
    assert judge_evidence(_evidence(base, tuned)).word == "no gain"


def test_the_verdict_says_when_the_same_rows_chose_the_checkpoint() -> None:
    base, tuned = _rights(0.2, 200, 1), _rights(0.9, 200, 2)
    assert (
        "chose the checkpoint" in judge_evidence(_evidence(base, tuned, chose_checkpoint=True)).text
    )


@pytest.mark.parametrize(
    ("excluded", "clean", "spoiled"),
    [(0, 5, False), (10, 100, False), (90, 60, True), (5, 3, True)],
)
def test_rows_that_were_trained_on_cannot_tell(excluded: int, clean: int, spoiled: bool) -> None:
    verdict = contaminated(excluded, clean)
    assert (verdict is not None) == spoiled
    if verdict:
        assert verdict.word == "cannot tell"
        assert str(excluded) in verdict.text


def test_ship_is_said_of_nothing_in_at_most_one_of_forty_null_experiments() -> None:
    rng = np.random.default_rng(5)
    shipped = 0
    for _ in range(1000):
        n, share = int(rng.integers(30, 200)), float(rng.uniform(0.1, 0.9))
        base = (rng.random(n) < share).astype(float)
        tuned = (rng.random(n) < share).astype(float)
        shipped += judge_evidence(_evidence(base, tuned)).word == "ship"
    assert shipped <= 25


@pytest.mark.parametrize("n", [40, 150])
def test_intervals_of_the_difference_cover_at_their_rate(n: int) -> None:
    rng = np.random.default_rng(n)
    covered = trials = 0
    for seed in range(1000):
        base, tuned = (rng.random(n) < 0.45).astype(float), (rng.random(n) < 0.6).astype(float)
        found = compare_rows("accuracy", base, tuned, seed=seed)
        covered += found.low <= 0.15 <= found.high
        trials += 1
    assert 0.93 <= covered / trials <= 0.97


def test_intervals_of_a_loss_cover_at_their_rate() -> None:
    rng = np.random.default_rng(9)
    covered = 0
    for seed in range(500):
        tokens = rng.integers(2, 20, 60).astype(float)
        base = -rng.gamma(2, 1, 60) * tokens
        gain = rng.normal(0.1, 0.5, 60) * tokens
        found = compare_rows("loss", base, base + gain, seed=seed, weights=tokens)
        covered += found.low <= 0.1 <= found.high
    assert 0.92 <= covered / 500 <= 0.975


def test_mcnemar_equals_a_fair_coin() -> None:
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(1, 5) == pytest.approx(2 * 7 / 64)
    assert mcnemar_p(3, 3) == 1.0
    assert mcnemar_p(0, 400) < 1e-100


def test_a_weighted_mean_counts_units_not_rows() -> None:
    values, tokens = np.array([10.0, 1.0]), np.array([10.0, 1.0])
    assert mean_estimate(values, seed=1, weights=tokens).value == 1.0


def test_more_rows_are_asked_for_where_the_interval_is_wide() -> None:
    wide = compare_rows("accuracy", _rights(0.5, 30, 1), _rights(0.6, 30, 4), seed=1)
    narrow = compare_rows("accuracy", _rights(0.5, 600, 1), _rights(0.6, 600, 4), seed=1)
    assert rows_needed(wide, 0.03) > rows_needed(narrow, 0.03) >= 10


def test_models_must_be_compared_on_the_same_rows() -> None:
    with pytest.raises(ValueError, match="same rows"):
        compare_rows("accuracy", np.zeros(3), np.zeros(4), seed=1)


def test_one_row_gives_an_interval_that_says_nothing_and_can_be_stored() -> None:
    for weights in (None, np.array([3.0])):
        found = compare_rows("loss", np.array([-4.0]), np.array([-1.0]), seed=1, weights=weights)
        assert found.low < 0 < found.high
        assert type(found).model_validate_json(found.model_dump_json()) == found
    assert mean_estimate(np.array([1.0]), seed=1).low is None


def _loss(value: float, half: float, p: float = 0.001) -> Difference:
    return Difference(
        metric="general_loss", value=value, low=value - half, high=value + half, p=p, n=48
    )


def _better(**more: object) -> Evidence:
    return _evidence(_rights(0.2, 200, 1), _rights(0.9, 200, 2), rows=200, **more)


def test_rows_of_one_label_tell_nothing() -> None:
    verdict = judge_evidence(_better(one_label=True))
    assert verdict.word == "cannot tell"
    assert "one label" in verdict.text


def test_rows_with_labels_that_training_never_had_tell_nothing() -> None:
    assert judge_evidence(_better(unseen=150)).word == "cannot tell"
    assert judge_evidence(_better(unseen=20)).word == "ship"


def test_rows_that_nearly_repeat_training_rows_hold_back_ship() -> None:
    unsure = compare_rows("accuracy", _rights(0.5, 60, 3), _rights(0.5, 60, 4), seed=1)
    sure = compare_rows("accuracy", _rights(0.1, 60, 3), _rights(0.9, 60, 4), seed=1)
    assert judge_evidence(_better(near=140, clear=unsure)).word == "promising"
    verdict = judge_evidence(_better(near=140, clear=sure))
    assert verdict.word == "ship"
    assert "140 of these rows nearly repeat" in verdict.text
    assert judge_evidence(_better(near=190, clear=sure)).word == "cannot tell"


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (_loss(-0.7, 0.1), "forgot some general language: perplexity there is 2.0 times"),
        (_loss(-10.0, 0.1), "forgot most of its general language: perplexity there is 22,026.5"),
        (_loss(0.01, 0.1), "forgot no general language"),
        (_loss(-0.01, 0.005), "forgot no general language"),
    ],
)
def test_the_verdict_says_what_was_forgotten(lost: Difference, words: str) -> None:
    assert words in judge_evidence(_better(forgetting=lost)).text


def test_likelier_answers_that_are_not_yet_better_are_promising() -> None:
    rng = np.random.default_rng(1)
    base = rng.random(60) * 0.2
    evidence = Evidence(
        difference=compare_rows("token_f1", base, base, seed=1),
        base=mean_estimate(base, seed=1),
        tuned=mean_estimate(base, seed=1),
        likelier=True,
    )
    assert judge_evidence(evidence).word == "promising"
    assert judge_evidence(replace(evidence, likelier=False)).word == "no gain"


def test_another_run_is_named_in_the_verdict() -> None:
    text = judge_evidence(_better(rival="tickets-3")).text
    assert "(tickets-3)" in text


@pytest.mark.parametrize("metric", ["token_f1", "loss"])
def test_ship_is_said_of_nothing_for_measures_that_are_no_shares_either(metric: str) -> None:
    rng = np.random.default_rng(11)
    shipped = 0
    for seed in range(1000):
        n = int(rng.integers(30, 120))
        base, tuned = rng.beta(0.5, 0.8, n), rng.beta(0.5, 0.8, n)
        tokens = rng.integers(2, 20, n).astype(float) if metric == "loss" else None
        if tokens is not None:
            base, tuned = -3 * base * tokens, -3 * tuned * tokens
        evidence = Evidence(
            difference=compare_rows(metric, base, tuned, seed=seed, weights=tokens),
            base=Estimate(value=0.4),
            tuned=Estimate(value=0.4),
        )
        shipped += judge_evidence(evidence).word == "ship"
    assert shipped <= 25
