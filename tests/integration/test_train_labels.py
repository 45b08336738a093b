"""What is trained of a row, and the gate that refuses rows that teach the wrong thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.jobs_factory import chat_rows, classification_rows, make_spec_alone, text_rows
from tools.errors import Refused
from tools.settings import Settings
from tools.work.batching import Batcher
from tools.work.load import load_tokenizer
from tools.work.rows import MASKED, Encoded, check_labels, encode_split
from tools.work.template import FALLBACK_TEMPLATE, marks_generation, template_hash, template_notes

pytestmark = [
    pytest.mark.integration,
    # The training libraries warn of their own deprecations.
    pytest.mark.filterwarnings("ignore"),
]

_NO_MARKS = FALLBACK_TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")
_NO_END = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture
def tokenizer(material: Path, settings: Settings) -> Any:
    """A real tokenizer without a chat template and without a padding token."""
    return load_tokenizer(settings, make_spec_alone(model=str(material / "models/stories260K")))


def _encoded(
    tokenizer: Any, folder: Path, rows: list[dict[str, Any]], objective: Any, length: int = 200
) -> Encoded:
    file = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    return encode_split(file, objective, tokenizer, max_length=length)


def _trained(tokenizer: Any, encoded: Encoded, row: int = 0) -> str:
    return str(tokenizer.decode([i for i in encoded.labels[row] if i != MASKED]))


def test_only_the_answer_and_its_end_are_trained(tokenizer: Any, tmp_path: Path) -> None:
    rows = classification_rows(8)
    encoded = _encoded(tokenizer, tmp_path, rows, "prompt_completion")
    for i, row in enumerate(rows):
        assert _trained(tokenizer, encoded, i).strip() == row["label"] + tokenizer.eos_token
        whole = tokenizer.decode(encoded.input_ids[i])
        assert row["prompt"][0]["content"] in whole
    measures = check_labels(encoded, "prompt_completion", tokenizer)
    assert measures["rows_that_stop"] == 1.0
    assert measures["trained_token_share"] < 0.3


def test_a_chat_trains_every_answer_where_the_template_marks_them(
    tokenizer: Any, tmp_path: Path
) -> None:
    (row,) = chat_rows(1)
    label = row["messages"][1]["content"]
    every = _trained(tokenizer, _encoded(tokenizer, tmp_path, [row], "chat"))
    assert every.count(label) == every.count(tokenizer.eos_token) == 2
    tokenizer.chat_template = _NO_MARKS
    assert not marks_generation(tokenizer)
    last = _trained(tokenizer, _encoded(tokenizer, tmp_path, [row], "chat"))
    assert last.count(label) == last.count(tokenizer.eos_token) == 1


def test_an_end_that_the_template_marks_outside_the_answer_is_trained_too(
    tokenizer: Any, tmp_path: Path
) -> None:
    tokenizer.chat_template = FALLBACK_TEMPLATE.replace(
        "{{ message['content'] + eos_token }}{% endgeneration %}",
        "{{ message['content'] }}{% endgeneration %}{{ eos_token }}",
    )
    trained = _trained(tokenizer, _encoded(tokenizer, tmp_path, chat_rows(1), "chat"))
    assert trained.count(tokenizer.eos_token) == 2


def test_a_template_without_an_end_still_teaches_to_stop(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.chat_template = _NO_END
    encoded = _encoded(tokenizer, tmp_path, classification_rows(4), "prompt_completion")
    assert all(ids[-1] == tokenizer.eos_token_id for ids in encoded.input_ids)
    assert check_labels(encoded, "prompt_completion", tokenizer)["rows_that_stop"] == 1.0


def test_a_long_row_loses_its_start_and_never_its_answer(tokenizer: Any, tmp_path: Path) -> None:
    encoded = _encoded(tokenizer, tmp_path, classification_rows(6), "prompt_completion", length=12)
    assert encoded.cut == 6
    assert {len(ids) for ids in encoded.input_ids} == {12}
    assert all(_trained(tokenizer, encoded, i).endswith(tokenizer.eos_token) for i in range(6))


def test_plain_text_is_trained_whole_and_long_text_in_pieces(
    tokenizer: Any, tmp_path: Path
) -> None:
    rows = text_rows(4)
    encoded = _encoded(tokenizer, tmp_path, rows, "text")
    assert encoded.labels == encoded.input_ids
    pieces = _encoded(tokenizer, tmp_path, rows, "text", length=8)
    assert sum(map(len, pieces.input_ids)) == sum(map(len, encoded.input_ids))


def test_padding_is_never_trained_though_it_is_the_end_token(
    tokenizer: Any, tmp_path: Path
) -> None:
    assert [code for code, _ in template_notes(tokenizer)] == ["fallback_template", "pad_is_end"]
    encoded = _encoded(tokenizer, tmp_path, classification_rows(6), "prompt_completion")
    batch = Batcher(tokenizer.pad_token_id).join(encoded.input_ids, encoded.labels)
    padded = batch["attention_mask"] == 0
    assert padded.any()
    assert (batch["labels"][padded] == MASKED).all()
    assert ((batch["labels"] == tokenizer.eos_token_id).sum(dim=1) == 1).all()


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([], "every token is masked"),
        ([[5, 6, 7]], "Nothing is masked"),
        ([[MASKED, MASKED, 7]], "never learn to stop"),
    ],
)
def test_the_gate_refuses_labels_that_teach_the_wrong_thing(
    tokenizer: Any, labels: list[list[int]], problem: str
) -> None:
    encoded = Encoded()
    for row in labels:
        encoded.add([5, 6, 7], row, 100)
    with pytest.raises(Refused, match=problem) as refused:
        check_labels(encoded, "prompt_completion", tokenizer)
    assert refused.value.refused_by == "labels"


def test_rows_with_nothing_to_learn_are_left_out_and_counted(tokenizer: Any) -> None:
    encoded = Encoded()
    encoded.add([5, 6, 7], [MASKED] * 3, 100)
    encoded.add([5, 6, 7], [5, MASKED, MASKED], 100)
    encoded.add([5, 6, tokenizer.eos_token_id], [MASKED, 6, tokenizer.eos_token_id], 100)
    assert (encoded.dropped, len(encoded.input_ids)) == (2, 1)


def test_the_template_hash_follows_the_template(tokenizer: Any) -> None:
    before = template_hash(tokenizer)
    tokenizer.chat_template = _NO_END
    assert template_hash(tokenizer) != before
