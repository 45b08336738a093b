"""The rules by which answers are asked for hold for the exam and for the estimate of its time."""

from __future__ import annotations

import ast
from pathlib import Path

from tools.answering import ANSWERED_TASKS, rows_to_answer, tokens_to_answer

_MEASURES = Path(__file__).parents[2] / "tools" / "work" / "measures.py"


def test_tasks_judged_by_answers_are_those_with_a_measure_of_their_own() -> None:
    assigned = next(
        node.value
        for node in ast.parse(_MEASURES.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "PRIMARY"
    )
    assert set(ast.literal_eval(assigned)) == ANSWERED_TASKS


def test_short_answers_and_those_a_verdict_rests_on_are_asked_of_more_rows() -> None:
    long = rows_to_answer("chat", labelled=False, longest=200)
    assert rows_to_answer("translation", labelled=False, longest=200) > long
    assert rows_to_answer("chat", labelled=False, longest=8) > long


def test_an_answer_fits_in_half_of_the_room_and_none_takes_none() -> None:
    assert tokens_to_answer(100, 64) == 32
    assert 10 < tokens_to_answer(10, 512) < 20
    assert tokens_to_answer(0, 512) == 0
