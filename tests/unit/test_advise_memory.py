"""The instant estimate: parts that add up, exact where the step was traced, fast."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tools.advise.architecture import shape_of
from tools.advise.lengths import Lengths, from_counts
from tools.advise.memory import RECIPES, Workload, estimate_memory
from tools.advise.models import catalogue_entry, from_catalogue
from tools.advise.processor import step_of

GIB = 2**30


def work(model: str = "meta-llama/Llama-3.2-1B", **changes: object) -> Workload:
    entry = catalogue_entry(model)
    assert entry is not None
    base = Workload(
        shape=from_catalogue(entry).shape, method="lora", batch=4, length=1024,
        precision="bfloat16", device="cuda",
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "checkpointing", "traced_gib"),
    [("lora", True, 8.579), ("dora", True, 8.583), ("qlora", True, 7.234), ("full", False, 30.440)],
)
def test_arithmetic_agrees_with_the_exact_trace(
    method: str, checkpointing: bool, traced_gib: float
) -> None:
    """Traced with tools/work/trace.py: Llama-3.2-1B, 4 × 1,024 tokens, bfloat16, AdamW."""
    memory = estimate_memory(work(method=method, checkpointing=checkpointing))
    allocated = memory.expected_gib - RECIPES["luthier"].fixed_gib
    assert allocated == pytest.approx(traced_gib, rel=0.04)


@pytest.mark.parametrize("method", ["lora", "qlora", "dora", "full", "ia3", "prompt_tuning"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_parts_add_up_and_the_band_holds_the_expected(method: str, device: str) -> None:
    memory = estimate_memory(work(method=method, device=device))
    assert sum(memory.parts.values()) == pytest.approx(memory.expected_gib)
    assert memory.low_gib < memory.expected_gib < memory.high_gib
    assert memory.high_gib <= 1.25 * memory.expected_gib
    assert memory.low_gib >= 0.75 * memory.expected_gib


@pytest.mark.parametrize(
    "more", [{"batch": 8}, {"length": 2048}, {"rank": 64}, {"method": "full"}, {"method": "dora"}]
)
def test_more_work_never_takes_less_memory(more: dict[str, object]) -> None:
    assert estimate_memory(work(**more)).expected_gib > estimate_memory(work()).expected_gib


@pytest.mark.parametrize("less", [{"checkpointing": True}, {"method": "qlora"}])
def test_what_saves_memory_saves_it(less: dict[str, object]) -> None:
    base = work("meta-llama/Meta-Llama-3.1-8B")
    assert estimate_memory(replace(base, **less)).expected_gib < (  # type: ignore[arg-type]
        estimate_memory(base).expected_gib
    )


@pytest.mark.parametrize("engine", ["zero2", "zero3", "fsdp"])
def test_sharing_the_state_out_takes_less_on_each_card(engine: str) -> None:
    whole = estimate_memory(work(method="full", engine="ddp", gpus=4))
    shared = estimate_memory(work(method="full", engine=engine, gpus=4))
    assert shared.expected_gib < whole.expected_gib


def test_full_tuning_of_8b_needs_more_than_a_card_of_80_gb() -> None:
    memory = estimate_memory(work("meta-llama/Meta-Llama-3.1-8B", method="full"))
    assert memory.low_gib > 80
    assert memory.verdict(77.6) == "does not fit"


def test_the_verdict_uses_the_high_end() -> None:
    memory = estimate_memory(work())
    between = (memory.expected_gib + memory.high_gib) / 2
    assert memory.verdict(between) == "does not fit"
    assert memory.verdict(1.05 * memory.high_gib) == "tight"
    assert memory.verdict(2 * memory.high_gib) == "fits"


def test_an_estimate_takes_less_than_ten_milliseconds() -> None:
    estimate_memory(work())
    began = time.process_time()
    for _ in range(20):
        estimate_memory(work())
    assert (time.process_time() - began) / 20 < 0.010


def test_published_measurements_are_met(material: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The half of the rows that no constant was chosen on; every exclusion has its reason."""
    from tests.benchmarks.gpu_memory import rows, score

    monkeypatch.setitem(os.environ, "LUTHIER_MATERIAL", str(material))
    scored, reasons = score()
    assert len(scored) + sum(reasons.values()) == len(rows())
    reported = [s for s in scored if s.number % 2]
    assert len(reported) >= 60
    assert sum(abs(s.error) for s in reported) / len(reported) <= 0.10
    assert sum(s.measured > s.high for s in reported) <= 0.02 * len(reported)


def test_measured_runs_on_a_processor_are_met(
    material: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What whole workers took: tests/benchmarks/results/cpu_memory.csv."""
    from tests.benchmarks.cpu_memory import kept, predict

    monkeypatch.setitem(os.environ, "LUTHIER_MATERIAL", str(material))
    pairs = [(run.measured_gib, predict(run)) for run in kept()]
    assert len(pairs) >= 20
    assert sum(abs(m.expected_gib / peak - 1) for peak, m in pairs) / len(pairs) <= 0.06
    assert not [peak for peak, m in pairs if peak > m.high_gib]


@pytest.mark.parametrize(
    ("method", "dropout", "floats_a_layer"),
    [("lora", 0.0, 10_818), ("lora", 0.1, 17_474), ("dora", 0.0, 21_065), ("dora", 0.1, 27_721)],
)
def test_what_a_layer_keeps_on_a_processor_agrees_with_the_exact_trace(
    method: str, dropout: float, floats_a_layer: int
) -> None:
    """Traced with tools/work/trace.py in float32: the difference of 4 layers and of 2, a token."""
    config = {
        "model_type": "llama", "hidden_size": 512, "intermediate_size": 1536,
        "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 32000,
        "max_position_embeddings": 1024, "tie_word_embeddings": False,
    }  # fmt: skip
    kept = [
        step_of(
            Workload(
                shape=shape_of({**config, "num_hidden_layers": layers}), method=method, batch=4,
                length=512, rank=8, dropout=dropout,
            )
        ).kept
        for layers in (2, 4)
    ]  # fmt: skip
    assert (kept[1] - kept[0]) / 2 / 4 / (4 * 512) == pytest.approx(floats_a_layer, rel=0.01)


def test_dropout_and_a_written_out_activation_take_more_on_a_processor() -> None:
    llama = work(device="cpu", precision="float32")
    assert estimate_memory(replace(llama, dropout=0.1)).expected_gib > (
        estimate_memory(llama).expected_gib
    )
    gpt2 = {"model_type": "gpt2", "n_embd": 768, "n_layer": 4, "n_head": 12, "vocab_size": 50257}
    kept = [
        step_of(Workload(shape=shape_of({**gpt2, "n_layer": n}), method="lora", batch=4,
                         length=256, rank=8, dropout=0.1)).kept
        for n in (2, 4)
    ]  # fmt: skip
    assert (kept[1] - kept[0]) / 2 / 4 / (4 * 256) == pytest.approx(37_670, rel=0.03)


def test_several_processes_on_a_processor_add_up() -> None:
    alone = estimate_memory(work(device="cpu", precision="float32"))
    two = estimate_memory(work(device="cpu", precision="float32", engine="ddp", gpus=2))
    assert two.expected_gib > 1.9 * alone.expected_gib


def test_pairs_of_answers_take_twice_the_activations() -> None:
    one = estimate_memory(work()).parts
    pair = estimate_memory(work(objective="dpo")).parts
    assert pair["activations"] == pytest.approx(2 * one["activations"])
    assert pair["logits"] == pytest.approx(2 * one["logits"])


def test_a_head_of_classes_needs_no_logits_of_the_vocabulary() -> None:
    head = estimate_memory(work(objective="sequence_classification", classes=7))
    assert head.parts.get("logits", 0.0) < 0.001


def test_a_cut_row_is_trained_on_a_larger_share_of_what_is_left() -> None:
    lengths = from_counts([100, 400], measured=True, shares=[0.2, 0.2])
    assert lengths.answer_share(400) == pytest.approx(0.22)
    assert lengths.answer_share(100) == pytest.approx(0.82)
    assert lengths.answer_share(50) == 1.0


def test_packed_rows_of_different_lengths_take_what_they_fill() -> None:
    lengths = Lengths(
        mean=75, p95=100, p99=100, longest=100, measured=True,
        rows=tuple((tokens, 0.2) for tokens in (100, 50, 50, 50)),
    )  # fmt: skip
    assert lengths.fill(1, 100, 4) == 1.0
    assert lengths.fill(4, 100, 4) == pytest.approx(0.625)
    assert lengths.fill(4, 50, 4) == 1.0
    assert lengths.fill(4, 100, 400) == 1.0, "one row looked at stands for a hundred"
    whole = step_of(work(device="cpu", precision="float32"))
    half = step_of(work(device="cpu", precision="float32", fill=0.5))
    assert half.live == pytest.approx(0.5 * whole.live)
