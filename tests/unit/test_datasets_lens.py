"""The label lens: what is trained, token by token, and what it refuses to call sound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.seeded_faults import false_alarms, plant
from tools.context import Context
from tools.datasets.example import Example, answered
from tools.datasets.inspect import inspect_file
from tools.datasets.labels import MASKED, LensRow, check_rows, check_template, lens_row
from tools.datasets.lens import model_text
from tools.datasets.templates import ModelText
from tools.errors import BadInput, ToolError


@pytest.fixture
def starter(ctx: Context) -> ModelText:
    model = model_text(ctx, None)
    if model is None:
        pytest.skip("the starter model is not built yet")
    return model


def billing() -> Example:
    example = answered("My card was charged twice", "billing", label=True)
    assert isinstance(example, Example)
    return example


def codes(row: LensRow, model: ModelText, **wishes: bool) -> set[str]:
    return {p.code for p in check_rows([row], model, **wishes)}


def test_only_the_answer_and_its_end_are_trained(starter: ModelText) -> None:
    row = lens_row(starter, 0, billing())
    trained = "".join(p for p, label in zip(row.pieces, row.labels, strict=True) if label >= 0)
    assert trained == "billing<|end|>"
    assert row.ids[-1] in starter.stops
    assert not codes(row, starter)


def test_every_answer_is_trained_where_the_template_marks_them(starter: ModelText) -> None:
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Good day"},
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "Until then"},
    ]
    row = lens_row(starter, 0, Example("", "", messages=messages))
    trained = "".join(p for p, label in zip(row.pieces, row.labels, strict=True) if label >= 0)
    assert trained == "Good day<|end|>Until then<|end|>"


def test_broken_masks_are_told_apart(starter: ModelText) -> None:
    row = lens_row(starter, 0, billing())
    nothing = replace(row, labels=(MASKED,) * len(row.ids))
    everything = replace(row, labels=row.ids)
    naive = replace(
        row, labels=tuple(MASKED if i in starter.stops else label
                          for i, label in zip(row.ids, row.labels, strict=True))
    )  # fmt: skip
    twice = replace(
        row, ids=(row.ids[0], *row.ids), labels=(MASKED, *row.labels), pieces=("", *row.pieces)
    )
    assert codes(nothing, starter) == {"all_masked"}
    assert codes(everything, starter) == {"nothing_masked"}
    assert codes(naive, starter) == {"stop_not_trained"}
    assert codes(twice, starter) == {"double_bos"}


def test_a_template_without_marks_is_named_where_marks_are_wanted(starter: ModelText) -> None:
    bare = replace(
        starter,
        template=starter.template.replace("{% generation %}", "").replace(
            "{% endgeneration %}", ""
        ),
        _compiled={},
    )
    row = lens_row(bare, 0, billing())
    assert codes(row, bare, wants_marks=True) == {"no_generation_marks"}
    assert row == lens_row(starter, 0, billing())


def test_a_template_that_drops_the_system_message_is_named(starter: ModelText) -> None:
    deaf = replace(
        starter,
        template="{% for m in messages if m['role'] != 'system' %}{{ m['content'] }}{% endfor %}",
        _compiled={},
    )
    example = answered("Hello", "Hi", system="Speak like a sailor")
    assert isinstance(example, Example)
    assert [p.code for p in check_template(deaf, [(4, example)])] == ["system_dropped"]
    assert not check_template(starter, [(4, example)])


def test_a_template_cannot_reach_out_of_its_sandbox(starter: ModelText) -> None:
    evil = replace(
        starter,
        template="{{ messages.__class__.__mro__[1].__subclasses__() }}",
        _compiled={},
    )
    with pytest.raises(BadInput):
        evil.render([{"role": "user", "content": "Hello"}])


def test_inspect_shows_the_lens(ctx: Context, starter: ModelText) -> None:
    report = inspect_file(ctx, "data/samples/support_tickets.csv", lens=True, sample_rows=2)
    assert report.lens is not None
    assert report.lens_about is not None
    assert sum(b.rows for b in report.length_histogram) == report.usable_rows
    assert report.cut_shares["128"] == 0.0
    assert "tokens are trained, its end token is trained" in report.lens[0].note
    assert len(report.lens) == 2
    assert 0 < report.lens_about.trained_share < 0.5
    assert "Label lens" in report.text()
    assert report.token_lengths is not None
    assert "starter" in report.token_lengths.basis


def test_a_model_that_is_not_here_is_said(ctx: Context, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="not on this machine"):
        inspect_file(ctx, "data/samples/support_tickets.csv", lens=True, model="nowhere/at-all")


def test_every_fault_planted_under_the_starters_template_is_found(starter: ModelText) -> None:
    outcomes = list(plant(starter))
    assert len(outcomes) >= 8
    assert [o.fault for o in outcomes if not o.found] == []
    assert false_alarms(starter) == []
