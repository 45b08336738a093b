"""A wish becomes a complete plan that fits, or is refused with the nearest that does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tools.advise import choices, hardware, ledger, spreading
from tools.advise.plan import Plan, PlanRequest, compile_plan
from tools.context import Context
from tools.errors import BadInput, NotFound, Refused
from tools.history.spec import plan_hash

ROWS = 240
LABELS = ("billing", "delivery", "other")


@pytest.fixture
def tickets(tmp_path: Path) -> str:
    """A small CSV of texts and labels."""
    lines = ["text,label"]
    for i in range(ROWS):
        lines.append(f"Ticket number {i} says that item {i * 7 % 31} is {i % 11} days late,"
                     f"{LABELS[i % 3]}")  # fmt: skip
    (tmp_path / "tickets.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return "tickets.csv"


@pytest.fixture(autouse=True)
def _with_deepspeed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with the extra `deepspeed`, whatever is installed here."""
    monkeypatch.setattr(spreading, "has_deepspeed", lambda: True)


def plan_for(ctx: Context, path: str, **wishes: Any) -> Plan:
    return compile_plan(ctx, PlanRequest(path=path, **wishes))


def model_folder(tmp_path: Path, **changes: Any) -> str:
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
        "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
        **changes,
    }  # fmt: skip
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    return "./large"


def test_nothing_wished_gives_a_complete_plan_for_the_starter(ctx: Context, tickets: str) -> None:
    plan = plan_for(ctx, tickets)
    assert plan.spec.model == "starter"
    assert plan.spec.method == "lora"
    assert plan.spec.dataset_fingerprint == plan.manifest.fingerprint
    assert set(plan.spec.labels) == set(LABELS)
    assert plan.memory.low_gib < plan.memory.expected_gib < plan.memory.high_gib
    assert plan.verdict == "fits"
    assert plan.duration.low < plan.duration.expected < plan.duration.high
    assert plan.disk_gib > 0
    assert all(reason.source for reason in plan.why)


def test_the_card_of_the_starter_decides_what_was_left_open(ctx: Context, tickets: str) -> None:
    plan = plan_for(ctx, tickets)
    card = plan.model.recommended
    assert plan.spec.learning_rate == pytest.approx(card["learning_rate"])
    assert plan.spec.rank == card["rank"]


WISHES: dict[str, Any] = {
    "method": "dora", "rank": 8, "alpha": 24, "dropout": 0.1, "epochs": 2.0,
    "learning_rate": 0.0007, "batch_size": 4, "gradient_accumulation": 2, "max_length": 64,
    "weight_decay": 0.02, "seed": 5, "gradient_checkpointing": True, "goal": "sort tickets",
}  # fmt: skip


def test_every_wish_is_honoured_exactly(ctx: Context, tickets: str) -> None:
    spec = plan_for(ctx, tickets, **WISHES, minutes=30).spec
    for name, value in WISHES.items():
        assert getattr(spec, name) == value, name
    assert spec.max_minutes == 30


PASSED: dict[str, Any] = {
    "loss": "focal", "loss_weight": 2.0, "batching": "packed", "quantization": "none",
    "initialisation": "pissa", "optimizer": "adamw_8bit", "probe": False, "warmup_ratio": 0.1,
    "lr_scheduler": "linear", "modules_to_save": ("lm_head",), "target_modules": ("q_proj",),
    "objective": "sequence_classification", "attention": "eager",
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), PASSED.items(), ids=PASSED)
def test_every_other_wish_reaches_the_spec(
    ctx: Context, tickets: str, name: str, value: Any
) -> None:
    assert getattr(plan_for(ctx, tickets, method="lora", **{name: value}).spec, name) == value


def test_what_was_wished_and_what_was_chosen_have_a_reason(ctx: Context, tickets: str) -> None:
    plan = plan_for(ctx, tickets, loss="focal", batching="packed")
    said = {reason.choice: reason for reason in plan.why}
    assert "1708.02002" in said["loss focal"].source
    assert "you asked" in said["batching packed"].reason
    assert any("cosine" in choice for choice in said)
    assert all(reason.reason and reason.source for reason in plan.why)


def test_an_engine_shares_the_batch_out_over_its_processes(ctx: Context, tickets: str) -> None:
    alone = plan_for(ctx, tickets).spec
    spec = plan_for(ctx, tickets, engine="ddp", processes=2).spec
    assert (spec.engine, spec.processes) == ("ddp", 2)
    assert spec.batch_size * spec.gradient_accumulation * 2 == (
        alone.batch_size * alone.gradient_accumulation
    )


def test_methods_with_other_rates_than_lora_get_them(ctx: Context, tickets: str) -> None:
    lora = plan_for(ctx, tickets, method="lora").spec.learning_rate
    plan = plan_for(ctx, tickets, method="prompt_tuning")
    assert plan.spec.learning_rate > 3 * lora
    assert any("prompt tuning" in reason.source for reason in plan.why)


@pytest.mark.parametrize(("name", "value"), [("eval_fraction", 0.25), ("dedupe", False)])
def test_wishes_about_the_data_reach_the_data(
    ctx: Context, tickets: str, name: str, value: Any
) -> None:
    plan = plan_for(ctx, tickets, **{name: value})
    assert getattr(plan.spec, name) == value
    assert plan.manifest.options[name] == value


def test_only_the_rank_wished_moves_alpha_with_it(ctx: Context, tickets: str) -> None:
    assert plan_for(ctx, tickets, rank=8).spec.alpha == 16


def test_the_same_wish_gives_the_same_plan(ctx: Context, tickets: str) -> None:
    first, second = (plan_for(ctx, tickets, epochs=2) for _ in range(2))
    assert plan_hash(first.spec) == plan_hash(second.spec)


def test_no_row_is_cut_where_none_is_an_outlier(ctx: Context, tickets: str) -> None:
    plan = plan_for(ctx, tickets)
    assert plan.spec.max_length <= plan.model.context_length
    assert not any("cut" in warning for warning in plan.warnings)


def test_rows_that_will_be_cut_are_told(ctx: Context, tickets: str) -> None:
    plan = plan_for(ctx, tickets, max_length=16)
    assert plan.spec.max_length == 16
    assert any("cut" in warning for warning in plan.warnings)


def test_what_the_person_fixed_may_not_change_later(ctx: Context, tickets: str) -> None:
    assert "batch_size" in plan_for(ctx, tickets).spec.may_change
    assert "batch_size" not in plan_for(ctx, tickets, batch_size=4).spec.may_change


def test_a_time_budget_shortens_what_was_left_open(ctx: Context, tickets: str) -> None:
    long = plan_for(ctx, tickets, max_steps=None)
    short = plan_for(ctx, tickets, minutes=0.3)
    assert short.spec.epochs < long.spec.epochs
    assert plan_for(ctx, tickets, minutes=0.3, epochs=5).spec.epochs == 5


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"method": "full", "rank": 8}, "no rank"),
        ({"method": "full", "alpha": 8, "dropout": 0.1}, "alpha and dropout"),
        ({"max_length": 100_000}, "reads at most"),
        ({"device": "cuda"}, "no NVIDIA GPU"),
        ({"target_modules": "c_attn"}, "no module called c_attn"),
        ({"method": "full", "quantization": "nf4"}, "cannot train quantised"),
        ({"engine": "single", "processes": 2}, "one process, not 2"),
        ({"engine": "zero3", "processes": 1}, "here is one"),
        ({"initialisation": "magic"}, "no initialisation"),
        ({"method": "vera", "rank": 8, "initialisation": "pissa"}, "no initialisation"),
        ({"method": "prompt_tuning", "rank": 8}, "no rank"),
        ({"method": "oft", "quantization": "nf4"}, "beside a quantised base"),
        ({"modules_to_save": ("no_such_module",)}, "no module called no_such_module"),
        ({"rank": 512}, "256 is full"),
        ({"rank": 300, "method": "dora", "target_modules": ("q_proj",)}, "is full"),
    ],
)
def test_contradictory_wishes_are_refused_before_the_data_is_read(
    ctx: Context, wishes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "_gpus", lambda: ((), ""))
    with pytest.raises(Refused, match=words) as caught:
        plan_for(ctx, "there-is-no-such-file.csv", **wishes)
    assert caught.value.refused_by == "preflight"
    assert caught.value.hint


@pytest.mark.parametrize("engine", ["zero1", "zero2", "zero3"])
def test_zero_without_deepspeed_is_refused_before_the_data_is_read(
    ctx: Context, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreading, "has_deepspeed", lambda: False)
    with pytest.raises(Refused, match="needs DeepSpeed, which is not installed") as caught:
        plan_for(ctx, "there-is-no-such-file.csv", engine=engine, processes=2)
    assert caught.value.refused_by == "preflight"
    assert "pip install 'luthier[deepspeed]'" in caught.value.hint


def test_zero_is_not_chosen_where_it_cannot_run(
    ctx: Context, tickets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The weights alone are more than one card holds.
    cards = tuple(hardware.Gpu("card", 14.0, 13.5, (8, 9)) for _ in range(2))
    monkeypatch.setattr(hardware, "_gpus", lambda: (cards, ""))
    monkeypatch.setattr(hardware, "_torch_reaches_gpus", lambda: True)
    wishes = {"model": model_folder(tmp_path), "method": "lora", "max_length": 256}
    engines = []
    for there in (True, False):
        monkeypatch.setattr(choices, "has_deepspeed", lambda there=there: there)
        engines.append(plan_for(ctx, tickets, **wishes).spec.engine)
    assert engines == ["zero3", "fsdp"]


def test_a_target_that_the_model_cannot_reach_is_refused_before_training(
    ctx: Context, tmp_path: Path
) -> None:
    gpt2 = {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 768, "n_head": 12,
        "n_layer": 12, "n_positions": 1024, "vocab_size": 50257,
    }  # fmt: skip
    folder = tmp_path / "gpt2"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(gpt2), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(Refused, match="onnx-cpu") as caught:
        plan_for(ctx, "missing.csv", model="./gpt2", target="onnx-cpu")
    assert "SmolLM2-135M" in caught.value.hint


def test_an_unknown_method_names_the_known(ctx: Context) -> None:
    with pytest.raises(BadInput) as caught:
        plan_for(ctx, "x.csv", method="magic")
    assert "full, lora, dora and qlora" in caught.value.hint
    with pytest.raises(BadInput) as caught:
        plan_for(ctx, "x.csv", method="lorra")
    assert "Did you mean lora?" in caught.value.hint


def test_a_machine_without_cards_is_told_once(ctx: Context) -> None:
    with pytest.raises(Refused) as caught:
        plan_for(ctx, "x.csv", device="cuda")
    assert caught.value.problem == "There is no NVIDIA GPU on this machine."


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"method": "prompt_tuning", "target": "onnx-cpu"}, "cannot be merged"),
        ({"method": "qlora", "engine": "zero3", "processes": 2}, "ZeRO-3"),
        ({"engine": "fsdp", "processes": 2}, "FSDP"),
        ({"attention": "flash"}, "FlashAttention"),
        ({"optimizer": "paged_adamw_8bit"}, "card"),
        ({"objective": "dpo"}, "chosen and a rejected"),
        ({"objective": "sequence_classification", "target": "onnx-cpu"}, "heads"),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_does(
    ctx: Context, tickets: str, wishes: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused, match=words) as caught:
        plan_for(ctx, tickets, **wishes)
    assert caught.value.refused_by == "preflight"
    assert caught.value.hint


def test_a_model_that_does_not_fit_is_refused_with_what_does(
    ctx: Context, tickets: str, tmp_path: Path
) -> None:
    small = ctx.with_(settings=ctx.settings.model_copy(update={"memory_limit_gib": 4.0}))
    with pytest.raises(Refused, match=r"4\.0 GiB can be used") as caught:
        plan_for(small, tickets, model=model_folder(tmp_path))
    assert caught.value.refused_by == "memory"
    assert caught.value.hint


def test_what_would_fit_is_named(ctx: Context, tickets: str, tmp_path: Path) -> None:
    folder = model_folder(
        tmp_path, hidden_size=1024, intermediate_size=4096, num_hidden_layers=24,
        num_attention_heads=16, vocab_size=32000,
    )  # fmt: skip
    small = ctx.with_(settings=ctx.settings.model_copy(update={"memory_limit_gib": 4.5}))
    with pytest.raises(Refused) as caught:
        plan_for(small, tickets, model=folder, method="full", batch_size=64, max_length=512)
    assert "fits with" in caught.value.hint


def test_short_memory_makes_the_batch_smaller_not_the_method_other(
    ctx: Context, tickets: str
) -> None:
    roomy = plan_for(ctx, tickets, method="lora").spec
    tight = ctx.with_(settings=ctx.settings.model_copy(update={"memory_limit_gib": 0.8}))
    spec = plan_for(tight, tickets, method="lora").spec
    assert spec.method == "lora"
    assert spec.batch_size < roomy.batch_size or spec.gradient_checkpointing
    assert spec.batch_size * spec.gradient_accumulation == roomy.batch_size


def test_a_full_disk_is_refused(
    ctx: Context, tickets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tools.advise import feasible

    monkeypatch.setattr(feasible, "disk_free_gib", lambda _: 0.01)
    with pytest.raises(Refused, match="disk") as caught:
        plan_for(ctx, tickets)
    assert caught.value.refused_by == "disk"


def test_a_missing_file_is_not_found(ctx: Context) -> None:
    with pytest.raises(NotFound):
        plan_for(ctx, "missing.csv")


def test_measured_runs_correct_the_next_estimate(ctx: Context, tickets: str) -> None:
    before = plan_for(ctx, tickets).memory.expected_gib
    store = ctx.store
    for i in range(6):
        factor = ledger.correction(ctx, ledger.MEMORY)
        store.record_prediction(
            f"job-{i}", ledger.MEMORY, predicted=before * factor, measured=before * 1.1, unit="GiB"
        )
    after = plan_for(ctx, tickets).memory
    assert 1.05 * before < after.expected_gib < 1.101 * before
    assert "own runs" in after.basis


def test_a_steady_error_is_learned_once_and_does_not_swing(ctx: Context) -> None:
    factors = []
    for i in range(12):
        factors.append(ledger.correction(ctx, ledger.DURATION))
        ctx.store.record_prediction(
            f"job-{i}", ledger.DURATION, predicted=100 * factors[-1], measured=150, unit="s"
        )
    assert factors == sorted(factors)
    assert 1.35 < ledger.correction(ctx, ledger.DURATION) <= 1.5


def test_modules_that_the_model_has_may_be_trained_whole(ctx: Context, tickets: str) -> None:
    wished = ("lm_head", "embed_tokens", "norm", "model.norm")
    assert plan_for(ctx, tickets, modules_to_save=wished).spec.modules_to_save == wished


def test_a_rank_as_large_as_the_matrices_is_planned(ctx: Context, tickets: str) -> None:
    assert plan_for(ctx, tickets, rank=256).spec.rank == 256
    assert plan_for(ctx, tickets, method="vera", rank=512).spec.rank == 512


def test_too_many_processes_for_the_memory_are_told_together(ctx: Context, tickets: str) -> None:
    with pytest.raises(Refused, match="200 processes of this run together") as caught:
        plan_for(ctx, tickets, engine="ddp", processes=200)
    assert re.search(r"fits with \d+ processes", caught.value.hint)
