"""Estimates asked for with odd arguments: a figure with its reason or a sentence, no guess."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.advise.capabilities import estimate_resources
from tools.advise.reports import EstimateReport
from tools.advise.wanted import method_called
from tools.context import Context
from tools.errors import BadInput, ToolError

MIXTURE: dict[str, Any] = {
    "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 2048,
    "intermediate_size": 6144, "moe_intermediate_size": 768, "num_experts": 128,
    "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_attention_heads": 32,
    "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 151_936,
    "max_position_embeddings": 40_960,
}  # fmt: skip


def estimate(ctx: Context, **wish: Any) -> EstimateReport:
    report = estimate_resources(**wish, ctx=ctx)
    assert isinstance(report, EstimateReport)
    return report


@pytest.mark.parametrize("solve", ["longest_context", "largest_batch", "biggest_model"])
@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_what_fits_at_most_comes_with_its_own_figures(
    ctx: Context, solve: Any, method: str
) -> None:
    report = estimate(ctx, model="qwen2.5 0.5b", method=method, hardware="24GB", solve=solve)
    assert report.solution is not None
    assert report.memory_gib["high"] <= report.available_gib + 0.005
    found = {**report.settings, "model": report.model}
    assert found[report.solution["of"]] == report.solution["value"]


def test_where_nothing_fits_the_least_need_is_said(ctx: Context) -> None:
    report = estimate(ctx, model="llama 3.1 70b", hardware="8 GB card", solve="longest_context")
    assert report.solution is not None
    assert report.solution["value"] is None
    assert "even 8 needs up to" in report.solution["text"]
    assert report.verdict == "does not fit"


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"engine": "zero3", "hardware": "24GB"}, "there is one here"),
        ({"engine": "ddp", "hardware": "16 GB laptop without gpu"}, "there is one here"),
        ({"engine": "zero3", "hardware": "2x24GB", "method": "qlora"}, "ZeRO-3 shards"),
        ({"precision": "fp16", "method": "full", "hardware": "T4"}, "overflow"),
        ({"target_modules": ",,"}, "names no matrix"),
        ({"target_modules": "c_attn", "model": "qwen2.5 0.5b"}, "no module called c_attn"),
        ({"hardware": "   "}, "does not describe a machine"),
    ],
)
def test_what_does_not_go_together_is_refused_with_a_way_out(
    ctx: Context, wish: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        estimate(ctx, **{"model": "gpt2", **wish})
    assert caught.value.hint


def test_a_mixture_is_not_promised_to_fit_in_four_bits(ctx: Context, tmp_path: Path) -> None:
    folder = tmp_path / "mixture"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(MIXTURE), encoding="utf-8")
    with pytest.raises(BadInput, match="experts"):
        estimate(ctx, model="./mixture", method="qlora", hardware="48GB")
    assert estimate(ctx, model="./mixture", hardware="80GB").memory_gib["high"] > 57


def test_a_card_without_bfloat16_is_said(ctx: Context) -> None:
    report = estimate(ctx, model="gpt2", precision="bf16", hardware="T4")
    assert any("no bfloat16" in note for note in report.notes)


def test_of_uneven_cards_the_largest_counts(ctx: Context) -> None:
    words = "one 24GB and one 12GB card"
    report = estimate(ctx, model="gpt2", hardware=words)
    assert 22 < report.available_gib < 24
    assert any("differ in memory" in note for note in report.notes)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("QLoRA", "qlora"), ("LoRA", "lora"), ("full fine-tuning", "full"), ("IA3", "ia3"),
        ("rs-LoRA", "rslora"), ("Prompt Tuning", "prompt_tuning"), ("DoRA", "dora"),
        ("flora", "flora"), ("lora", "lora"),
    ],
)  # fmt: skip
def test_methods_are_known_by_what_people_write(said: str, meant: str) -> None:
    assert method_called(said) == meant


@pytest.mark.parametrize(
    "config",
    [
        {}, {"hidden_size": 768}, {"model_type": "mamba", "architectures": ["MambaForCausalLM"]},
        {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava"},
        {"architectures": ["ViTForImageClassification"], "model_type": "vit"},
        {**MIXTURE, "hidden_size": "big"}, {**MIXTURE, "num_hidden_layers": -3},
        {**MIXTURE, "vocab_size": 0, "num_attention_heads": 0},
        {**MIXTURE, "hidden_size": 10**9, "num_hidden_layers": 10**6},
    ],
)  # fmt: skip
def test_a_config_that_cannot_be_sized_is_a_sentence(
    ctx: Context, tmp_path: Path, config: dict[str, Any]
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ToolError) as caught:
        estimate(ctx, model="./odd", hardware="24GB")
    assert caught.value.hint


def test_an_estimate_with_data_counts_its_rows_and_answers_not_the_limit(
    ctx: Context, tmp_path: Path
) -> None:
    data = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"{n} " + "word " * 40, "completion": "yes"} for n in range(40)]
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    wish: dict[str, Any] = {"model": "starter", "method": "lora", "batch_size": 16, "ctx": ctx}
    known = estimate_resources(path=str(data), max_length=1024, **wish).document()
    unknown = estimate_resources(max_length=1024, **wish).document()
    assert known["memory_gib"]["expected"] < 0.7 * unknown["memory_gib"]["expected"]
    short = estimate_resources(path=str(data), max_length=64, **wish).document()
    same_without_data = estimate_resources(max_length=64, **wish).document()
    assert short["memory_gib"]["parts"]["logits"] < (
        0.5 * same_without_data["memory_gib"]["parts"]["logits"]
    )
    assert any("every token" in note for note in unknown["notes"])
