"""What the guided brain makes of natural wording: the tables in `wordings/`.

A line is `situation | utterance | what is called | arguments`. Instead of a tool stands `words`
(nothing is called, something is said), `no act` (nothing that acts) or `no start` (nothing that
starts, stops or deletes); `a/b` leaves two tools open, ` >> ` parts messages that follow another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.guided_situations import stage

ACTS = frozenset(
    {
        "start_training",
        "forget",
        "cancel_job",
        "export_model",
        "prepare_dataset",
        "resume_job",
    }
)
STARTS = frozenset({"start_training", "forget", "cancel_job"})
UNASKED = frozenset({"start_training", "forget"})


def _lines() -> Iterator[Any]:
    for table in sorted(Path(__file__).with_name("wordings").glob("*.txt")):
        for line in table.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                yield pytest.param(line, id=f"{table.stem}: {line[:90]}")


@pytest.mark.parametrize("line", _lines())
def test_means_what_is_said(line: str) -> None:
    situation, said, wanted, *rest = line.split(" | ")
    played = stage(situation)
    for message in said.replace("\\n", "\n").split(" >> "):
        calls = played.say(message)
    names = {name for name, _ in calls}
    assert played.reply
    if wanted == "words":
        assert names == set()
    elif wanted == "no act":
        assert not names & ACTS
    elif wanted == "no start":
        assert not names & STARTS
    else:
        tools = set(wanted.split("/"))
        given = [args for name, args in calls if name in tools]
        assert given, f"called {calls}"
        args = json.loads(rest[0]) if rest else {}
        shown = {name: given[-1].get(name) for name in args}
        assert json.dumps(shown).lower() == json.dumps(args).lower()
        assert not names & (UNASKED - tools)
