"""Measures agree with the libraries people know, and intervals mean what they say."""

from __future__ import annotations

import random

import pytest

from tools.evaluate.metrics import (
    confusion,
    exact_match,
    label_report,
    macro_f1,
    majority_share,
    perplexity,
    token_f1,
    wilson,
)


def _answers(seed: int, n: int = 200) -> tuple[list[str], list[str]]:
    chooser = random.Random(seed)
    labels = ["a", "b", "c", "rare"]
    expected = chooser.choices(labels, weights=[5, 3, 2, 0.2], k=n)
    predicted = [
        e if chooser.random() < 0.6 else chooser.choice([*labels, "odd"]) for e in expected
    ]
    return predicted, expected


@pytest.mark.parametrize("seed", range(5))
def test_label_scores_equal_scikit_learn(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    predicted, expected = _answers(seed)
    theirs = sklearn.classification_report(expected, predicted, output_dict=True, zero_division=0)
    for ours in label_report(predicted, expected):
        assert ours.n == theirs[ours.label]["support"]
        for name in ("precision", "recall"):
            assert getattr(ours, name) == pytest.approx(theirs[ours.label][name])
        assert ours.f1 == pytest.approx(theirs[ours.label]["f1-score"])
    value = macro_f1(predicted, expected).value
    assert value == pytest.approx(
        sklearn.f1_score(expected, predicted, average="macro", zero_division=0)
    )
    names = sorted(set(expected) | set(predicted))
    assert confusion(predicted, expected, names) == (
        sklearn.confusion_matrix(expected, predicted, labels=names).tolist()
    )


def test_macro_f1_lies_in_its_interval_and_is_the_same_each_time() -> None:
    predicted, expected = _answers(3)
    first, second = macro_f1(predicted, expected), macro_f1(predicted, expected)
    assert first == second
    assert first.low is not None
    assert first.high is not None
    assert first.low < first.value < first.high


def test_wilson_equals_the_published_example_and_stays_inside_zero_and_one() -> None:
    # Newcombe (1998), Statistics in Medicine 17: 81 of 263, method 3.
    found = wilson(81, 263)
    assert (found.low, found.high) == (
        pytest.approx(0.2553, abs=1e-4),
        pytest.approx(0.3662, abs=1e-4),
    )
    assert wilson(0, 10).low == 0.0
    assert wilson(10, 10).high == 1.0
    with pytest.raises(ValueError, match="at least one row"):
        wilson(0, 0)


def test_the_majority_share_is_what_one_constant_answer_scores() -> None:
    assert majority_share(["a", "b", "a", "c"]) == 0.5


def test_perplexity_of_an_absurd_loss_does_not_overflow() -> None:
    assert perplexity(0.0) == 1.0
    assert perplexity(1e9) < float("inf")


@pytest.mark.parametrize(
    ("answer", "expected", "exact", "f1"),
    [
        ("The Eiffel Tower.", "eiffel tower", 1.0, 1.0),
        ("a tower in Paris", "the Eiffel tower", 0.0, 0.4),
        ("", "", 1.0, 1.0),
        ("", "something", 0.0, 0.0),
        ("cat cat cat", "cat", 0.0, 0.5),
    ],
)
def test_answers_are_compared_as_squad_does(
    answer: str, expected: str, exact: float, f1: float
) -> None:
    assert exact_match(answer, expected) == exact
    assert token_f1(answer, expected) == pytest.approx(f1)


@pytest.mark.parametrize("n", [60, 200])
def test_intervals_of_a_macro_f1_cover_at_their_rate(n: int) -> None:
    def drawn(seed: int, rows: int) -> tuple[list[str], list[str]]:
        chooser = random.Random(seed)
        expected = chooser.choices("abcd", weights=[4, 3, 2, 1], k=rows)
        said = [e if chooser.random() < 0.7 else chooser.choice("abcd") for e in expected]
        return said, expected

    truth = macro_f1(*drawn(0, 200_000), resamples=2).value
    covered = 0
    for seed in range(400):
        found = macro_f1(*drawn(seed + 1, n), seed=seed)
        covered += (found.low or 0) <= truth <= (found.high or 0)
    assert 0.92 <= covered / 400 <= 0.975
