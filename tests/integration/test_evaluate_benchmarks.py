"""Established benchmarks run from files at hand, and a task file never runs code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.jobs_factory import classification_rows
from tests.judging_factory import evaluation_job, run_evaluation, trained, write_dataset
from tools.context import Context
from tools.errors import BadInput

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]
_TASK = """task: animals
dataset_path: json
dataset_kwargs:
  data_files: {test: rows.jsonl}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}\\nAnswer:"
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list:
  - metric: acc
"""


def _task_file(folder: Path, text: str = _TASK) -> Path:
    rows = [
        {"question": f"Is {i} a number?", "choices": ["yes", "no"], "answer": i % 2}
        for i in range(24)
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "task.yaml").write_text(text)
    return folder / "task.yaml"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("doc_to_target: answer", "doc_to_target: !function steal.run", "without running code"),
        ("dataset_path: json", "dataset_path: someone/their_set", "from elsewhere"),
        ("task: animals", "include: other.yaml\ntask: animals", "from elsewhere"),
        ("rows.jsonl", "https://example.org/rows.jsonl", "beside"),
        ("rows.jsonl", "../../etc/passwd", "beside"),
        ("task: animals", "name: animals", "names no task"),
    ],
)
def test_a_task_file_is_data_and_stays_data(tmp_path: Path, old: str, new: str, words: str) -> None:
    from tools.work.benchmark import read_task

    with pytest.raises(BadInput) as caught:
        read_task(_task_file(tmp_path, _TASK.replace(old, new)))
    assert words in str(caught.value)


def test_a_benchmark_is_run_on_both_models_row_by_row(ctx: Context, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason="needs pip install luthier[benchmarks]")
    manifest = write_dataset(
        ctx, "labels", classification_rows(40), train=30, task="classification",
        objective="prompt_completion", labels=("food", "pet", "toy"),
    )  # fmt: skip
    job = evaluation_job(ctx, trained(ctx, manifest), benchmark=str(_task_file(tmp_path)))
    found = run_evaluation(ctx, job)
    assert found.task == "benchmark animals"
    assert found.n == 24
    assert found.primary == "acc"
    for model in ("base", "tuned"):
        estimate = found.metrics[model]["acc"]
        assert estimate.low is not None
        assert 0 <= estimate.low <= estimate.value
