"""Settings come from the environment and `settings.json`, and say what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.errors import BadInput
from tools.settings import read_settings, save_settings


def _environment(tmp_path: Path, **extra: str) -> dict[str, str]:
    return {"HOME": str(tmp_path), "LUTHIER_HOME": str(tmp_path / "home"), **extra}


def test_without_anything_said_the_brain_is_guided_and_the_network_asks(tmp_path: Path) -> None:
    settings = read_settings(_environment(tmp_path))
    assert (settings.brain, settings.network) == ("guided", "ask")


def test_the_home_lies_in_the_persons_home_unless_said_otherwise(tmp_path: Path) -> None:
    assert read_settings({"HOME": str(tmp_path)}).home == tmp_path / ".luthier"


def test_saved_choices_come_back_and_the_environment_wins(tmp_path: Path) -> None:
    settings = read_settings(_environment(tmp_path)).model_copy(update={"brain": "ollama:llama3"})
    save_settings(settings)
    assert read_settings(_environment(tmp_path)).brain == "ollama:llama3"
    assert read_settings(_environment(tmp_path, LUTHIER_BRAIN="guided")).brain == "guided"


def test_keys_and_tokens_are_never_written(tmp_path: Path) -> None:
    secret = {"LUTHIER_API_KEY": "sk-canary", "HF_TOKEN": "hf-canary"}
    settings = read_settings(_environment(tmp_path, **secret))
    save_settings(settings)
    assert "canary" not in (settings.home / "settings.json").read_text()
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LUTHIER_PORT", "99999"), ("LUTHIER_NETWORK", "maybe"), ("LUTHIER_MEMORY_LIMIT_GIB", "-1")],
)
def test_a_bad_value_names_its_variable(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(BadInput, match=variable):
        read_settings(_environment(tmp_path, **{variable: value}))


@pytest.mark.parametrize("content", ["{", "[1]", "\ud800"])
def test_a_broken_settings_file_is_named(tmp_path: Path, content: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "settings.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(BadInput, match=r"settings\.json"):
        read_settings(_environment(tmp_path))


def test_unknown_saved_keys_are_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "settings.json").write_text(json.dumps({"colour": "green", "brain": "guided"}))
    assert read_settings(_environment(tmp_path)).brain == "guided"


def test_offline_in_the_hubs_own_variable_means_no_network(tmp_path: Path) -> None:
    assert read_settings(_environment(tmp_path, HF_HUB_OFFLINE="1")).network == "never"


def test_a_worker_comes_to_the_same_home_and_stays_offline(tmp_path: Path) -> None:
    settings = read_settings(_environment(tmp_path, LUTHIER_NETWORK="never"))
    variables = settings.worker_environment()
    assert variables["LUTHIER_HOME"] == str(settings.home)
    assert variables["HF_HUB_OFFLINE"] == "1"
