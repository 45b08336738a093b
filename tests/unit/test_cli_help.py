"""Help texts: complete, under headings, and readable in a narrow terminal."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from tools.catalog import load_catalog
from ui.cli import build
from ui.text import format_event

VERBS = [capability.verb for capability in load_catalog().values()]


def _help(*words: str) -> str:
    result = CliRunner().invoke(build(), [*words, "--help"], prog_name="luthier")
    assert result.exit_code == 0, result.output
    return result.output


def test_every_command_is_listed_once_under_a_heading() -> None:
    text = _help()
    listed = re.findall(r"^  ([a-z]+)  +\S", text, re.M)
    for name in build().commands:
        assert listed.count(name) == 1
    assert "Look and plan:" in text


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_every_argument_and_stays_narrow(verb: str) -> None:
    capability = next(c for c in load_catalog().values() if c.verb == verb)
    text = _help(verb)
    for name in capability.arguments.model_fields:
        flag = name.upper() if name in capability.positional else "--" + name.replace("_", "-")
        assert flag in text
    too_wide = [line for line in text.splitlines() if len(line) > 100 and "[" not in line]
    assert too_wide == []


def test_many_options_stand_under_headings() -> None:
    text = _help("train")
    assert text.index("What:") < text.index("Adapter:") < text.index("Budget and search:")


def test_lists_say_that_they_may_be_repeated() -> None:
    flat = " ".join(_help("train").split())
    assert "May be given several times." in flat


def test_following_a_search_tells_its_trials() -> None:
    payload = {"number": 3, "job": "t-9", "state": "finished", "value": 0.412345}
    line = format_event("trial", {**payload, "values": {"learning_rate": 0.00031, "rank": 16}})
    assert line == "trial 3 finished: validation loss 0.4123 (learning_rate 0.00031, rank 16)"
