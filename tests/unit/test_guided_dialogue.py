"""How the guided brain goes on in a conversation, and what it says."""

from __future__ import annotations

import pytest

from assistant.brains.guided.replies import markdown
from tests.unit.guided_situations import stage


@pytest.mark.parametrize(
    ("before", "said", "tool", "wanted"),
    [
        (
            "inspect reviews.csv",
            "same for tickets.jsonl please",
            "inspect_dataset",
            "tickets.jsonl",
        ),
        ("show tickets-lora-7", "and the other one?", "show_job", "tickets-dora-6"),
        ("export tickets-lora-7 to onnx", "what about int4?", "export_model", "int4"),
        ("what is lora?", "and dora?", "explain", "What is dora?"),
    ],
)
def test_a_short_message_goes_on_from_the_one_before(
    before: str, said: str, tool: str, wanted: str
) -> None:
    played = stage("runs")
    played.say(before)
    calls = played.say(said)
    assert [name for name, _ in calls] == [tool]
    assert wanted in calls[0][1].values()


def test_a_correction_says_what_is_different() -> None:
    played = stage("planned")
    played.say("rank 8 and 2 epochs")
    assert "Changed: rank 8 instead of 16; epochs 2 instead of 4." in played.reply


def test_a_first_plan_claims_no_change() -> None:
    assert "Changed:" not in stage("planned").reply


def test_an_option_that_was_not_advised_is_not_invented() -> None:
    played = stage("advised")
    assert played.say("take the third option") == []
    assert "2 options" in played.reply


def test_a_line_that_is_an_item_already_gets_no_second_dash() -> None:
    text = markdown("1. lora\n   - rank 8: a usual start\n   would change with more rows")
    assert "- - " not in text
    assert "- rank 8: a usual start" in text
