"""One path of evidence at a time: each alone names its cause; at the edge of each a run is well.

The streams are written from docs/events.md alone, as someone elsewhere would write them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from tools.diagnose import streams
from tools.diagnose.diagnose import report_on
from tools.diagnose.evidence import Run
from tools.diagnose.names import read_settings_document

Events = list[dict[str, Any]]
Shape = Callable[[float], float]
LORA_7B = {"method": "lora", "model": "a/b-7b"}
DONE = {"kind": "state", "state": "succeeded", "reason": ""}


def _of(kind: str) -> Callable[..., dict[str, Any]]:
    return lambda **fields: {"kind": kind, **fields}


data, judged, setup, timing = _of("data"), _of("judged"), _of("setup"), _of("timing")
sample = _of("sample")


def gate(name: str, **measures: float) -> dict[str, Any]:
    return {"kind": "gate", "gate": name, "measures": measures}


def error(message: str) -> dict[str, Any]:
    return {"kind": "error", "message": message, "hint": ""}


def well(x: float) -> float:
    return 1.2 + math.exp(-x / 0.2)


def steps(loss: Shape = well, held: Shape | None = None, *, n: int = 40, evals: int = 5,
          noise: float = 0.03, every: int = 10, **beside: Any) -> Events:  # fmt: skip
    """Write a run of `n` printed steps; `beside` are further fields, or their shape."""
    chooser, rows = random.Random(7), []
    for i in range(1, n + 1):
        x = i / n
        at = {"kind": "metrics", "step": i * every, "epoch": 3 * x}
        more = {k: v(x) if callable(v) else v for k, v in beside.items()}
        rows.append(at | {"loss": loss(x) * (1 + chooser.gauss(0, noise))} | more)
        if evals and i % max(1, n // evals) == 0:
            value = held(x) if held else loss(x) * 1.04
            rows.append(at | {"eval_loss": value * (1 + chooser.gauss(0, noise / 8))})
    return rows


def _late_rise(x: float) -> float:
    return 1.4 - 0.4 * min(x / 0.35, 1) + max(0.0, x - 0.35)


def _half_flat(x: float) -> float:
    return 2.3 if x < 0.03 else 7.4


def _turns(x: float) -> float:
    return 1.9 - 2.4 * x if x < 0.5 else 0.7 + 12 * (x - 0.5)


NAN = float("nan")
AFTER = {"kind": "metrics", "step": 410, "epoch": 3.0}
SICK: list[tuple[str, Events, dict[str, Any]]] = [
    ("overfitting", steps(lambda x: 1.9 * math.exp(-3 * x), _late_rise, evals=8), {}),
    ("overfitting", [r for r in steps(held=_late_rise, evals=6) if "eval_loss" in r], {}),
    ("underfitting", [*steps(lambda x: 3.0 - 0.45 * x), DONE], {}),
    ("lr_too_high", steps(_half_flat), {"learning_rate": 3e-3, "method": "full", "model": "b-1b"}),
    ("lr_too_high", steps(lambda x: 4.8 + 0.8 * math.sin(40 * x), lambda x: 5.0, grad_norm=90.0),
     {"learning_rate": 0.03, **LORA_7B}),
    ("lr_too_low", steps(lambda x: 2.3 - 0.01 * x, noise=0.01, learning_rate=1e-8), {}),
    ("lr_too_low", steps(lambda x: 3.2 - 0.1 * x, noise=0.005), {"lr": "1e-7", **LORA_7B}),
    ("divergence", steps(_turns, n=60), {}),
    ("nan_loss", [*steps(), AFTER | {"loss": None, "not_finite": ["loss"]}], {}),
    ("nan_loss", [*steps(), AFTER | {"eval_loss": NAN}], {"precision": "float16"}),
    ("zero_loss", steps(lambda x: 0.0, evals=0), {}),
    ("zero_loss", steps(lambda x: 2.0 if x < 0.2 else 0.0, evals=0), {}),
    ("constant_loss", steps(lambda x: 0.6931, noise=0), {}),
    ("constant_loss", steps(lambda x: 2.7, noise=0.0004, grad_norm=0.0), {}),
    ("constant_loss", steps(lambda x: 3.3, noise=0.0003, evals=0, learning_rate=0.0), {}),
    ("empty_mask", [data(answers_trained_share=0.0)], {}),
    ("empty_mask", [gate("labels", trained_token_share=0.0, rows=300)], {}),
    ("wrong_mask", [data(prompts_trained_share=0.6, answers_trained_share=1.0), *steps()], {}),
    ("wrong_mask", [data(trained_token_share=1.0), *steps()], {"objective": "prompt_completion"}),
    ("wrong_mask", [data(answers_trained_share=0.2), *steps()], {}),
    ("untrained_stop", [data(stop_trained_share=0.3), *steps()], {}),
    ("untrained_stop", [gate("labels", rows_that_stop=0.0), *steps()], {}),
    ("untrained_stop", [*steps(), judged(n=100, answers_stopped_share=0.1)], {}),
    ("template_mismatch", [setup(template_hash="x"), *steps(), judged(template_hash="y")], {}),
    ("template_mismatch", [*steps(), judged(n=300, eval_loss=3.3, base_eval_loss=2.6)], {}),
    ("template_mismatch",
     [*steps(), *[sample(answer="[INST] p [/INST] ok", stopped=True, step=400)] * 3], {}),
    ("pad_eos_confusion",
     [setup(pad_token_id=2, stop_token_ids=[2]), data(stop_trained_share=0.2), *steps()], {}),
    ("truncation", [data(truncated_share=0.3), *steps()], {"max_length": 256}),
    ("truncation", [data(answers_cut_share=0.08), *steps()], {}),
    ("truncation", [gate("labels", rows=400, rows_cut=220), *steps()], {}),
    ("label_noise", [data(rows=800, conflicting_rows=120), *steps()], {}),
    ("label_noise", [data(rows=800, doubtful_share=0.18), *steps()], {}),
    ("label_noise", [data(rows=800, predictable=0.21, majority_share=0.2), *steps()], {}),
    ("leakage", [data(rows=800, eval_rows=80, overlap_rows=30), *steps()], {}),
    ("leakage", [data(rows=800, answer_in_input_share=1.0), *steps()], {}),
    ("leakage", [*steps(), judged(n=50, excluded=50, accuracy=0.99)], {}),
    ("class_collapse",
     [*steps(), judged(predictions={"a": 90}, expected={"a": 30, "b": 30, "c": 30})], {}),
    ("class_collapse", [data(label_counts={"a": 900, "b": 30, "c": 20}), *steps(),
                        judged(n=100, accuracy=0.93, majority_share=0.93, macro_f1=0.32)], {}),
    ("forgetting", [*steps(), judged(general_loss=3.1, base_general_loss=2.5)], {}),
    ("forgetting", [*steps(), judged(general_loss_rise=0.9)], {}),
    ("eval_shift", [data(label_counts={"x": 500, "y": 500}, eval_label_counts={"x": 5, "y": 95}),
                    *steps()], {}),
    ("eval_shift", [data(unseen_words_share=0.5), *steps(held=lambda x: 2.8)], {}),
    ("eval_shift", [data(tokens_p50=500, eval_tokens_p50=40), *steps(held=lambda x: 2.9)], {}),
    ("oom_ram", [*steps(n=10, evals=0), error("Killed")], {}),
    ("oom_ram", [setup(device="cpu", memory_limit_gib=32.0), *steps(evals=0, memory_gib=31.0),
                 {"kind": "state", "state": "lost"}], {}),
    ("oom_eval", [*steps(evals=0), {"kind": "phase", "phase": "eval"},
                  error("CUDA out of memory. Tried to allocate 9.00 GiB")], {}),
    ("oom_checkpoint", [*steps(evals=0), {"kind": "phase", "phase": "checkpoint"},
                        error("CUDA out of memory. Tried to allocate 9.00 GiB")], {}),
    ("memory_growth", steps(n=60, memory_gib=lambda x: 2 + 1.5 * x), {}),
    ("fragmentation", steps(memory_gib=8.0, memory_reserved_gib=15.5), {}),
    ("padding_waste", [data(padding_share=0.6), *steps()], {}),
    ("padding_waste", steps(padding_share=0.5), {}),
    ("loader_bound", steps(data_wait_share=0.4), {}),
    ("loader_bound", [*steps(), timing(train_s=1000.0, data_wait_s=600.0)], {}),
    ("tokenizer_bound", [data(tokenize_s=1500.0), *steps(), timing(train_s=1000.0)], {}),
    ("no_mixed_precision", [setup(device="cuda", bfloat16=True), *steps()],
     {"precision": "float32"}),
    ("eval_dominates", [*steps(), timing(train_s=900.0, eval_s=1500.0)], {}),
    ("tiny_batch", steps(gpu_utilization=0.2), {"batch_size": 1, "device": "cuda"}),
    ("bad_checkpoint", [error("The checkpoint at step 200 is damaged: its digest differs.")], {}),
    ("adapter_not_applied", [*steps(), judged(adapter_effect=0.0)], {}),
    ("adapter_not_applied", [*steps(), gate("parity", base_moved=0.0)], {}),
    ("adapter_not_applied", [*steps(lambda x: well(x) - 0.8), judged(eval_loss=2.2,
                             base_eval_loss=2.2)], {}),
    ("merge_loss", [*steps(), gate("parity", merged_agreement=0.6)], {}),
    ("merge_loss", [*steps(), gate("parity", merged_loss=2.0, merged_reference_loss=1.2)], {}),
    ("quantisation_loss", [*steps(), gate("parity", onnx_int4_agreement=0.5)], {}),
]  # fmt: skip
HEALTHY: dict[str, tuple[Events, dict[str, Any]]] = {
    "few rows cut": ([data(truncated_share=0.03), *steps()], {}),
    "some padding": (steps(padding_share=0.3), {}),
    "few doubts": ([data(rows=900, doubtful_share=0.04, conflicting_rows=9), *steps()], {}),
    "time well spent": ([*steps(), timing(train_s=1000.0, eval_s=220.0, data_wait_s=60.0,
                                          tokenize_s=100.0)], {}),
    "memory that settles": (steps(memory_gib=lambda x: 10 - 0.3 * math.exp(-x / 0.05)), {}),
    "some reserve": (steps(memory_gib=20.0, memory_reserved_gib=23.0), {}),
    "a usual export": ([*steps(), gate("parity", base_moved=0.6, merged_agreement=1.0,
                                       onnx_int4_agreement=0.95)], {}),
    "little forgotten": ([*steps(), judged(general_loss=2.6, base_general_loss=2.52)], {}),
    "two rows twice": ([data(eval_rows=100, overlap_rows=2), *steps()], {}),
    "a rare label learned": ([data(label_counts={"a": 930, "b": 70}, majority_share=0.93), *steps(),
                              judged(predictions={"a": 188, "b": 12},
                                     expected={"a": 186, "b": 14})], {}),
    "padding is the end, trained": ([setup(pad_token_id=2, stop_token_ids=[2]),
                                     data(stop_trained_share=1.0), *steps()], {}),
    "all of a text trained": ([data(trained_token_share=1.0), *steps()], {"objective": "text"}),
    "a card without bfloat16": ([setup(device="cuda", bfloat16=False), *steps()],
                                {"precision": "float32"}),
    "a processor": (steps(), {"precision": "float32", "device": "cpu"}),
    "one row, gathered": (steps(noise=0.12), {"batch_size": 1, "gradient_accumulation": 16,
                                              "device": "cuda"}),
    "3 % up at the end": (steps(held=lambda x: 1.3 + 0.6 * math.exp(-x / 0.12) + 0.03 * x), {}),
    "a gap that stays": (steps(lambda x: 0.6 + math.exp(-x / 0.3),
                               lambda x: 1.05 + 0.5 * math.exp(-x / 0.15)), {}),
    "low from the start": (steps(lambda x: 0.05 + 0.07 * math.exp(-x / 0.3), noise=0.1), {}),
    "hardly to be bettered": (steps(lambda x: 1.12 + 0.13 * math.exp(-x / 0.15), noise=0.02), {}),
    "one long answer": ([*steps(), sample(answer="A long tale", stopped=False, step=400)], {}),
    "markup before training": ([*steps(), sample(answer="<|user|> x", stopped=False, step=0),
                                sample(answer="Fine.", stopped=True, step=400)], {}),
    "preferences": (steps(lambda x: 0.4 + 0.29 * math.exp(-x / 0.3)),
                    {"objective": "kto", "learning_rate": 5e-6, **LORA_7B}),
    "rewards": (steps(lambda x: 0.002, evals=0, noise=3.0), {"objective": "grpo"}),
}  # fmt: skip


def _codes(events: Events, settings: dict[str, Any]) -> list[str]:
    run = Run(spec=read_settings_document(settings))
    streams.add_documents(run, events)
    return [str(cause.code) for cause in report_on(None, run).causes]


@pytest.mark.parametrize(
    ("code", "events", "settings"), SICK, ids=[f"{i}-{code}" for i, (code, *_) in enumerate(SICK)]
)
def test_one_path_of_evidence_names_the_cause(
    code: str, events: Events, settings: dict[str, Any]
) -> None:
    assert _codes(events, settings)[:1] == [code]


@pytest.mark.parametrize("name", HEALTHY)
def test_at_the_edge_of_each_path_a_run_is_well(name: str) -> None:
    assert _codes(*HEALTHY[name]) == []
