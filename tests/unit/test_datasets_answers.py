"""Which rows say what would be right."""

from __future__ import annotations

from typing import Any

import pytest

from tools.datasets.answers import answerable


def _said(text: str | None) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text}]


_ASKED = [{"role": "user", "content": "What?"}]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": _ASKED, "completion": _said("That.")},
        {"messages": [*_ASKED, *_said("That."), *_ASKED]},
        {"text": "Words."},
        {"prompt": _ASKED, "chosen": _said("That."), "rejected": _said("This.")},
        {"tokens": ["Tom"], "tags": ["O"]},
    ],
)
def test_rows_with_an_answer_can_be_judged_on(row: dict[str, Any]) -> None:
    assert answerable(row)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": _ASKED, "completion": _said(" \n")},
        {"prompt": _ASKED, "completion": _said(None)},
        {"prompt": _ASKED, "completion": None},
        {"prompt": _ASKED},
        {"messages": _ASKED},
        {"messages": [*_ASKED, *_said("")]},
        {"text": "  "},
        {"text": None},
        {"prompt": _ASKED, "chosen": _said("That."), "rejected": []},
        {"prompt": _ASKED, "chosen": _said("That."), "rejected": _said("That. ")},
        {"tokens": [], "tags": []},
    ],
)
def test_blanks_and_equal_pairs_are_no_answers(row: dict[str, Any]) -> None:
    assert not answerable(row)
