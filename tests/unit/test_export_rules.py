"""What can be exported here, the bounds of the parity gate, and refusals with a way out."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tests.jobs_factory import make_spec_alone
from tools.context import Context
from tools.errors import Refused
from tools.export.capabilities import export_model
from tools.export.parity import (
    FP32_LOGIT_ERROR,
    INT4_AGREEMENT,
    INT4_CORRECT_FALL,
    INT4_LOSS_RISE,
    MERGE_LOGIT_ERROR,
    Fidelity,
    Parity,
    check_fidelity,
    check_tuned,
)
from tools.export.targets import (
    builder_version,
    check_device,
    choose_precisions,
    onnx_architectures,
    why_not_onnx,
)
from tools.shipped import shipped

LLAMA = {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_attention_heads": 4}


def test_the_architectures_are_those_of_the_installed_builder() -> None:
    found = onnx_architectures()
    assert {"LlamaForCausalLM", "Qwen2ForCausalLM", "Phi3ForCausalLM"} <= found
    assert all(name[0].isupper() for name in found)
    assert "onnxruntime-genai" in builder_version()


def test_the_table_that_plans_are_made_with_promises_nothing_the_builder_cannot() -> None:
    table = tomllib.loads(shipped("compatibility.toml").read_text(encoding="utf-8"))
    assert set(table["onnx"]["architectures"]) <= onnx_architectures()


def test_an_architecture_the_builder_does_not_know_is_named() -> None:
    assert why_not_onnx(LLAMA) is None
    assert "GPT2LMHeadModel" in str(why_not_onnx({"architectures": ["GPT2LMHeadModel"]}))
    assert why_not_onnx({})


def test_attention_heads_that_the_runtime_refuses_are_known_before_the_export() -> None:
    odd = LLAMA | {"head_dim": 8}
    assert "multiple of 16" in str(why_not_onnx(odd))


def test_precisions_are_chosen_by_format_and_device() -> None:
    assert choose_precisions("onnx", None, "cpu") == ("fp32", "int4")
    assert choose_precisions("onnx", "int4", "cpu") == ("int4",)
    assert choose_precisions("merged", None, "cpu") == ("fp32",)
    assert choose_precisions("onnx", None, "cuda") == ("fp16", "int4")


@pytest.mark.parametrize(("form", "precision"), [("onnx", "fp16"), ("merged", "int4")])
def test_a_precision_that_cannot_be_written_names_those_that_can(form: Any, precision: Any) -> None:
    with pytest.raises(Refused) as caught:
        choose_precisions(form, precision, "cpu")
    assert caught.value.refused_by == "preflight"
    assert "fp32" in caught.value.hint


def test_cuda_is_refused_where_nothing_could_check_it() -> None:
    with pytest.raises(Refused, match="cannot be checked"):
        check_device("cuda")


def test_gguf_is_refused_with_what_is_possible(ctx: Context) -> None:
    with pytest.raises(Refused, match="merged") as caught:
        export_model(format="gguf", ctx=ctx)
    assert caught.value.refused_by == "preflight"


def _fidelity(name: str, **changes: Any) -> Fidelity:
    values: dict[str, Any] = {
        "name": name, "prompts": 64, "logit_error": 1e-6, "agreement": 1.0,
        "token_agreement": 1.0, "loss": 0.5, "reference_loss": 0.5, "correct": 0.9,
        "reference_correct": 0.9,
    }  # fmt: skip
    return Fidelity(**values | changes)


@pytest.mark.parametrize("name", ["merged", "onnx_fp32", "onnx_int4"])
def test_the_same_model_passes(name: str) -> None:
    check_fidelity(_fidelity(name))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("merged", {"logit_error": 2 * MERGE_LOGIT_ERROR}),
        ("merged", {"logit_error": float("nan")}),
        ("merged", {"agreement": 0.98}),
        ("onnx_fp32", {"logit_error": 2 * FP32_LOGIT_ERROR}),
        ("onnx_fp32", {"agreement": 0.98}),
        ("onnx_int4", {"agreement": INT4_AGREEMENT - 0.1, "token_agreement": INT4_AGREEMENT - 0.1}),
        ("onnx_int4", {"loss": 0.5 + 2 * INT4_LOSS_RISE}),
        ("onnx_int4", {"loss": float("nan")}),
        ("onnx_int4", {"correct": 0.9 - 2 * INT4_CORRECT_FALL}),
    ],
)
def test_a_model_that_strays_is_refused_by_the_parity_gate(
    name: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(Refused) as caught:
        check_fidelity(_fidelity(name, **changes))
    assert caught.value.refused_by == "parity"
    assert name in caught.value.problem
    assert "bound" in caught.value.problem


def test_int4_may_round_a_little() -> None:
    check_fidelity(_fidelity("onnx_int4", logit_error=0.08, agreement=0.95, loss=0.52))


def test_a_tuned_model_that_says_what_its_base_says_is_refused() -> None:
    with pytest.raises(Refused, match="no effect"):
        check_tuned(Parity(prompts=8, base_moved=0.0, base_agreement=1.0, trained=True))


def test_an_adapter_that_was_never_trained_is_not_called_broken() -> None:
    check_tuned(Parity(prompts=8, base_moved=0.0, base_agreement=1.0, trained=False))


def test_measures_are_flat_and_named_after_what_was_compared() -> None:
    parity = Parity(
        prompts=8, base_moved=0.4, base_agreement=0.1, trained=True, compared=(_fidelity("merged"),)
    )
    assert parity.measures()["merged_agreement"] == 1.0


def _finished(ctx: Context, **changes: Any) -> str:
    record = ctx.store.jobs.create(make_spec_alone(**changes), name="made")
    folder = ctx.settings.job_folder(record.id) / "adapter"
    folder.mkdir(parents=True)
    ctx.store.jobs.record(record.id, artifacts={"adapter": f"jobs/{record.id}/adapter"})
    ctx.store.jobs.set_state(record.id, "running")
    ctx.store.jobs.set_state(record.id, "succeeded")
    return record.id


@pytest.mark.parametrize("form", ["onnx", "merged"])
def test_a_method_that_does_not_fold_into_the_weights_is_refused_with_a_way_out(
    ctx: Context, form: Any
) -> None:
    job = _finished(ctx, method="prompt_tuning")
    with pytest.raises(Refused, match="does not fold") as caught:
        export_model(job, format=form, ctx=ctx)
    assert caught.value.refused_by == "preflight"
    assert "`adapter`" in caught.value.hint


@pytest.mark.parametrize("objective", ["sequence_classification", "token_classification"])
def test_a_head_of_classes_is_no_model_that_answers_in_words(ctx: Context, objective: Any) -> None:
    job = _finished(ctx, objective=objective, labels=("a", "b"))
    with pytest.raises(Refused, match="head of classes") as caught:
        export_model(job, ctx=ctx)
    assert "adapter" in caught.value.hint
    assert len(ctx.store.jobs.find()) == 1
