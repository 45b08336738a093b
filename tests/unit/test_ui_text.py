"""What the terminal prints, as pure functions."""

from __future__ import annotations

import pytest

from ui.text import (
    format_answers,
    format_bar,
    format_duration,
    format_event,
    format_number,
    format_table,
)


@pytest.mark.parametrize(
    ("done", "total", "expected"),
    [
        (0, 10, "[----]   0 %"),
        (5, 10, "[##--]  50 %"),
        (10, 10, "[####] 100 %"),
        (12, 10, "[####] 100 %"),
        (1, 0, "[----]   0 %"),
    ],
)
def test_a_bar_never_leaves_its_frame(done: int, total: int, expected: str) -> None:
    assert format_bar(done, total, width=4) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3725, "1:02:05")]
)
def test_durations_read_like_a_clock(seconds: float, expected: str) -> None:
    assert format_duration(seconds) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1204, "1,204"), (0.93, "0.93"), (0.0002, "0.0002"), (None, "-"), (True, "yes"), ("x", "x")],
)
def test_numbers_read_like_numbers(value: object, expected: str) -> None:
    assert format_number(value) == expected


def test_a_tables_numbers_stand_to_the_right() -> None:
    table = format_table(["model", "accuracy"], [["base", 0.14], ["tuned", 0.935]])
    assert table.splitlines()[2:] == ["base       0.14", "tuned     0.935"]


def test_only_events_with_something_to_say_are_printed() -> None:
    assert format_event("metrics", {"step": 3, "loss": 1.0, "eval_loss": None}) is None
    shown = format_event("metrics", {"step": 3, "loss": 1.0, "eval_loss": 0.5})
    assert shown == "step 3: validation loss 0.5000"


def test_what_models_answered_is_shown_without_control_characters() -> None:
    answers = [
        {"target": "base", "text": "hm\x1b[31m", "error": None},
        {"target": "tuned", "text": "billing", "error": None},
    ]
    shown = format_answers({"type": "TryReport", "answers": answers})
    assert shown == ["  base   says: hm⁅31m", "  tuned  says: billing"]
    assert format_answers({"type": "JobsReport"}) == format_answers(None) == []
