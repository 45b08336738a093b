"""What a goal in words asks for moves the ranking, and what cannot be honoured is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tools.advise.aims import aims_of
from tools.advise.machines import parse_machine
from tools.advise.measured import MeasuredRun, against_matrix
from tools.advise.models import catalogue_entry, from_catalogue
from tools.advise.recommend import recommend
from tools.advise.situation import DataFacts, PastRun, Situation
from tools.advise.wanted import unwished


def situation(
    hardware: str = "24GB", *, kind: str = "chat", rows: int = 5_000, p95: int = 400,
    model: str | None = None, **more: Any,
) -> Situation:  # fmt: skip
    entry = catalogue_entry(model) if model else None
    return Situation(
        data=DataFacts(format=kind, rows=rows, p95_tokens=p95),
        machine=parse_machine(hardware),
        model=from_catalogue(entry) if entry else None,
        own_machine=False,
        **more,
    )


@pytest.mark.parametrize(
    ("goal", "aim"),
    [
        ("best possible quality", "quality"), ("quality is all that counts", "quality"),
        ("the highest accuracy", "quality"), ("whatever it costs", "quality"),
        ("as cheap as possible", "cost"), ("we have a tight budget", "cost"),
        ("spend less money", "cost"), ("with as little memory as possible", "memory"),
        ("our card is short of VRAM", "memory"), ("reduce gpu memory", "memory"),
        ("train few parameters", "few_params"), ("parameter-efficient please", "few_params"),
        ("several tasks on one base", "several"), ("one adapter per customer", "several"),
        ("it must run on a phone", "edge"), ("for Raspberry Pi", "edge"),
        ("a quick prototype", "speed"),
    ],
)  # fmt: skip
def test_aims_are_read_from_plain_words(goal: str, aim: str) -> None:
    assert aim in aims_of(goal)


@pytest.mark.parametrize(
    "goal",
    ["sort support tickets", "a chatbot",
     "summarise memory research papers", "translate cost reports"],
)  # fmt: skip
def test_a_task_is_no_aim(goal: str) -> None:
    assert aims_of(goal) == frozenset()


def test_little_memory_brings_qlora_and_both_editions_of_the_row() -> None:
    plain = recommend(situation(kind="classification", p95=60))
    asked = recommend(situation(kind="classification", p95=60, goal="smallest memory"))
    assert (plain.plans[0].method, asked.plans[0].method) == ("lora", "qlora")
    assert asked.plans[0].memory.high_gib < 0.6 * plain.plans[0].memory.high_gib
    row = next(row for row in asked.matrix if row.id == "memory")
    assert row.document()["changed"] == ["lora", "peft"]


def test_few_parameters_lower_the_rank_and_offer_ia3() -> None:
    plans = recommend(situation(goal="train few parameters")).plans
    assert plans[0].spec["rank"] == 4
    assert "ia3" in {plan.method for plan in plans}


def test_quality_takes_a_larger_model_and_says_where_it_departs_from_practice() -> None:
    plain = recommend(situation("80GB card")).plans[0]
    best = recommend(situation("80GB card", goal="best quality")).plans[0]
    assert best.model.parameters > plain.model.parameters
    assert any("departs from it" in reason.reason for reason in best.why)


def test_a_processor_is_not_given_a_model_it_serves_too_slowly() -> None:
    assert recommend(situation(target="onnx-cpu")).plans[0].model.billions <= 4.1
    assert recommend(situation(goal="must run on a phone")).plans[0].model.billions <= 2


@pytest.mark.parametrize("hardware", ["24GB", "16 GB laptop without gpu"])
@pytest.mark.parametrize("engine", ["fsdp", "zero3", "ddp"])
def test_an_engine_for_several_cards_is_refused_where_there_is_one(
    hardware: str, engine: str
) -> None:
    found = recommend(situation(hardware, preferences={"engine": engine}))
    assert found.plans[0].engine == "single"
    assert engine in {item.what for item in found.rejected}


def test_qlora_with_zero3_in_a_goal_keeps_qlora_and_cites_the_table() -> None:
    found = recommend(situation("4x24GB", model="llama 3.1 8b", goal="QLoRA with ZeRO-3"))
    assert (found.plans[0].method, found.plans[0].engine) == ("qlora", "ddp")
    clash = next(item for item in found.rejected if item.what == "qlora")
    assert "zero3" in clash.reason
    assert clash.source.startswith("compatibility table: ")


def test_what_a_goal_does_without_is_left_out() -> None:
    assert unwished("anything, but not QLoRA") == {"qlora"}
    found = recommend(situation("12GB", goal="without QLoRA"))
    assert "qlora" not in {plan.method for plan in found.plans}
    assert any(item.what == "qlora" and "asked" in item.reason for item in found.rejected)


def test_of_uneven_cards_the_most_useful_are_planned_with() -> None:
    found = recommend(situation("one 24GB and one 12GB card"))
    assert found.plans[0].engine == "single"
    assert 22 < found.plans[0].available_gib < 24
    assert any("differ in memory" in note for note in found.notes)


def test_a_model_that_reads_whole_rows_comes_first() -> None:
    first = recommend(situation(kind="summarization", p95=16_000)).plans[0]
    assert first.spec["max_length"] >= 16_000


def test_rows_that_are_cut_are_told() -> None:
    notes = recommend(situation(p95=4_000, model="gpt2")).notes
    assert any("cut at 1,024" in note for note in notes)


def test_too_little_time_is_told_with_what_it_is_enough_for() -> None:
    found = recommend(situation(rows=100_000, p95=1_000, minutes=30.0))
    assert any("30 minutes are enough for about" in note for note in found.notes)
    assert found.plans[0].spec["max_minutes"] == 30.0


def test_full_tuning_that_was_asked_for_may_keep_its_state_in_eight_bits() -> None:
    wished = situation(model="llama 3.2 1b", preferences={"method": "full"})
    first = recommend(wished).plans[0]
    assert (first.method, first.spec["optimizer"]) == ("full", "adamw_8bit")
    left_open = recommend(replace(wished, preferences={}))
    assert all(plan.spec["optimizer"] == "adamw" for plan in left_open.plans)


def test_verdicts_in_the_data_decide_the_objective() -> None:
    data = DataFacts(format="kto", task="preference", rows=900)
    assert recommend(replace(situation(), data=data)).plans[0].spec["objective"] == "kto"
    data = DataFacts(format="preference", task="reward", rows=900)
    found = recommend(replace(situation(), data=data))
    assert found.plans[0].spec["objective"] == "dpo"
    assert any("reward model" in note for note in found.notes)


def test_an_unknown_format_is_told() -> None:
    found = recommend(replace(situation(), data=DataFacts(format="holograms", rows=900)))
    assert any("holograms" in note for note in found.notes)


def test_own_good_runs_bring_a_method_that_is_not_an_everyday_one() -> None:
    runs = tuple(PastRun(f"r{i}", "miss", "chat", "ship", 0.3) for i in range(5))
    assert recommend(situation(history=runs)).plans[0].method == "miss"


ALIKE = ("model", 8, 512)


def test_a_measurement_that_contradicts_a_cell_is_said() -> None:
    runs = (MeasuredRun("a", "full", ALIKE, 2.0, 100.0), MeasuredRun("b", "lora", ALIKE, 2.6, 60.0))
    memory = against_matrix(runs, "memory", "lora", "yes")
    assert memory is not None
    assert "contradicts" in memory.reason
    assert memory.source == "your runs: b, a"
    cost = against_matrix(runs, "cost", "lora", "yes")
    assert cost is not None
    assert "agrees" in cost.reason
    found = recommend(situation("80GB card", goal="least memory", measured=runs))
    lora = next(plan for plan in found.plans if plan.method == "lora")
    assert any("contradicts" in reason.reason for reason in lora.why)


def test_runs_that_are_not_alike_or_within_noise_say_nothing() -> None:
    full = MeasuredRun("a", "full", ALIKE, 2.0, 100.0)
    other = MeasuredRun("b", "lora", ("other",), 9.0, 100.0)
    equal = MeasuredRun("c", "lora", ALIKE, 2.02, 100.0)
    assert against_matrix((full, other, equal), "memory", "lora", "yes") is None
    assert against_matrix((full, equal), "nlp", "lora", "yes") is None


def test_preferences_are_learned_at_a_tenth_of_the_rate() -> None:
    plain = recommend(situation(model="qwen2.5 7b")).plans[0].spec["learning_rate"]
    pairs = recommend(situation(kind="preference", model="qwen2.5 7b")).plans[0]
    assert pairs.spec["learning_rate"] == pytest.approx(0.1 * plain)
    assert any("tenth" in reason.reason for reason in pairs.why)


def test_a_risk_of_the_compatibility_table_is_told_with_the_plan() -> None:
    first = recommend(situation("8xA100 80GB", model="mixtral 8x7b")).plans[0]
    risk = next(reason for reason in first.why if reason.choice == "risk")
    assert "experts" in risk.reason
    assert "qlora" not in {plan.method for plan in recommend(situation(model="mixtral")).plans}


def test_tags_for_a_text_model_file_are_planned_as_answers_and_that_is_told() -> None:
    tagged = situation(kind="token_classification")
    assert recommend(tagged).plans[0].spec["objective"] == "token_classification"
    found = recommend(replace(tagged, target="onnx-cpu"))
    assert found.plans[0].spec["objective"] == "prompt_completion"
    assert any("entities as the answer" in note for note in found.notes)


def test_long_plain_texts_are_parted_and_not_cut() -> None:
    found = recommend(situation(kind="text", rows=12, p95=30_000))
    assert found.plans[0].spec["max_length"] == 2_048
    assert found.plans[0].model.billions > 3
    assert not any("cut at" in note for note in found.notes)
    short = recommend(situation(kind="text", rows=12, p95=2_000))
    assert found.plans[0].duration.expected > 5 * short.plans[0].duration.expected


def test_needs_that_no_model_meets_are_named() -> None:
    found = recommend(situation(target="hosted", licence="apache-2.0"))
    assert found.plans == []
    assert "apache-2.0 and the target hosted" in found.rejected[0].reason


def test_a_wish_against_itself_is_told() -> None:
    found = recommend(situation(goal="without QLoRA", preferences={"method": "qlora"}))
    assert found.plans[0].method != "qlora"
    assert any("asked for and refused" in note for note in found.notes)


def test_a_model_that_must_be_fetched_is_told_where_the_network_is_off() -> None:
    here = replace(situation(), own_machine=True, offline=True)
    assert any("must be fetched" in note for note in recommend(here).notes)
    assert not any("must be fetched" in n for n in recommend(replace(here, offline=False)).notes)


def test_a_plan_over_several_machines_says_how_many_and_how_many_processes_each() -> None:
    spec = recommend(situation("2 nodes with 8 H100 each", model="llama 3.1 70b")).plans[0].spec
    assert (spec["processes"], spec["nodes"]) == (8, 2)
    alone = recommend(situation("24GB")).plans[0].spec
    assert (alone["processes"], alone["nodes"]) == (1, 1)
