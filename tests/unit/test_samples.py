"""The sample files are what their note says, and the starter model has not read them."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tools.context import Context
from tools.datasets.capabilities import inspect_dataset

DATA = Path(__file__).resolve().parents[2] / "data"
SAMPLES = DATA / "samples"
LABELS = {"delivery", "billing", "returns", "technical", "account", "product", "cancellation"}
TONES = {"formal", "casual", "angry", "grateful", "worried"}


def _table(name: str) -> list[dict[str, str]]:
    with (SAMPLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLES / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a generator script by name, without leaving its folder on the path."""
    for folder in (SAMPLES / "make", DATA / "starter-model" / "make"):
        monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_training_tickets_have_seven_uneven_categories() -> None:
    rows = _table("support_tickets.csv")
    counts = Counter(row["label"] for row in rows)
    assert len(rows) >= 1_000
    assert set(counts) == LABELS
    assert max(counts.values()) > 4 * min(counts.values())


def test_training_tickets_hold_the_flaws_their_note_lists() -> None:
    rows = _table("support_tickets.csv")
    filled = [row for row in rows if row["text"].strip()]
    assert len(rows) - len(filled) == 2
    pairs = Counter((row["text"], row["label"]) for row in filled)
    assert sum(count - 1 for count in pairs.values()) == 30
    labels: dict[str, set[str]] = {}
    for text, label in pairs:
        labels.setdefault(text, set()).add(label)
    assert sum(len(found) > 1 for found in labels.values()) == 1


def test_heldout_halves_have_the_same_shares() -> None:
    rows = _table("support_tickets_heldout.csv")
    halves = {
        half: Counter(row["label"] for row in rows if row["half"] == half)
        for half in ("seen", "unseen")
    }
    assert sum(halves["seen"].values()) == sum(halves["unseen"].values()) == 200
    assert halves["seen"] == halves["unseen"]


def test_no_heldout_row_is_in_the_training_file(maker: Any) -> None:
    words = maker("grammar").words
    trained = {tuple(words(row["text"])) for row in _table("support_tickets.csv")}
    heldout = [tuple(words(row["text"])) for row in _table("support_tickets_heldout.csv")]
    assert len(set(heldout)) == len(heldout)
    assert not trained & set(heldout)


def test_unseen_phrases_and_openers_are_not_in_the_training_bank(maker: Any) -> None:
    grammar = maker("grammar")
    banks = [
        grammar.read_bank(SAMPLES / "make" / "banks" / name)
        for name in ("tickets_trained.txt", "tickets_heldout.txt")
    ]
    trained, heldout = [
        {" ".join(grammar.words(line)) for lines in bank.values() for line in lines}
        for bank in banks
    ]
    assert not trained & heldout


def test_files_are_what_the_script_builds(maker: Any) -> None:
    training, heldout = maker("tickets").build_tickets()
    conversations = maker("conversations")
    assert training == _table("support_tickets.csv")
    assert heldout == _table("support_tickets_heldout.csv")
    assert conversations.build_faq() == _lines("product_faq.jsonl")
    assert conversations.build_tones() == _lines("phrase_tone.jsonl")
    assert conversations.build_preferences() == _lines("preferences.jsonl")


def test_faq_chats_alternate_and_end_with_the_assistant() -> None:
    rows = _lines("product_faq.jsonl")
    assert 120 <= len(rows) <= 200
    roles = [[message["role"] for message in row["messages"]] for row in rows]
    for found in roles:
        turns = found[1:] if found[0] == "system" else found
        assert turns == ["user", "assistant"] * (len(turns) // 2)
    assert any(found[0] == "system" for found in roles)
    assert any(len(found) >= 4 for found in roles)


def test_tones_are_five_and_phrases_distinct() -> None:
    rows = _lines("phrase_tone.jsonl")
    assert {row["tone"] for row in rows} == TONES
    assert len({row["phrase"] for row in rows}) == len(rows) >= 400


def test_preferences_differ_within_a_row() -> None:
    rows = _lines("preferences.jsonl")
    assert len(rows) >= 100
    assert all(row["chosen"] != row["rejected"] and row["prompt"] for row in rows)


def test_preferences_are_read_as_pairs_though_worse_answers_recur(ctx: Context) -> None:
    report = inspect_dataset("data/samples/preferences.jsonl", ctx=ctx)
    assert (report.format, report.objective) == ("preference", "dpo")


def test_corpus_shares_no_eight_words_in_a_row_with_a_sample(maker: Any) -> None:
    corpus, grammar = maker("corpus"), maker("grammar")
    forbidden = corpus.sample_runs()
    assert len(forbidden) > 5_000
    for text in corpus.clean_documents(2_000, seed=8):
        assert not grammar.word_runs(text, corpus.RUN_LENGTH) & forbidden


def test_corpus_banks_share_no_eight_words_in_a_row_with_a_sample(maker: Any) -> None:
    """The written lines themselves, before any slot is filled or alternative chosen."""
    corpus, grammar = maker("corpus"), maker("grammar")
    forbidden = corpus.sample_runs()
    for path in sorted((DATA / "starter-model" / "make" / "banks").glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not grammar.word_runs(line, corpus.RUN_LENGTH) & forbidden, line


def test_corpus_never_shows_a_category_as_an_answer(maker: Any) -> None:
    """No assistant turn and no restatement is a bare category name."""
    for text in maker("corpus").clean_documents(2_000, seed=9):
        endings = [line.rsplit(": ", 1)[-1].strip(" .").lower() for line in text.splitlines()]
        assert not LABELS & set(endings), text
