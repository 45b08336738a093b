"""Which cause is named: the seeded runs, the ranking, the cures."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.diagnosis import recorded, run_of
from tests.sick import drawn
from tests.sick.streams import healthy, sick
from tools.catalog import find_capability
from tools.diagnose.cures import cure_of
from tools.diagnose.diagnose import arguments_of, report_on
from tools.diagnose.evidence import Run
from tools.diagnose.needs import READ_FROM
from tools.diagnose.ranking import EXPLAINS, ranked
from tools.diagnose.report import CODES
from tools.diagnose.suspicion import suspect
from tools.diagnose.titles import TITLES

SPEC = {
    "path": "rows.csv", "model": "starter", "method": "lora", "rank": 64, "alpha": 128,
    "learning_rate": 0.3, "batch_size": 8, "gradient_accumulation": 2, "epochs": 6.0,
    "max_length": 64, "target_modules": "all-linear", "precision": "float32", "eval_steps": 10,
    "seed": 17, "task": "classification", "labels": ["a", "b"], "device": "cpu",
}  # fmt: skip


def _shares(documents: list[dict[str, Any]]) -> tuple[float, float, float]:
    first = third = alarms = 0
    ill = [d for d in documents if d["code"]]
    for document in documents:
        codes = [c.code for c in report_on(None, run_of(document)).causes]
        first += bool(document["code"]) and codes[:1] == [document["code"]]
        third += bool(document["code"]) and document["code"] in codes[:3]
        alarms += not document["code"] and bool(codes)
    well = len(documents) - len(ill)
    return first / max(1, len(ill)), third / max(1, len(ill)), alarms / max(1, well)


def test_trained_runs_are_told_apart() -> None:
    documents = list(recorded())
    assert len(documents) >= 80
    first, third, alarms = _shares(documents)
    assert first >= 0.85
    assert third >= 0.95
    assert alarms <= 0.05


def test_healthy_label_runs_learned_more_than_the_commonest_label() -> None:
    healthy_runs = [d for d in recorded() if not d["code"]]
    assert len(healthy_runs) >= 12
    for document in healthy_runs:
        metrics = document["metrics"]
        if "majority_share" in metrics:
            assert metrics["accuracy"] > metrics["majority_share"] + 0.1, document["name"]


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_written_streams_of_new_seeds_are_told_apart(seed: int) -> None:
    first, third, alarms = _shares([*sick(seed), *healthy(seed)])
    assert first >= 0.9
    assert third >= 0.95
    assert alarms == 0


def test_drawn_curves_of_many_shapes_are_told_apart() -> None:
    seeds = range(1000, 1012)
    ill = [drawn.sick(code, seed) for code in drawn.CODES for seed in seeds]
    first, third, alarms = _shares([*ill, *(drawn.healthy(s) for s in range(1000, 1060))])
    assert first >= 0.85
    assert third >= 0.95
    assert alarms <= 0.02


def test_every_cause_has_a_title_a_cure_and_its_evidence_written_down() -> None:
    assert set(CODES) == set(TITLES) == set(READ_FROM)
    run = Run(spec=dict(SPEC))
    for code in CODES:
        cure = cure_of(run, code)
        assert cure.predicted
        assert cure.why
        assert cure.changes or cure.todo, code
        assert cure.sentence().endswith("."), cure.sentence()


def test_every_cure_of_a_job_is_a_valid_call() -> None:
    class Record:
        id, kind, spec = "sick-1", "train", None

    start = find_capability("start_training").arguments
    run = Run(spec=dict(SPEC))
    started = 0
    for code in CODES:
        cure = cure_of(run, code)
        arguments = arguments_of(run, cure, Record())  # type: ignore[arg-type]
        if arguments and cure.capability == "start_training":
            started += 1
            start.model_validate(arguments)
            assert arguments["cures"] == "sick-1"
            assert arguments["path"] == "rows.csv"
            wished = {k: new for k, (_, new) in cure.changes.items()}
            for name, value in wished.items():
                if name in start.model_fields and name not in ("target_modules",):
                    assert arguments.get(name) == value, (code, name)
    assert started >= 12


def test_a_rate_far_too_high_comes_before_what_it_brings_about() -> None:
    found = ranked([suspect("nan_loss", 0.93, "a"), suspect("lr_too_high", 0.95, "b"),
                    suspect("class_collapse", 0.9, "c")])  # fmt: skip
    assert found[0].code == "lr_too_high"
    assert found[-1].code == "class_collapse"


def test_no_cause_explains_itself_in_a_circle() -> None:
    def reached(code: str, seen: frozenset[str]) -> set[str]:
        below = set(EXPLAINS.get(code, ())) - seen  # type: ignore[call-overload]
        return below.union(*(reached(b, seen | below) for b in below)) if below else set()

    assert [code for code in EXPLAINS if code in reached(code, frozenset())] == []


def test_weak_suspicions_are_no_causes() -> None:
    assert ranked([suspect("overfitting", 0.45, "a"), suspect("leakage", 0.4, "b")]) == []


def test_a_few_cut_rows_are_no_trouble_where_their_share_was_measured() -> None:
    text = "7 rows were longer than the limit and lost their start."
    run = Run(state="succeeded", data={"rows": 120, "truncated_share": 0.058})
    run.warnings.append(("rows_cut", text))
    assert report_on(None, run).causes == ()
    run.data["truncated_share"] = 0.6
    assert report_on(None, run).causes[0].code == "truncation"


def test_overfitting_is_cured_in_the_order_of_the_troubles_table() -> None:
    values = [2.0, 1.5, 1.6, 1.9, 2.4]
    run = Run(
        spec=dict(SPEC), steps=[{"step": 10 * i, "eval_loss": v} for i, v in enumerate(values)]
    )
    names = list(cure_of(run, "overfitting").changes)
    assert names[:4] == ["rank", "alpha", "dropout", "weight_decay"]
    assert "early_stopping_patience" in names
    changes = cure_of(run, "overfitting").changes
    assert changes["rank"] == (64, 16)
    assert changes["dropout"] == (None, 0.1)
    assert changes["weight_decay"] == (None, 0.01)


def test_memory_is_cured_with_the_effective_batch_kept() -> None:
    changes = cure_of(Run(spec=dict(SPEC)), "oom_gpu").changes
    assert changes["gradient_checkpointing"] == (None, True)
    assert changes["batch_size"] == (8, 1)
    assert changes["gradient_accumulation"] == (2, 16)


def test_an_unfinished_run_without_figures_is_not_called_healthy() -> None:
    report = report_on(None, Run(state="running"))
    assert report.healthy is None
    assert report.causes == ()
