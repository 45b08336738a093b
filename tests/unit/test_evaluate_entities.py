"""Entities are exact spans, and their F1 comes with an interval and a test that mean something."""

from __future__ import annotations

import numpy as np
import pytest

from tools.evaluate.entities import (
    compare_f1,
    entity_counts,
    f1_estimate,
    f1_of,
    has_entities,
    spans_of,
)


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O O O", set()),
        ("B-PER I-PER O B-LOC", {("PER", 0, 1), ("LOC", 3, 3)}),
        ("B-PER B-PER", {("PER", 0, 0), ("PER", 1, 1)}),
        ("I-PER I-LOC O", {("PER", 0, 0), ("LOC", 1, 1)}),
        ("S-PER B-LOC M-LOC E-LOC", {("PER", 0, 0), ("LOC", 1, 3)}),
        ("U-PER L-LOC", {("PER", 0, 0), ("LOC", 1, 1)}),
        ("PER PER O LOC", {("PER", 0, 1), ("LOC", 3, 3)}),
        ("B-PER O I-PER", {("PER", 0, 0), ("PER", 2, 2)}),
    ],
)
def test_spans_are_read_as_the_conll_script_reads_them(
    tags: str, spans: set[tuple[str, int, int]]
) -> None:
    assert spans_of(tags.split()) == spans


def test_half_an_entity_is_no_entity() -> None:
    counts = entity_counts([["B-PER", "O"], ["B-LOC"]], [["B-PER", "I-PER"], ["B-LOC"]])
    assert counts.tolist() == [[0, 1, 1], [1, 1, 1]]
    assert f1_of(counts) == 0.5
    assert f1_of(entity_counts([["O"]], [["O"]])) == 1.0


def test_word_classes_are_not_entities() -> None:
    assert has_entities(["O", "PER"])
    assert has_entities(["B-PER", "I-PER"])
    assert not has_entities(["NOUN", "VERB"])


def _rows(rng: np.random.Generator, n: int, skill: float) -> np.ndarray:
    real = rng.integers(0, 4, n).astype(float)
    right = rng.binomial(real.astype(int), skill).astype(float)
    return np.stack([right, right + rng.binomial(2, 1 - skill, n), real], axis=1)


def test_intervals_of_an_f1_cover_at_their_rate() -> None:
    truth = f1_of(_rows(np.random.default_rng(0), 400_000, 0.6))
    covered = 0
    for seed in range(300):
        found = f1_estimate(_rows(np.random.default_rng(seed + 1), 120, 0.6), seed=seed)
        covered += (found.low or 0) <= truth <= (found.high or 0)
    assert 0.92 <= covered / 300 <= 0.975


def test_two_models_alike_differ_surely_in_one_of_twenty() -> None:
    sure = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = compare_f1(_rows(rng, 80, 0.6), _rows(rng, 80, 0.6), seed=seed)
        sure += found.p <= 0.05
    assert sure <= 20


def test_a_better_tagger_is_surely_better() -> None:
    rng = np.random.default_rng(3)
    found = compare_f1(_rows(rng, 150, 0.5), _rows(rng, 150, 0.9), seed=1)
    assert found.low > 0
    assert found.p < 0.01
