"""Situations by a specialist who had not seen the recommender, as data with their reasons."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tools.advise.capabilities import recommend_method
from tools.advise.reports import PlanShown, RecommendationReport
from tools.context import Context
from tools.errors import BadInput

FILE = Path(__file__).with_name("recommend_situations.toml")
SITUATIONS: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["situation"]
SETTINGS = (
    "base model", "objective", "learning rate", "cosine", "optimiser", "epoch", "early stopping",
    "batch", "gradient checkpointing", "max_length", ("float32", "bfloat16", "float16"),
)  # fmt: skip
OF_ADAPTERS = ("rank", "alpha", "dropout", "target modules")


def advice(ctx: Context, case: dict[str, Any]) -> RecommendationReport:
    return recommend_method(described=json.dumps(case["data"]), **case.get("wishes", {}), ctx=ctx)


def objections(case: dict[str, Any], report: RecommendationReport) -> list[str]:
    """What a specialist would object to."""
    said = "\n".join([*(f"{r['what']}: {r['reason']}" for r in report.rejected), *report.notes])
    cited = {row["id"] for row in report.matrix}
    found = [f"row {row} is not cited" for row in case.get("rows", []) if row not in cited]
    if case.get("refused"):
        named = bool(report.nearest) or "loosen" in said or "takes more memory" in said
        return found + (["it was planned"] if report.plans else []) + ([] if named else ["bare no"])
    if not report.plans:
        return [*found, "nothing was planned"]
    return found + _of_first(case, report.plans[0]) + [
        f"{pattern} is not told" for pattern in case.get("told", []) if not re.search(pattern, said)
    ]  # fmt: skip


def _of_first(case: dict[str, Any], first: PlanShown) -> list[str]:
    found = []
    low, high = case.get("size_b", (0.0, 10_000.0))
    if first.method not in case["methods"]:
        found.append(f"method {first.method}")
    if first.engine not in case.get("engines", [first.engine]):
        found.append(f"engine {first.engine}")
    if not low <= first.model_size_b <= high:
        found.append(f"{first.base_model} has {first.model_size_b}B")
    if not re.search(case.get("model", ""), first.base_model):
        found.append(f"model {first.base_model}")
    if first.spec["objective"] != case.get("objective", first.spec["objective"]):
        found.append(f"objective {first.spec['objective']}")
    return found


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: case["id"])
def test_a_specialist_has_no_objection_and_every_plan_fits(
    ctx: Context, case: dict[str, Any]
) -> None:
    report = advice(ctx, case)
    assert objections(case, report) == [], case["why"]
    for plan in [*report.plans, *report.nearest]:
        assert plan.estimate["high"] <= plan.available_gib + 0.005
        assert plan.verdict != "does not fit"


def _covered(setting: str | tuple[str, ...], plan: PlanShown) -> bool:
    names = (setting,) if isinstance(setting, str) else setting
    return any(name in reason.choice for reason in plan.why for name in names)


@pytest.mark.parametrize("case", SITUATIONS[::4], ids=lambda case: case["id"])
def test_a_plan_is_complete_and_each_setting_has_a_reason_and_a_source(
    ctx: Context, case: dict[str, Any]
) -> None:
    report = advice(ctx, case)
    for plan in report.plans:
        wanted = SETTINGS + (OF_ADAPTERS if "rank" in plan.spec else ())
        assert [name for name in wanted if not _covered(name, plan)] == []
        assert all(reason.reason and reason.source for reason in plan.why)
        assert plan.would_change
    assert all(plan.why_not for plan in report.plans[1:])
    assert all(item["reason"] and item["source"] for item in report.rejected)


def test_a_rate_beyond_good_practice_is_said(ctx: Context) -> None:
    data = {"format": "chat", "rows": 5000, "p95_tokens": 400}
    first = recommend_method(described=json.dumps(data), hardware="24GB", ctx=ctx).plans[0]
    assert first.spec["learning_rate"] > 1e-4
    reason = next(r for r in first.why if r.choice.startswith("learning rate"))
    assert "good practice's 1e-5 to 1e-4" in reason.reason


def test_the_nearest_that_fits_is_a_plan_apart(ctx: Context) -> None:
    data = {"format": "chat", "rows": 5000, "p95_tokens": 900}
    report = recommend_method(
        described=json.dumps(data), model="llama 3.1 8b", hardware="8 GB card", ctx=ctx
    )
    assert report.plans == []
    assert report.nearest[0].model_size_b < 8
    assert report.nearest[0].base_model in report.notes[0]
    assert f"Nearest that fits: {report.nearest[0].method}" in report.text()


def test_more_tokens_than_a_model_reads_are_refused(ctx: Context) -> None:
    data = json.dumps({"format": "chat", "rows": 500, "p95_tokens": 300})
    with pytest.raises(BadInput, match="reads at most 32768"):
        recommend_method(described=data, model="qwen2.5 7b", max_length=100_000, ctx=ctx)
