"""The time of a plan counts what is read, asked and answered; a plan is long enough to learn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tools.advise import ledger
from tools.advise.duration import STARTUP_S
from tools.advise.plan import Plan, PlanRequest, compile_plan
from tools.context import Context

ROWS = 240


def plan_for(ctx: Context, path: str, **wishes: Any) -> Plan:
    return compile_plan(ctx, PlanRequest(path=path, **wishes))


def test_runs_that_were_all_start_up_say_nothing_of_the_pace(ctx: Context) -> None:
    for i in range(12):
        ctx.store.record_prediction(
            f"job-{i}", ledger.DURATION, predicted=STARTUP_S + 0.5, measured=4.0, unit="s"
        )
    assert ledger.correction(ctx, ledger.DURATION) > 0.7


def _answers_of(tmp_path: Path, words: int, rows: int = ROWS) -> str:
    answer = " ".join(["word"] * words)
    lines = [json.dumps({"prompt": f"Tell me of number {i}", "completion": f"{i} {answer}"})
             for i in range(rows)]  # fmt: skip
    (tmp_path / f"{words}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return f"{words}.jsonl"


def test_answers_that_the_verdict_asks_for_take_time(ctx: Context, tmp_path: Path) -> None:
    short = plan_for(ctx, _answers_of(tmp_path, 1), max_steps=2, max_length=128)
    long = plan_for(ctx, _answers_of(tmp_path, 40), max_steps=2, max_length=128)
    assert long.duration.expected > short.duration.expected


def test_learning_from_rewards_counts_the_answers_that_are_drawn(
    ctx: Context, tmp_path: Path
) -> None:
    path = _answers_of(tmp_path, 5)
    plain = plan_for(ctx, path, max_steps=50)
    drawn = plan_for(ctx, path, max_steps=50, objective="grpo")
    assert drawn.duration.expected > plain.duration.expected + 10


def test_pairs_are_read_twice_and_their_reference_once(ctx: Context, tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": f"Number {i}?", "chosen": f"yes, number {i} it is",
                         "rejected": f"no, number {i} is not"}) for i in range(ROWS)]  # fmt: skip
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    few, many = (plan_for(ctx, "pairs.jsonl", epochs=n, objective="orpo") for n in (1, 20))
    dpo = plan_for(ctx, "pairs.jsonl", epochs=20, objective="dpo")
    assert dpo.duration.expected > many.duration.expected > few.duration.expected


def _faq(tmp_path: Path, rows: int) -> str:
    lines = [json.dumps({"prompt": f"How is item {i} sent?", "completion": f"Item {i} by post."})
             for i in range(rows)]  # fmt: skip
    (tmp_path / f"faq{rows}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return f"faq{rows}.jsonl"


def _steps(plan: Plan) -> float:
    spec = plan.spec
    return (
        spec.epochs * plan.manifest.splits["train"] / (spec.batch_size * spec.gradient_accumulation)
    )


def test_few_rows_are_read_often_enough_for_a_tiny_model_to_learn_them(
    ctx: Context, tmp_path: Path
) -> None:
    card = plan_for(ctx, _faq(tmp_path, 1200))
    assert card.spec.epochs == card.model.recommended["epochs"]
    few = plan_for(ctx, _faq(tmp_path, 130))
    assert _steps(few) > 90
    assert any("few rows" in reason.reason for reason in few.why)
    assert plan_for(ctx, _faq(tmp_path, 60)).spec.epochs <= 20
    assert plan_for(ctx, _faq(tmp_path, 130), epochs=2).spec.epochs == 2
