"""Measures of generated answers: structure, patterns, and what people install themselves."""

from __future__ import annotations

import time
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from tools.errors import BadInput
from tools.evaluate.schema import parsed, shared_schema
from tools.work import measures
from tools.work.measures import corpus_score, installed_metric, measures_for, pattern_measure
from tools.work.overlap import Overlap
from tools.work.scorebook import Scorebook

_LEARNT = ['{"name": "a", "count": 1}', '{"name": "b", "count": 2.5, "note": null}']


@pytest.mark.parametrize(
    ("answer", "valid", "fits", "equal"),
    [
        ('{"name": "c", "count": 3}', 1, 1, 0),
        ('```json\n{"count": 1, "name": "a"}\n```', 1, 1, 1),
        ('{"name": "c"}', 1, 0, 0),
        ('{"name": 4, "count": 3}', 1, 0, 0),
        ('{"name": "c", "count": 3, "more": 1}', 1, 0, 0),
        ('{"name": "c", "count": 3', 0, 0, 0),
        ("[" * 100_000, 0, 0, 0),
        ("12", 0, 0, 0),
        ("", 0, 0, 0),
    ],
)
def test_json_is_valid_fits_and_equals(answer: str, valid: int, fits: int, equal: int) -> None:
    rows = measures_for("instruction", [_LEARNT[0]], _LEARNT).rows
    found = [rows[name]([answer], [_LEARNT[0]])[0] for name in ("json_valid", "json_schema",
                                                                "json_equal")]  # fmt: skip
    assert found == [valid, fits, equal]


def test_answers_that_are_not_all_json_have_no_schema() -> None:
    assert shared_schema([*_LEARNT, "words"]) is None
    assert "json_valid" not in measures_for("instruction", ["words"], _LEARNT).rows
    assert parsed("[1, 2]") == [1, 2]


def test_a_pattern_counts_the_answers_that_contain_it() -> None:
    rate = pattern_measure(r"^\d+ EUR$")
    assert rate(["12 EUR", "EUR", "12 EUR.", ""], [""] * 4).tolist() == [1, 0, 0, 0]


def test_a_pattern_that_never_ends_is_stopped() -> None:
    rate = pattern_measure(r"^(a|aa|aaa|(b|a))+$")
    began = time.process_time()
    with pytest.raises(BadInput, match="too long"):
        rate([("a" * 300 + "!") * 50], [""])
    assert time.process_time() - began < 10


def test_a_broken_pattern_is_refused() -> None:
    with pytest.raises(BadInput, match="no regular expression"):
        pattern_measure("(")


def _shout(answer: str, expected: str) -> float:
    return float(answer == expected.upper())


def _fails(answer: str, expected: str) -> float:
    raise RuntimeError("no")


def _endless(answer: str, expected: str) -> float:
    return float("inf")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint(name, f"{__name__}:{function}", "luthier.metrics")
        for name, function in (("shout", "_shout"), ("fails", "_fails"), ("endless", "_endless"))
    ]
    monkeypatch.setattr(measures, "entry_points", lambda group: EntryPoints(points))


@pytest.mark.usefixtures("installed")
def test_an_installed_metric_is_asked_of_every_answer() -> None:
    assert installed_metric("shout")(["A", "b"], ["a", "b"]).tolist() == [1.0, 0.0]
    found = measures_for("qa", ["a"], ["a"], metric="shout")
    assert "metric:shout" in found.rows
    assert found.primary == "token_f1"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "words"),
    [("none", "there is: endless, fails, shout"), ("fails", "RuntimeError"), ("endless", "inf")],
)
def test_a_metric_that_is_missing_or_broken_is_named(name: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        installed_metric(name)(["a"], ["b"])


def test_summaries_in_other_scripts_are_compared_too() -> None:
    rate = measures_for("summarization", ["дом стоит у реки"], []).rows["rouge1"]
    assert rate(["дом у реки"], ["дом стоит у реки"])[0] == pytest.approx(6 / 7)


def test_a_corpus_score_of_one_row_claims_no_interval() -> None:
    assert corpus_score("chrf", ["a b"], ["a b"]).low is None


def test_near_repeats_of_training_rows_are_found_and_other_numbers_are_other_questions() -> None:
    found = Overlap(["Where is my parcel? I ordered it last week.", "How much is 12 plus 5 today?"])
    assert found.resembles("where is my parcel?  i ordered it last week!")
    assert not found.resembles("How much is 348 plus 977 tomorrow?")
    assert not found.resembles("Please cancel the subscription that I have with you.")
    assert not found.resembles("hi")


def test_a_book_keeps_what_was_scored_and_forgets_a_line_that_was_cut(tmp_path: Any) -> None:
    path = tmp_path / "scores.jsonl"
    book = Scorebook(path, "k")
    book.add("rows 0", {"sums": [0.1]})
    with path.open("a") as file:
        file.write('{"name": "rows 1", "su')
    again = Scorebook(path, "k")
    assert again.get("rows 0") == {"sums": [0.1]}
    assert again.get("rows 1") is None
    again.add("rows 1", {"sums": [0.2]})
    assert Scorebook(path, "k").get("rows 1") == {"sums": [0.2]}


def test_a_book_of_another_model_is_started_over(tmp_path: Any) -> None:
    Scorebook(tmp_path / "s", "one").add("rows 0", {"sums": [1]})
    other = Scorebook(tmp_path / "s", "two")
    assert other.get("rows 0") is None
    assert Scorebook(tmp_path / "s", "one").get("rows 0") is None


def test_a_shared_book_is_begun_from_what_others_scored(tmp_path: Any) -> None:
    first = Scorebook(tmp_path / "a" / "s", "k")
    first.add("rows 0", {"sums": [1]})
    first.keep(tmp_path / "shared")
    second = Scorebook.opened(tmp_path / "b" / "s", "k", tmp_path / "shared")
    assert second.reused
    assert second.get("rows 0") == {"sums": [1]}
    assert not Scorebook.opened(tmp_path / "c" / "s", "other", tmp_path / "shared").found
