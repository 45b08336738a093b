"""Base models are found by name, folder or short name; what cannot be tuned is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Hub
from tools.advise.models import STARTER, catalogue_entry, hub_destination, resolve_model
from tools.catalog import find_capability
from tools.context import Context
from tools.errors import BadInput, NotAllowed, NotFound, Unavailable

TINY: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
    "intermediate_size": 172, "num_hidden_layers": 5, "num_attention_heads": 8,
    "num_key_value_heads": 4, "vocab_size": 512, "tie_word_embeddings": True,
    "max_position_embeddings": 512,
}  # fmt: skip


def folder_with(path: Path, config: dict[str, Any], *files: str) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name in files:
        (path / name).write_text("{}", encoding="utf-8")
    return path


@pytest.fixture
def online(ctx: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A context that may reach a hub; its files are kept in this test's folder."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return ctx.with_(settings=ctx.settings.model_copy(update={"network": "allow"}))


def at(ctx: Context, endpoint: str) -> Context:
    return ctx.with_(settings=ctx.settings.model_copy(update={"hub_endpoint": endpoint}))


@pytest.mark.parametrize("name", [None, "starter", "Starter", " starter "])
def test_no_name_means_the_shipped_starter(ctx: Context, name: str | None) -> None:
    model = resolve_model(ctx, name)
    assert model.name == STARTER
    assert model.path is not None
    assert model.onnx
    assert model.has_chat_template


def test_a_folder_is_read_from_its_config(ctx: Context, tmp_path: Path) -> None:
    folder_with(tmp_path / "tiny", TINY, "model.safetensors")
    model = resolve_model(ctx, "./tiny")
    assert (model.parameters, model.source, model.context_length) == (260_032, "local", 512)
    assert model.licence == "unknown"


def test_an_estimate_needs_no_weights_but_a_plan_does(ctx: Context, tmp_path: Path) -> None:
    folder_with(tmp_path / "tiny", TINY)
    assert resolve_model(ctx, "./tiny", needs_weights=False).parameters == 260_032
    with pytest.raises(BadInput, match="no weights"):
        resolve_model(ctx, "./tiny")


def test_pickled_weights_are_never_opened(ctx: Context, tmp_path: Path) -> None:
    folder_with(tmp_path / "old", TINY, "pytorch_model.bin")
    with pytest.raises(BadInput, match="pickled"):
        resolve_model(ctx, "./old")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"auto_map": {"AutoConfig": "x.Y"}, "model_type": "qwen"}, "own code"),
        ({"is_encoder_decoder": True, "model_type": "t5"}, "encoder-decoder"),
        ({"architectures": ["BertForMaskedLM"], "model_type": "bert"}, "BertForMaskedLM"),
        ({"model_type": "mamba"}, "mamba"),
    ],
)
def test_models_that_cannot_be_tuned_say_why(
    ctx: Context, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    folder_with(tmp_path / "odd", {**TINY, **change}, "model.safetensors")
    with pytest.raises(BadInput, match=words):
        resolve_model(ctx, "./odd")


@pytest.mark.parametrize(
    ("text", "error"), [("{broken", "not readable JSON"), ("[1]", "not a JSON object")]
)
def test_a_broken_config_is_bad_input(ctx: Context, tmp_path: Path, text: str, error: str) -> None:
    folder = folder_with(tmp_path / "bad", TINY, "model.safetensors")
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=error):
        resolve_model(ctx, "./bad")


@pytest.mark.parametrize("name", ["no-such-model", "./missing", "a b c", "../../etc", "x/y/z"])
def test_an_unknown_name_is_not_found(ctx: Context, name: str) -> None:
    with pytest.raises(NotFound):
        resolve_model(ctx, name)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("llama 3.1 8b", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
        ("Phi-3-mini", "microsoft/Phi-3-mini-4k-instruct"),
        ("gpt2", "openai-community/gpt2"),
        ("qwen2.5 0.5b", "Qwen/Qwen2.5-0.5B-Instruct"),
        ("dialogpt-medium", "microsoft/DialoGPT-medium"),
        ("llama 3.1 405b", "meta-llama/Meta-Llama-3.1-405B"),
        ("llama3.1:8b", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
        ("Llama-3,2 3B base", "meta-llama/Llama-3.2-3B"),
        ("7B qwen 2.5", "Qwen/Qwen2.5-7B-Instruct"),
        ("qwen2.5 7b", "Qwen/Qwen2.5-7B-Instruct"),
        ("Qwen2.5-7B", "Qwen/Qwen2.5-7B"),
    ],
)
def test_short_names_are_understood(said: str, meant: str) -> None:
    entry = catalogue_entry(said)
    assert entry is not None
    assert entry["name"] == meant


def test_a_listed_model_is_sized_without_the_network(ctx: Context) -> None:
    model = resolve_model(ctx, "llama 3.1 8b", needs_weights=False)
    assert model.parameters == 8_030_261_248
    assert model.gated


def test_offline_a_hub_name_is_refused_and_says_what_works(ctx: Context) -> None:
    with pytest.raises(NotAllowed) as caught:
        resolve_model(ctx, "org/some-model")
    assert "starter" in caught.value.hint


def test_a_chat_may_not_reach_the_hub_without_consent(online: Context) -> None:
    asking = online.settings.model_copy(update={"network": "ask"})
    chat = online.with_(settings=asking, actor="chat")
    with pytest.raises(NotAllowed, match="beyond this machine"):
        resolve_model(chat, "org/some-model")
    assert hub_destination(chat, "org/some-model") == "huggingface.co/org/some-model"
    assert hub_destination(chat, "starter") is None


def test_a_hub_model_is_read_from_its_small_files(online: Context, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "served", TINY, "model.safetensors")
    (folder / "tokenizer_config.json").write_text('{"chat_template": "x"}', encoding="utf-8")
    with Hub({"org/tiny": folder}) as hub:
        model = resolve_model(at(online, hub.endpoint), "org/tiny")
        asked = [line for line in hub.requests if "model.safetensors" in line]
    assert (model.source, model.parameters, model.has_chat_template) == ("hub", 260_032, True)
    assert model.revision
    assert asked == []


def test_an_unknown_hub_model_is_not_found(online: Context) -> None:
    with Hub({}) as hub, pytest.raises(NotFound, match="no model called org/none"):
        resolve_model(at(online, hub.endpoint), "org/none")


def test_a_gated_model_says_what_to_do(online: Context, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "gated", TINY, "model.safetensors")
    gated = Hub({"org/gated": folder}, gated=frozenset({"org/gated"}))
    with gated as hub, pytest.raises(Unavailable) as caught:
        resolve_model(at(online, hub.endpoint), "org/gated")
    assert "HF_TOKEN" in caught.value.hint


def test_a_hub_that_does_not_answer_is_said_at_once(online: Context) -> None:
    with pytest.raises(Unavailable, match="did not answer"):
        resolve_model(at(online, "http://127.0.0.1:9"), "org/tiny")


def test_an_instructed_model_is_never_swapped_for_its_base() -> None:
    assert catalogue_entry("llama 2 7b chat") is None


@pytest.mark.parametrize(
    ("said", "named"),
    [("Lama-3,1 8B instuct", "Llama-3.1-8B-Instruct"), ("qwen", "Qwen/"), ("falcon 7b", "7B")],
)
def test_an_unknown_name_comes_with_the_nearest(ctx: Context, said: str, named: str) -> None:
    with pytest.raises(NotFound) as caught:
        resolve_model(ctx, said, needs_weights=False)
    assert named in caught.value.hint


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("TheBloke/Mistral-7B-Instruct-v0.2-GPTQ", "mistralai/Mistral-7B-Instruct-v0.2"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen/Qwen2.5-7B-Instruct"),
        ("unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
        ("bartowski/Llama-3.2-3B-Instruct-GGUF", "meta-llama/Llama-3.2-3B-Instruct"),
        ("someone/thing-fp8", "the original"),
    ],
)
def test_a_quantised_copy_names_its_original(ctx: Context, name: str, original: str) -> None:
    with pytest.raises(BadInput, match="quantised copy") as caught:
        resolve_model(ctx, name, needs_weights=False)
    assert original in caught.value.hint


def test_a_folder_of_rounded_weights_is_refused(ctx: Context, tmp_path: Path) -> None:
    config = {**TINY, "quantization_config": {"quant_method": "gptq", "bits": 4}}
    folder_with(tmp_path / "rounded", config, "model.safetensors")
    with pytest.raises(BadInput, match="gptq"):
        resolve_model(ctx, "./rounded")


@pytest.mark.parametrize("name", ["bert-base-uncased", "t5-base", "openai/whisper-small"])
def test_other_kinds_of_model_are_told_by_name(ctx: Context, name: str) -> None:
    with pytest.raises(BadInput, match="causal language models"):
        resolve_model(ctx, name)


def test_models_beyond_a_size_are_left_out(ctx: Context) -> None:
    listed = find_capability("list_models").call(ctx, {"largest_b": 2, "limit": 500})
    sizes = [model.parameters_b for model in listed.models]  # type: ignore[attr-defined]
    assert sizes
    assert max(sizes) <= 2
