"""Parameters and shapes are computed from a config.json alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.advise.architecture import shape_of
from tools.advise.models import catalogue, from_catalogue
from tools.errors import BadInput

TINY = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5,
    "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 512,
    "tie_word_embeddings": True,
}  # fmt: skip


def test_parameters_equal_those_of_68_real_configs(material: Path) -> None:
    configs = json.loads((material / "model_configs.json").read_text(encoding="utf-8"))
    checked = 0
    for name, entry in configs.items():
        if entry["params_computed"] is None:
            continue
        assert shape_of(entry["config"]).parameters == entry["params_computed"], name
        checked += 1
    assert checked > 60


def test_a_tiny_llama_has_the_parameters_that_are_printed_with_it() -> None:
    assert shape_of(TINY).parameters == 260_032


def test_an_adapter_counts_rank_times_in_plus_out() -> None:
    shape = shape_of(TINY)
    expected = 5 * 8 * (2 * (64 + 64) + 2 * (64 + 32) + 2 * (64 + 172) + (172 + 64))
    assert shape.adapter_parameters(8) == expected
    assert shape.adapter_parameters(8, ("q_proj",)) == 5 * 8 * 128


def test_an_unknown_target_module_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput) as caught:
        shape_of(TINY).targets(("c_attn",))
    assert "q_proj" in caught.value.hint


def test_an_unknown_architecture_is_refused_rather_than_guessed() -> None:
    with pytest.raises(BadInput, match="mamba"):
        shape_of({"model_type": "mamba", "hidden_size": 64})


@pytest.mark.parametrize("missing", ["hidden_size", "vocab_size", "num_hidden_layers"])
def test_a_config_without_a_size_names_what_is_missing(missing: str) -> None:
    with pytest.raises(BadInput, match=missing):
        shape_of({name: value for name, value in TINY.items() if name != missing})


def test_a_size_that_makes_no_sense_is_bad_input() -> None:
    with pytest.raises(BadInput, match="makes no sense"):
        shape_of({**TINY, "num_attention_heads": "many"})


def test_a_mixture_counts_all_experts_but_uses_a_few() -> None:
    entry = next(e for e in catalogue() if "Mixtral" in e["name"])
    shape = from_catalogue(entry).shape
    assert shape.parameters == 46_702_792_704
    assert 12e9 < shape.active_parameters < 14e9


def test_the_catalogue_has_forty_models_whose_facts_agree_and_have_a_source() -> None:
    assert len(catalogue()) >= 40
    for entry in catalogue():
        assert from_catalogue(entry).parameters == entry["parameters"], entry["name"]
        assert all(entry[fact] for fact in ("source", "licence", "commercial")), entry["name"]
