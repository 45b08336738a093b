"""The exact trace runs the real step in a process of its own, and is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.advise import exact
from tools.advise.architecture import shape_of
from tools.advise.capabilities import estimate_resources
from tools.advise.memory import RECIPES, Workload, estimate_memory
from tools.context import Context
from tools.errors import Unavailable

pytestmark = pytest.mark.integration

CONFIG: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 4096,
    "max_position_embeddings": 1024, "tie_word_embeddings": True,
}  # fmt: skip


def work(**changes: Any) -> Workload:
    values: dict[str, Any] = {
        "shape": shape_of(CONFIG), "method": "lora", "batch": 4, "length": 512, "rank": 8,
        "precision": "bfloat16", "device": "cuda", "checkpointing": True,
    }  # fmt: skip
    return Workload(**{**values, **changes})


def test_the_trace_agrees_with_arithmetic_and_is_made_once(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = exact.trace(ctx, work(), CONFIG)
    instant = estimate_memory(work())
    fixed = RECIPES["luthier"].fixed_gib
    assert traced.expected_gib - fixed == pytest.approx(instant.expected_gib - fixed, rel=0.15)
    assert sum(traced.parts.values()) == pytest.approx(traced.expected_gib)

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("traced again")

    monkeypatch.setattr(exact.subprocess, "run", never)
    assert exact.trace(ctx, work(), CONFIG) == traced


def test_a_step_that_cannot_be_traced_says_so(ctx: Context) -> None:
    with pytest.raises(Unavailable, match="failed"):
        exact.trace(ctx, work(), {**CONFIG, "model_type": "no-such-family"})


def test_a_folder_with_a_config_alone_is_traced_from_the_command(
    ctx: Context, tmp_path: Path
) -> None:
    folder = tmp_path / "only-config"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    report = estimate_resources(
        model=str(folder), method="lora", max_length=256, batch_size=2, rank=8,
        gradient_checkpointing="on", hardware="24GB", exact=True, ctx=ctx,
    )  # fmt: skip
    document = report.document()
    assert {"low", "expected", "high", "parts"} <= set(document["memory_gib"])
    assert document["verdict"] == "fits"
    assert "traced" in document["basis"]
