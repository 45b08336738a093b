"""The lens of the light half shows exactly the labels that the worker trains."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tools.datasets.example import Example, answered
from tools.datasets.labels import lens_row
from tools.datasets.model_files import read_model_text
from tools.datasets.templates import FALLBACK_TEMPLATE
from tools.history.spec import Objective
from tools.shipped import shipped

pytestmark = pytest.mark.integration

SHARED = ["gpt-2", "llama-3.2", "phi-3-mini", "qwen2.5", "tinyllama-1.1b"]


def ticket() -> Example:
    example = answered("My café was charged  twice 😂", "billing", system="Be brief")
    assert isinstance(example, Example)
    return example


def conversation() -> Example:
    messages = [
        {"role": "user", "content": "Hello  there é 😂"},
        {"role": "assistant", "content": "Good day.\nBye"},
        {"role": "user", "content": "And now?"},
        {"role": "assistant", "content": "Later"},
    ]
    return Example("", "", messages=messages)


CASES: list[tuple[Objective, Example]] = [
    ("prompt_completion", ticket()),
    ("chat", conversation()),
    ("text", Example("", "", text="Once upon a time  é")),
]


@pytest.mark.parametrize("name", ["starter", *SHARED])
@pytest.mark.parametrize(("objective", "example"), CASES)
def test_lens_and_worker_agree_token_by_token(
    tmp_path: Path, material: Path, name: str, objective: Objective, example: Example
) -> None:
    from transformers import AutoTokenizer

    from tools.work.rows import encode_split
    from tools.work.template import prepare_tokenizer

    folder = shipped("starter-model") if name == "starter" else material / "tokenizers" / name
    tokenizer = prepare_tokenizer(AutoTokenizer.from_pretrained(folder))
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([example.record()]), file)
    worker = encode_split(file, objective, tokenizer, max_length=9999)
    row = lens_row(read_model_text(folder, name), 0, example)
    assert list(row.ids) == worker.input_ids[0]
    assert list(row.labels) == worker.labels[0]


def test_both_halves_fall_back_to_the_same_template() -> None:
    from tools.work.template import FALLBACK_TEMPLATE as OF_THE_WORKER

    assert OF_THE_WORKER == FALLBACK_TEMPLATE
