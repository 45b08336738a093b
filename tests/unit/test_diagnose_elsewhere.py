"""Streams and settings of other tools, and runs that were not at their end when last seen."""

from __future__ import annotations

from typing import Any

import pytest

from tools.diagnose import streams
from tools.diagnose.diagnose import report_on
from tools.diagnose.evidence import Run
from tools.diagnose.names import metric_row, read_settings_document
from tools.diagnose.rates import rate_of

LINEAR = [2.0 - 0.02 * i for i in range(30)]


def _run(events: list[dict[str, Any]], **settings: Any) -> Run:
    run = Run(spec=read_settings_document(settings))
    streams.add_documents(run, events)
    return run


def _codes(run: Run) -> list[str]:
    return [str(cause.code) for cause in report_on(None, run).causes]


def _steps(losses: list[float], *, start: int = 0, every: int = 10) -> list[dict[str, Any]]:
    return [
        {"kind": "metrics", "step": start + every * (i + 1), "epoch": (i + 1) / 10, "loss": v}
        for i, v in enumerate(losses)
    ]


def test_the_reason_of_a_failed_state_is_read() -> None:
    run = _run([{"kind": "state", "state": "failed", "reason": "CUDA out of memory."}])
    assert _codes(run) == ["oom_gpu"]


def test_progress_says_in_which_phase_memory_ran_out() -> None:
    run = _run([
        *_steps(LINEAR[:6]),
        {"kind": "progress", "phase": "evaluate", "done": 4, "total": 60},
        {"kind": "error", "message": "CUDA out of memory", "hint": ""},
    ])  # fmt: skip
    assert _codes(run)[0] == "oom_eval"


def test_a_processor_is_no_gpu_whatever_else_is_told() -> None:
    assert not _run([{"kind": "setup", "device": "cpu", "gpus": 1}]).on_gpu
    assert _run([{"kind": "setup", "gpus": 1}]).on_gpu


@pytest.mark.parametrize(
    ("events", "settings"),
    [
        (_steps(LINEAR), {"max_steps": 5000}),
        (_steps(LINEAR), {"epochs": 30}),
        ([*_steps(LINEAR), {"kind": "error", "message": "killed by a person", "hint": ""}], {}),
        (_steps(LINEAR, start=4000), {}),
    ],
    ids=["steps", "epochs", "failed", "resumed"],
)
def test_a_run_not_seen_whole_is_not_said_to_have_learned_too_little(
    events: list[dict[str, Any]], settings: dict[str, Any]
) -> None:
    assert _codes(_run(_steps(LINEAR))) == ["underfitting"]
    assert "underfitting" not in _codes(_run(events, **settings))


def test_a_handful_of_steps_is_too_little() -> None:
    short: list[dict[str, Any]]
    short = [{"kind": "metrics", "step": i, "epoch": i / 100, "loss": 2.6 - i / 20} for i in (1, 2)]
    assert _codes(_run(short, max_steps=3)) == ["underfitting"]
    learned = [*short, {"kind": "judged", "accuracy": 0.9, "base_accuracy": 0.3}]
    assert _codes(_run(learned, max_steps=3)) == []


def test_sparse_evaluations_that_level_off_are_no_straight_line() -> None:
    held = [(10, 1.43), (20, 1.19), (30, 1.08), (40, 1.03)]
    events = _steps([1.9, 1.5, 1.3, 1.15, 1.1, 1.06, 1.04, 1.02], every=5)
    events += [{"kind": "metrics", "step": s, "epoch": s / 20, "eval_loss": v} for s, v in held]
    assert _codes(_run(events)) == []


@pytest.mark.parametrize(
    ("settings", "precision"),
    [
        ({"bf16": False, "fp16": False}, "float32"),
        ({"bf16": True, "torch_dtype": "float32"}, "bfloat16"),
        ({"bf16": False, "fp16": False, "load_in_4bit": True}, None),
        ({"bf16": False, "fp16": False, "torch_dtype": "bfloat16"}, "bfloat16"),
        ({"mixed_precision": "no"}, "float32"),
        ({"mixed_precision": "fp16"}, "float16"),
        ({"precision": "fp32"}, "float32"),
        ({"precision": "bf16-mixed"}, "bfloat16"),
        ({"bf16": "auto"}, None),
    ],
)
def test_the_precision_is_read_from_the_switches_of_other_tools(
    settings: dict[str, Any], precision: str | None
) -> None:
    assert read_settings_document(settings).get("precision") == precision


def test_settings_that_say_nothing_are_left_out() -> None:
    read = read_settings_document(
        {"max_steps": -1, "gradient_accumulation_steps": "auto", "learning_rate": "2e-4"}
    )
    assert read == {"learning_rate": 2e-4}


@pytest.mark.parametrize(
    ("name", "ours"),
    [("training/loss", "loss"), ("loss/val", "eval_loss"), ("test_loss", "eval_loss"),
     ("lm_loss", "loss"), ("gnorm", "grad_norm")],
)  # fmt: skip
def test_names_of_other_loggers(name: str, ours: str) -> None:
    assert metric_row({name: 1.0, "_step": 3}) == {ours: 1.0, "step": 3.0}


def test_values_of_another_type_are_passed_over() -> None:
    run = _run([
        {"kind": "metrics", "step": "ten", "epoch": None, "loss": "abc"},
        {"kind": "metrics", "step": 1e400, "loss": 2.0},
        {"kind": "data", "rows": "many", "label_counts": "x", "eval_label_counts": [1]},
        {"kind": "judged", "predictions": {"a": "many"}, "expected": [], "accuracy": "0.5"},
        {"kind": "setup", "parameters": "8B", "stop_token_ids": 5, "gpus": "two"},
        {"kind": "gate", "gate": "parity", "measures": {"merged_agreement": "low"}},
        {"kind": "sample", "answer": 5, "stopped": "no", "step": "3"},
        {"kind": "timing", "train_s": "long", "eval_s": -4},
        {"kind": "checkpoint", "step": "x"},
        {"kind": "progress", "phase": None, "done": "1", "total": 0},
        {"kind": "attempt", "changes": [1]},
        {"kind": "error", "message": None},
        {"kind": "warning", "code": 5, "message": {}},
    ])  # fmt: skip
    assert _codes(run) == []
    assert run.setup == {"stop_token_ids": (5,)}
    assert run.judged == {"accuracy": 0.5, "expected": {}} or run.judged == {"accuracy": 0.5}
    assert run.samples[0]["stopped"] is False
    assert run.saved == {0}


def test_the_progress_and_the_times_of_other_trainers_are_read() -> None:
    rows = [{"current_steps": i, "total_steps": 400, "loss": 2 - i / 50} for i in range(1, 30)]
    assert _run(rows).done_share == 29 / 400
    rows = [{"step": i, "eval_loss": 1.0, "eval_runtime": 9.5} for i in range(10, 110, 10)]
    run = _run([*rows, {"train_runtime": 110.0, "train_loss": 1.3, "step": 100}])
    assert run.timing == {"train_s": 110.0}
    assert "eval_dominates" in _codes(run)


def test_an_attempt_after_which_the_run_went_on_is_no_failure() -> None:
    attempt = {"kind": "attempt", "number": 2, "changes": {"batch_size": [8, 4]},
               "reason": "CUDA out of memory"}  # fmt: skip
    ended = {"kind": "state", "state": "succeeded", "reason": ""}
    losses = [2.0, 1.4, 1.2, 1.1, 1.05, 1.02, 1.01, 1.0]
    assert _codes(_run([*_steps(losses[:3]), attempt, *_steps(losses), ended])) == []


def test_what_ran_out_of_memory_is_told_by_what_was_done_before_the_run_started_again() -> None:
    gone = {"kind": "error", "message": "A batch of 1 rows did not fit into memory.",
            "refused_by": "memory"}  # fmt: skip
    done = {"kind": "progress", "phase": "evaluate", "done": 1, "total": 9}
    again = {"kind": "phase", "phase": "start", "note": ""}
    ended = {"kind": "state", "state": "failed", "reason": ""}
    assert "oom_eval" in _codes(_run([*_steps([2.0, 1.4, 1.2]), done, gone, ended]))
    assert "oom_eval" in _codes(_run([*_steps([2.0, 1.4, 1.2]), done, again, gone, ended]))


@pytest.mark.parametrize(
    ("settings", "far_below"),
    [
        ({"learning_rate": 1e-5}, False),
        ({"learning_rate": 1e-5, "method": "lora", "model": "x/y-7b"}, True),
        ({"learning_rate": 1e-5, "method": "lora", "model": "x/y-7b", "objective": "orpo"}, False),
        ({"learning_rate": 1e-9}, True),
    ],
)
def test_what_is_usual_depends_on_method_and_objective_where_they_are_known(
    settings: dict[str, Any], far_below: bool
) -> None:
    assert (rate_of(_run([], **settings)).surely_below >= 10) is far_below


def test_labels_learned_to_a_small_loss_are_no_leak() -> None:
    events = _steps([0.7 * 0.8**i for i in range(14)])
    events += [e | {"loss": None, "eval_loss": e["loss"] * 1.1} for e in events]
    assert _codes(_run(events)) == []
    assert _codes(_run(events, objective="text")) == ["leakage"]


def test_a_judgement_on_the_few_rows_not_trained_on_is_no_other_template() -> None:
    events = _steps([2.0 * 0.8**i + 0.3 for i in range(20)])
    events += [e | {"loss": None, "eval_loss": e["loss"] + 0.05} for e in events[3::4]]
    judged = {"kind": "judged", "n": 200, "eval_loss": 2.4, "base_eval_loss": 3.0}
    assert _codes(_run([*events, judged])) == ["template_mismatch"]
    assert _codes(_run([*events, judged | {"n": 1, "excluded": 15}])) == ["leakage"]


def test_a_single_wording_about_long_rows_makes_no_run_sick() -> None:
    run = _run(_steps([2.0 * 0.8**i + 0.3 for i in range(20)]))
    run.log = "Token indices sequence length is longer than the specified maximum (1035 > 1024)"
    assert _codes(run) == []
    run.log = "Dropped 812 of 1000 samples longer than 2048"
    assert _codes(run) == ["truncation"]


def test_the_loss_of_preferences_has_no_end_to_reach() -> None:
    falling = _steps([0.69 - 0.006 * i for i in range(30)])
    assert _codes(_run(falling, objective="dpo")) == []
    assert _codes(_run(falling)) == ["underfitting"]


def test_what_is_wrong_with_the_data_comes_before_too_little_training() -> None:
    weak = {"kind": "judged", "n": 40, "accuracy": 0.23, "base_accuracy": 0.23,
            "tfidf_accuracy": 0.95}  # fmt: skip
    short = _steps([12.0 * 0.95**i for i in range(24)], every=1)
    assert _codes(_run([*short, weak]))[0] == "underfitting"
    told = {"kind": "data", "rows": 150, "answer_in_input_share": 0.98}
    assert _codes(_run([told, *short, weak]))[:2] == ["leakage", "underfitting"]


def test_the_time_of_a_handful_of_steps_is_not_what_is_wrong_first() -> None:
    events = _steps([12.0, 11.6, 11.1], every=1)
    times = {"kind": "timing", "train_s": 9.0, "eval_s": 7.0}
    assert _codes(_run([*events, times], max_steps=3)) == ["underfitting", "eval_dominates"]


def test_answers_that_all_differ_are_no_labels() -> None:
    expected = {f"answer {i}": 1 for i in range(12)}
    judged = {"kind": "judged", "n": 12, "expected": expected, "predictions": {"no": 12}}
    assert "class_collapse" not in _codes(_run([judged]))
