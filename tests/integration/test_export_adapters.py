"""Methods that do not fold into the weights: judged like the others, exported as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.jobs_factory import classification_rows
from tests.judging_factory import draw_adapter, judged, trained, write_dataset
from tools.context import Context, utc_now
from tools.export.answering import targets_of
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


def _wide(folder: Path, seed: int) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(shipped("starter-model"))
    config = LoraConfig(
        r=6, lora_alpha=3, use_rslora=True, target_modules="all-linear", init_lora_weights=False
    )
    get_peft_model(model, config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(shipped("starter-model")).save_pretrained(folder)


def test_adapters_of_different_shape_become_one_onnx_model_that_says_what_each_says(
    ctx: Context,
) -> None:
    from tools.work import export
    from tools.work.onnx_model import OnnxModel

    runs = []
    for name, draw in (("narrow", draw_adapter), ("wide", _wide)):
        rows = classification_rows(30, seed=len(name))
        manifest = write_dataset(
            ctx, name, rows, train=20, task="classification", objective="prompt_completion",
            labels=("food", "pet", "toy"),
        )  # fmt: skip
        runs.append(trained(ctx, manifest, draw=draw))
    spec = ExportSpec(
        job=runs[0].id, together=(runs[1].id,), names=("narrow", "wide"),
        precisions=("fp32",), parity_rows=4,
    )  # fmt: skip
    record = ctx.store.jobs.create(spec, name="export", parent=runs[0].id)
    ctx.store.jobs.set_state(record.id, "running")
    ctx.settings.job_folder(record.id).mkdir(parents=True)
    store = Store.open_as_worker(ctx.settings.database, clock=utc_now)
    export.run(Job(record, ctx.settings, store))
    ctx.store.jobs.set_state(record.id, "succeeded")
    done = ctx.store.jobs.get(record.id)
    measures = done.metrics["parity"]["measures"]
    for name in ("narrow", "wide"):
        assert measures[f"{name}_onnx_fp32_agreement"] == 1.0
        assert measures[f"{name}_onnx_fp32_logit_error"] < 1e-4
        assert measures[f"{name}_base_moved"] > 0
    folder = ctx.settings.home / done.artifacts["onnx_fp32"]
    assert sorted(p.stem for p in (folder / "adapters").iterdir()) == ["narrow", "wide"]
    assert set(json.loads((folder / "manifest.json").read_text())["adapters"]) == {"narrow", "wide"}
    # The same prompt, the same files: what answers is chosen when it runs.
    prompt = [5, 9, 14]
    said = [OnnxModel(folder, name).logits(prompt) for name in (None, "narrow", "wide")]
    assert all(abs(said[i] - said[j]).max() > 1e-3 for i, j in ((0, 1), (0, 2), (1, 2)))
    (target,) = [t for t in targets_of(ctx, runs[1]) if t.kind == "onnx"]
    assert target.adapter == "wide"
