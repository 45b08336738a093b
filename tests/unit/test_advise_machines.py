"""Machines that people describe are understood, and nonsense is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tools.advise import hardware
from tools.advise.hardware import Gpu, this_machine
from tools.advise.machines import machine_with_card, parse_machine
from tools.errors import BadInput
from tools.settings import Settings

CARDS = [
    ("two 24 GB cards", 2, 24),
    ("2x24GB", 2, 24),
    ("2 x 24 GB", 2, 24),
    ("an A10 in the cloud", 1, 24),
    ("24GB", 1, 24),
    ("4xA100-80GB", 4, 80),
    ("4 x A100 80GB", 4, 80),
    ("A100 40GB x 2", 2, 40),
    ("8xH100", 8, 80),
    ("a couple of 4090s", 2, 24),
    ("dual 3090", 2, 24),
    ("RTX4090", 1, 24),
    ("RTX 3060 12GB", 1, 12),
    ("my gaming pc with a 3080", 1, 10),
    ("Tesla V100 32GB", 1, 32),
    ("40GB A100", 1, 40),
    ("1 x H100 (80 GB)", 1, 80),
    ("4 gpus with 24 GB each", 4, 24),
    ("a GPU with 16 GB memory", 1, 16),
    ("8 GB vram", 1, 8),
    ("an 8 GB card", 1, 8),
    ("2 nodes with 8 H100 each", 16, 80),
    ("one T4 on colab", 1, 16),
    ("GTX 1650 4GB", 1, 4),
    ("free Colab", 1, 16),
    ("a Kaggle notebook", 2, 16),
    ("g5.xlarge", 1, 24),
    ("p4d.24xlarge", 8, 40),
    ("Standard_NC24ads_A100_v4", 1, 80),
]
PLAIN = [
    ("16 GB laptop without gpu", 16),
    ("CPU only, 32 GB RAM", 32),
    ("macbook pro m3 with 36GB", 36),
    ("my laptop has no graphics card and 8 gigs of ram", 8),
    ("a machine with 8 GB", 8),
    ("64 GB of RAM", 64),
    ("raspberry pi 5 8gb", 8),
    ("Snapdragon laptop with NPU and 16 GB RAM", 16),
]


@pytest.mark.parametrize(("words", "count", "gigabytes"), CARDS)
def test_cards_are_understood(words: str, count: int, gigabytes: float) -> None:
    gpus = parse_machine(words).gpus
    assert len(gpus) == count
    assert all(0.94 * gigabytes < gpu.memory_gib <= gigabytes for gpu in gpus)


@pytest.mark.parametrize(("words", "gigabytes"), PLAIN)
def test_machines_without_a_card_are_understood(words: str, gigabytes: float) -> None:
    machine = parse_machine(words)
    assert machine.gpus == ()
    assert machine.memory_gib == gigabytes


def test_memory_of_the_machine_and_of_the_card_are_told_apart() -> None:
    machine = parse_machine("laptop with an RTX 4060 and 16 GB RAM")
    assert machine.memory_gib == 16
    assert [gpu.name for gpu in machine.gpus] == ["RTX 4060"]


@pytest.mark.parametrize(
    "words", ["quantum toaster", "half a GPU", "0x24GB", "-5 GB", "999999 TB", "laptop", " ", "?"]
)
def test_absurd_hardware_is_refused_with_an_example(words: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_machine(words)
    assert "2x24GB" in caught.value.hint


def test_what_was_assumed_is_said() -> None:
    notes = " ".join(parse_machine("an A100").notes)
    assert "40 or 80" in notes
    assert "assumed" in notes


def test_memory_gb_is_the_size_as_people_say_it() -> None:
    assert 23 < machine_with_card(24).gpus[0].memory_gib < 24


def test_cards_before_ampere_have_no_bfloat16() -> None:
    assert not parse_machine("T4").gpus[0].bfloat16
    assert parse_machine("A10").gpus[0].bfloat16


@pytest.mark.parametrize(
    ("version", "cards"), [("2.13.0+cpu", 0), ("2.13.0", 1), ("2.13+cu130", 1)]
)
def test_a_card_counts_only_where_pytorch_can_use_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, version: str, cards: int
) -> None:
    card = Gpu("NVIDIA A10", 22.5, 22.0, (8, 6))
    monkeypatch.setattr(hardware, "_gpus", lambda: ((card,), ""))
    monkeypatch.setattr(hardware.metadata, "version", lambda _: version)
    machine = this_machine(settings)
    assert len(machine.gpus) == cards
    assert bool(cards) != any("built for processors only" in note for note in machine.notes)


def test_this_machine_respects_the_limit_of_the_settings(settings: Settings) -> None:
    limited = settings.model_copy(update={"memory_limit_gib": 0.5})
    assert this_machine(limited).usable_gib("cpu") <= 0.5
    assert this_machine(settings).usable_gib("cpu") > 0.5


def test_a_limit_in_the_settings_holds_for_a_card_as_well() -> None:
    machine = parse_machine("24GB")
    limited = replace(machine, memory_gib=8.0, limited=True)
    assert limited.usable_gib("cuda") == 8.0
    assert machine.usable_gib("cuda") > 20


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("AMD MI300X", "an AMD card"), ("Radeon RX 7900 XTX 24GB", "an AMD card"),
        ("TPU v3-8", "a TPU"), ("Intel Arc A770 16GB", "an Intel card"), ("an NPU", "an NPU"),
    ],
)  # fmt: skip
def test_what_cannot_train_here_is_named(words: str, named: str) -> None:
    with pytest.raises(BadInput, match=named) as caught:
        parse_machine(words)
    assert "without a GPU" in caught.value.hint


def test_a_number_in_other_notation_is_not_half_read() -> None:
    with pytest.raises(BadInput):
        parse_machine("1e9 GB gpu")
