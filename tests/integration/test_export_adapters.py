"""Methods that do not fold into the weights: judged like the others, exported as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.jobs_factory import classification_rows
from tests.judging_factory import judged, trained, write_dataset
from tools.context import Context, utc_now
from tools.history.spec import ExportSpec
from tools.history.store import Store
from tools.shipped import shipped
from tools.work.report import Job

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]


def _prompt(folder: Path, seed: int) -> None:
    import torch
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(shipped("starter-model"))
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=6)
    get_peft_model(model, config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(shipped("starter-model")).save_pretrained(folder)


def test_a_learnt_prompt_is_judged_and_exported_as_an_adapter(ctx: Context) -> None:
    from tools.work import export

    rows = classification_rows(60)
    for i, row in enumerate(rows):
        row["prompt"][0]["content"] += f" It was day {i * 7919}."
    manifest = write_dataset(
        ctx, "labels", rows, train=36, task="classification", objective="prompt_completion",
        labels=("food", "pet", "toy"),
    )  # fmt: skip
    run = trained(ctx, manifest, draw=_prompt, method="prompt_tuning")
    found = judged(ctx, run)
    assert found.n == 24
    assert found.metrics["tuned"]["loss"] != found.metrics["base"]["loss"]
    spec = ExportSpec(job=run.id, format="adapter", precisions=("fp32",), parity_rows=4)
    record = ctx.store.jobs.create(spec, name="export", parent=run.id)
    ctx.settings.job_folder(record.id).mkdir(parents=True)
    store = Store.open_as_worker(ctx.settings.database, clock=utc_now)
    export.run(Job(record, ctx.settings, store))
    done = ctx.store.jobs.get(record.id)
    folder = ctx.settings.home / done.artifacts["adapter"]
    assert (folder / "adapter_model.safetensors").is_file()
    assert json.loads((folder / "manifest.json").read_text())["parity"]["passed"]
    measures = done.metrics["parity"]["measures"]
    assert measures["adapter_agreement"] == 1.0
    assert measures["base_moved"] > 0
