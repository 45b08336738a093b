"""The shipped starter model is small, complete and described by its card. Imports no torch."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "data" / "starter-model"
LARGEST_BYTES = 12 * 1024 * 1024


def _read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


@pytest.fixture
def card() -> Any:
    return _read("card.json")


def test_folder_is_at_most_twelve_mib() -> None:
    files = [
        path for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in str(path)
    ]
    assert sum(path.stat().st_size for path in files) <= LARGEST_BYTES


def test_weights_are_bf16_llama_with_tied_embeddings() -> None:
    config = _read("config.json")
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["tie_word_embeddings"] is True
    assert config["dtype"] == "bfloat16"
    assert config["max_position_embeddings"] >= 512
    with (FOLDER / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        tensors = json.loads(file.read(length))
    tensors.pop("__metadata__", None)
    assert {tensor["dtype"] for tensor in tensors.values()} == {"BF16"}
    assert "lm_head.weight" not in tensors


def test_linear_layers_suit_four_bit_packing() -> None:
    """Inputs in multiples of 64 and outputs of 32, as bitsandbytes wants them on a CPU."""
    config = _read("config.json")
    head_width = config["hidden_size"] // config["num_attention_heads"]
    inputs = (config["hidden_size"], config["intermediate_size"])
    assert all(width % 64 == 0 for width in inputs)
    assert config["num_key_value_heads"] * head_width % 32 == 0


def test_template_marks_what_the_assistant_says() -> None:
    template = _read("tokenizer_config.json")["chat_template"]
    assert "{% generation %}" in template
    assert "{% endgeneration %}" in template
    assert "add_generation_prompt" in template


def test_special_tokens_are_distinct_and_in_the_vocabulary() -> None:
    config = _read("tokenizer_config.json")
    names = [config[f"{kind}_token"] for kind in ("pad", "bos", "eos")]
    assert len(set(names)) == 3
    added = {token["content"]: token["id"] for token in _read("tokenizer.json")["added_tokens"]}
    model = _read("config.json")
    ids = [model[f"{kind}_token_id"] for kind in ("pad", "bos", "eos")]
    assert [added[name] for name in names] == ids
    generation = _read("generation_config.json")
    assert generation["eos_token_id"] == model["eos_token_id"]


def test_labels_of_the_samples_are_single_tokens() -> None:
    vocabulary = _read("tokenizer.json")["model"]["vocab"]
    labels = ("delivery", "billing", "returns", "technical", "account", "product", "cancellation")
    assert all(label in vocabulary and f"Ġ{label}" in vocabulary for label in labels)


def test_card_has_every_figure_with_the_command_that_gives_it(card: Any) -> None:
    for part in ("tuned", "control", "base", "tfidf"):
        assert {"accuracy", "seen", "unseen", "command"} <= set(card[part])
        assert card[part]["command"].startswith("python data/starter-model/make/")
    assert card["parameters"] > 1_000_000
    assert card["corpus_tokens"] > 1_000_000
    assert card["licence"] == "Apache-2.0"


def test_card_recommends_hyperparameters(card: Any) -> None:
    recommended = card["recommended"]
    names = {
        "method",
        "rank",
        "alpha",
        "dropout",
        "learning_rate",
        "epochs",
        "micro_batch",
        "scheduler",
        "warmup_ratio",
        "target_modules",
    }
    assert names <= set(recommended)
    assert 1e-3 <= recommended["learning_rate"] <= 1e-2


def test_figures_reach_what_the_card_promises(card: Any) -> None:
    tuned = card["tuned"]
    assert tuned["seen"] >= 0.95
    assert tuned["unseen"] >= 0.78
    assert tuned["accuracy"] >= 0.86
    assert len(tuned["seeds"]) >= 3
    low, high = card["base"]["majority_interval"]
    assert low <= card["base"]["accuracy"] <= high
    assert card["tfidf"]["unseen"] < tuned["unseen"] - 0.1
    assert card["control"]["unseen"] < tuned["unseen"] - 0.2


def test_model_card_says_what_it_is_and_is_not() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for wanted in ("Apache-2.0", "not an assistant", "evaluate.py --control", "pretrain.py"):
        assert wanted in text
