"""The matrix is whole, and questions are answered from it and the guide, or not at all."""

from __future__ import annotations

import pytest

from tools.advise import guide
from tools.advise.answers import answer_to
from tools.advise.matrix import load_matrix, scenarios_for
from tools.errors import NotFound


def test_the_matrix_has_nine_scenarios_six_techniques_and_six_changed_cells() -> None:
    matrix = load_matrix()
    assert len(matrix.scenarios) == 9
    assert all(len(row.cells) == 6 for row in matrix.scenarios)
    assert {(row, name) for row, name, _ in matrix.changed()} == {
        ("cost", "peft"), ("cost", "dora"), ("memory", "lora"), ("memory", "peft"),
        ("few-params", "lora"), ("multi-gpu", "dora"),
    }  # fmt: skip


def test_a_citation_shows_both_revisions_where_they_differ() -> None:
    assert load_matrix().row("memory").cite(["lora"]) == "matrix row memory: LoRA no → yes"
    assert load_matrix().row("nlp").cite(["lora"]) == "matrix row nlp: LoRA yes"


def test_an_unknown_row_is_not_found() -> None:
    with pytest.raises(NotFound):
        load_matrix().row("cooking")


@pytest.mark.parametrize(
    ("goal", "task", "row"),
    [
        ("sort my support tickets", "classification", "nlp"),
        ("a chatbot for our shop", "chat", "chat"),
        ("answer questions about our manual", "qa", "qa"),
        ("write poems like mine", "", "creative"),
        ("something for my data", "", "domain"),
    ],
)
def test_goals_find_their_row(goal: str, task: str, row: str) -> None:
    assert scenarios_for(goal, task)[0].id == row


def test_several_cards_bring_in_the_row_on_several_cards() -> None:
    assert "multi-gpu" in [row.id for row in scenarios_for("", "chat", gpus=2)]


@pytest.mark.parametrize(
    ("question", "place"),
    [
        ("LoRA or QLoRA?", "guide: lora-or-qlora"),
        ("what is ZeRO-3?", "guide: zero"),
        ("should i use dora", "guide: dora"),
        ("why does my model never stop talking?", "guide: loss-mask"),
        ("cuda out of memory help", "guide: out-of-memory"),
        ("what's a good learning rate?", "guide: learning-rate"),
        ("how many epochs should I train", "guide: epochs"),
        ("can I sell a model tuned from llama?", "guide: licences"),
        ("what is overfitting", "guide: overfitting"),
        ("how do I use two GPUs", "guide: several-gpus"),
        ("is my data sent to the internet", "guide: privacy"),
        ("what does the matrix say about memory?", "matrix row memory"),
        ("show me the scenario matrix", "matrix"),
        ("how much data do I need", "guide: data"),
        ("which base model should I pick", "guide: base-model"),
        ("what is perplexity", "guide: evaluation"),
        ("what is a tokenizer", "guide: tokens"),
        ("what is dropout", "guide: dropout"),
        ("bf16 or fp16?", "guide: precision"),
        ("what does gradient checkpointing do", "guide: checkpointing"),
    ],
)
def test_questions_find_their_section(question: str, place: str) -> None:
    assert guide.answer(question)[0].place == place


@pytest.mark.parametrize(
    "question", ["what is the capital of France?", "tell me a joke", "hello", "best pizza in town"]
)
def test_what_the_guide_does_not_know_it_says(question: str) -> None:
    report = answer_to(question)
    assert not report.known
    assert "no answer" in report.text()


def test_every_section_has_a_source_and_words_to_be_found_by() -> None:
    assert len(guide.sections()) >= 25
    ids = [section.id for section in guide.sections()]
    assert len(ids) == len(set(ids))
    for section in guide.sections():
        assert section.source, section.id
        assert section.words, section.id
        assert len(section.body) > 100, section.id


def test_an_answer_names_its_place_and_source() -> None:
    text = answer_to("what is LoRA?").text()
    assert "[guide: lora; LoRA, arXiv 2106.09685" in text
