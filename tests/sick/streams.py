"""Streams of runs that cannot be trained here (GPUs, large models), written down with noise."""

from __future__ import annotations

import math
import random
from typing import Any

Stream = dict[str, Any]
_OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {need:.2f} GiB. GPU 0 has a "
    "total capacity of {total:.2f} GiB of which {free:.2f} MiB is free. Including non-PyTorch "
    "memory, this process has {used:.2f} GiB memory in use. Of the allocated memory {held:.2f} GiB "
    "is allocated by PyTorch, and {idle:.2f} {unit} is reserved by PyTorch but unallocated. If "
    "reserved but unallocated memory is large try setting "
    "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)
_TRACE = (
    'Traceback (most recent call last):\n  File "train.py", line 88, in <module>\n'
    "    trainer.train()\n"
)
_HEADERS = ("MetadataIncompleteBuffer", "HeaderTooLarge", "InvalidHeaderDeserialization")


def curve(
    chooser: random.Random,
    steps: int,
    start: float,
    end: float,
    *,
    noise: float = 0.04,
    every: int = 1,
    speed: float = 4.0,
    **more: Any,
) -> list[dict[str, Any]]:
    """Training losses that fall exponentially with noise; `more` goes into every event."""
    events = []
    for step in range(every, steps + 1, every):
        value = end + (start - end) * math.exp(-speed * step / steps)
        loss = value * (1 + chooser.gauss(0, noise))
        extra = {k: v(step) if callable(v) else v for k, v in more.items()}
        events.append(
            {"kind": "metrics", "step": step, "epoch": step / steps * 3, "loss": loss} | extra
        )
    return events


def evals(values: list[float], steps: int) -> list[dict[str, Any]]:
    """Validation losses at even distances."""
    every = steps // len(values)
    return [
        {
            "kind": "metrics",
            "step": every * (i + 1),
            "epoch": 3 * (i + 1) / len(values),
            "eval_loss": v,
        }
        for i, v in enumerate(values)
    ]


def merged(*parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One stream in the order of steps."""
    return sorted((e for part in parts for e in part), key=lambda e: e["step"])


def _spec(model: str = "Qwen/Qwen2.5-1.5B", **more: Any) -> dict[str, Any]:
    values = {
        "model": model,
        "method": "lora",
        "objective": "chat",
        "task": "chat",
        "device": "cuda",
        "precision": "bfloat16",
        "rank": 16,
        "alpha": 32,
        "learning_rate": 2e-4,
        "batch_size": 8,
        "gradient_accumulation": 2,
        "epochs": 3.0,
        "max_length": 1024,
    }
    return values | more


def _oom(chooser: random.Random, idle_gib: float = 0.12, where: str = "training_step") -> str:
    total = chooser.choice([15.77, 23.65, 39.38, 79.15])
    idle, unit = (idle_gib, "GiB") if idle_gib >= 0.5 else (idle_gib * 1024, "MiB")
    text = _OOM.format(
        need=chooser.uniform(0.3, 4),
        total=total,
        free=chooser.uniform(20, 400),
        used=total - 0.3,
        held=total - 0.6 - idle_gib,
        idle=idle,
        unit=unit,
    )
    frame = f'  File "/env/transformers/trainer.py", line 2190, in {where}\n'
    return f"{_TRACE}{frame}    output = call(inputs)\n{text}\n"


def sick(seed: int) -> list[Stream]:
    """The streams with a fault, drawn from a seed."""
    c = random.Random(seed)
    half = curve(c, 40, 2.1, 1.5)
    good = merged(curve(c, 200, 2.2, 1.2), evals([1.7, 1.5, 1.42, 1.4], 200))

    def stream(name: str, code: str, **parts: Any) -> Stream:
        return {
            "name": f"{name} #{seed}",
            "code": code,
            "spec": {},
            "events": [],
            "log": "",
        } | parts

    return [
        stream("gpu memory, pasted", "oom_gpu", log=_oom(c)),
        stream("gpu memory at step 40", "oom_gpu", spec=_spec(), events=half, log=_oom(c)),
        stream(
            "gpu memory, fragmented", "fragmentation", spec=_spec(), log=_oom(c, c.uniform(6, 9))
        ),
        stream(
            "gpu memory in evaluation",
            "oom_eval",
            spec=_spec(),
            events=half,
            log=_oom(c, where="evaluation_loop"),
        ),
        stream(
            "gpu memory at saving",
            "oom_checkpoint",
            spec=_spec(method="full"),
            events=half,
            log=_oom(c, where="save_checkpoint"),
        ),
        stream(
            "killed",
            "oom_ram",
            spec=_spec(device="cpu"),
            log="{'loss': 2.1, 'epoch': 0.1}\n{'loss': 2.0, 'epoch': 0.2}\nKilled\n",
        ),
        stream(
            "reserved far above allocated",
            "fragmentation",
            spec=_spec(),
            events=curve(
                c,
                80,
                2.0,
                1.4,
                memory_gib=lambda s: c.gauss(9, 0.2),
                memory_reserved_gib=lambda s: c.gauss(21, 0.3),
                memory_limit_gib=24,
            ),
        ),
        stream(
            "float32 on a card",
            "no_mixed_precision",
            spec=_spec(precision="float32"),
            events=[
                {
                    "kind": "setup",
                    "device": "cuda",
                    "gpu": "NVIDIA A100",
                    "gpus": 1,
                    "bfloat16": True,
                    "parameters": 1_540_000_000,
                },
                *good,
            ],
        ),
        stream(
            "one row on a big card",
            "tiny_batch",
            spec=_spec(batch_size=1, gradient_accumulation=c.choice([1, 2])),
            events=curve(
                c,
                150,
                2.0,
                1.5,
                noise=0.35,
                memory_gib=lambda s: c.gauss(14, 0.3),
                memory_limit_gib=79.2,
                gpu_utilization=lambda s: c.uniform(0.2, 0.4),
            ),
        ),
        stream(
            "driver too old",
            "driver_mismatch",
            log=f"{_TRACE}RuntimeError: The NVIDIA driver on your system is too old (found version "
            f"{c.randint(11000, 12020)}). Please update your GPU driver\n",
        ),
        stream(
            "no kernel image",
            "driver_mismatch",
            spec=_spec(),
            log=f"{_TRACE}RuntimeError: CUDA error: no kernel image is available for execution "
            f"on the "
            "device\nCUDA kernel errors might be asynchronously reported at some other API call.\n",
        ),
        stream(
            "gated",
            "gated_model",
            log=f"{_TRACE}OSError: You are trying to access a gated repo.\nMake sure to have "
            f"access to "
            "it at the page of the model.\n401 Client Error.\nAccess to model "
            f"org/model-{c.randint(1, 9)}b is restricted. You must have access to it and be "
            "authenticated to access it. Please log in.\n",
        ),
        stream(
            "disk full",
            "disk_full",
            spec=_spec(),
            events=half,
            log=f"{_TRACE}OSError: [Errno 28] No space left on device\n",
        ),
        stream(
            "cut-off checkpoint",
            "bad_checkpoint",
            spec=_spec(),
            log=f"{_TRACE}safetensors_rust.SafetensorError: Error while deserializing header: "
            f"{c.choice(_HEADERS)}\n",
        ),
        stream(
            "cut-off archive",
            "bad_checkpoint",
            log=f"{_TRACE}RuntimeError: PytorchStreamReader failed reading zip archive: failed "
            f"finding "
            "central directory\n",
        ),
        stream(
            "adapter keys missing",
            "adapter_not_applied",
            spec=_spec(),
            log="UserWarning: Found missing adapter keys while loading the checkpoint: "
            "['base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight'].\n",
        ),
        stream(
            "merged into four bits",
            "merge_loss",
            spec=_spec(method="qlora"),
            events=[
                *good,
                {
                    "kind": "gate",
                    "gate": "parity",
                    "measures": {
                        "prompts": 64,
                        "base_moved": 0.4,
                        "merged_agreement": c.uniform(0.5, 0.8),
                        "merged_logit_error": c.uniform(0.05, 0.3),
                        "merged_loss": 1.9,
                        "merged_reference_loss": 1.4,
                    },
                },
            ],
        ),
        stream(
            "four bits too few",
            "quantisation_loss",
            spec=_spec(),
            events=[
                *good,
                {
                    "kind": "gate",
                    "gate": "parity",
                    "measures": {
                        "prompts": 64,
                        "base_moved": 0.4,
                        "merged_agreement": 1.0,
                        "merged_logit_error": 1e-5,
                        "onnx_int4_agreement": c.uniform(0.4, 0.75),
                        "onnx_int4_loss": 2.2,
                        "onnx_int4_reference_loss": 1.4,
                    },
                },
            ],
        ),
        stream(
            "loss explodes",
            "divergence",
            spec=_spec(learning_rate=3e-4),
            events=merged(
                curve(c, 60, 2.1, 1.5),
                [
                    {
                        "kind": "metrics",
                        "step": 60 + i,
                        "epoch": 1.5,
                        "loss": 1.5 * math.exp(0.06 * i) * (1 + c.gauss(0, 0.05)),
                    }
                    for i in range(1, 41)
                ],
            ),
        ),
        stream(
            "rate far too high, 7B",
            "lr_too_high",
            spec=_spec("org/llama-7B", learning_rate=2e-2),
            events=merged(
                curve(c, 100, 2.0, 7.5, noise=0.12, speed=12), evals([7.4, 7.6, 7.5], 100)
            ),
        ),
        stream(
            "rate far too low, 7B full",
            "lr_too_low",
            spec=_spec("org/llama-7B", method="full", learning_rate=1e-8),
            events=merged(
                curve(c, 200, 1.93, 1.90, noise=0.02, speed=1), evals([1.95, 1.94, 1.94], 200)
            ),
        ),
        stream(
            "overfits, 1.5B",
            "overfitting",
            spec=_spec(rank=256, alpha=512, epochs=12.0),
            events=merged(curve(c, 240, 2.0, 0.08), evals([1.6, 1.45, 1.5, 1.7, 2.0, 2.4], 240)),
        ),
        stream(
            "overfits, another tool",
            "overfitting",
            log="\n".join(
                f"{{'loss': {1.9 * math.exp(-0.25 * i):.4f}, 'epoch': {i / 2}}}\n"
                f"{{'eval_loss': {1.4 + 0.02 * (i - 4) ** 2:.4f}, 'epoch': {i / 2}}}"
                for i in range(1, 13)
            ),
        ),
        stream(
            "float16 overflows",
            "nan_loss",
            spec=_spec(precision="float16"),
            events=[
                *curve(c, 30, 2.0, 1.6),
                *(
                    {
                        "kind": "metrics",
                        "step": 30 + i,
                        "epoch": 1.0,
                        "loss": None,
                        "not_finite": ["loss"],
                    }
                    for i in range(1, 6)
                ),
            ],
        ),
        stream(
            "waits for data",
            "loader_bound",
            spec=_spec(),
            events=curve(
                c,
                80,
                2.0,
                1.3,
                data_wait_share=lambda s: c.uniform(0.45, 0.65),
                gpu_utilization=0.4,
            ),
        ),
        stream(
            "padding",
            "padding_waste",
            spec=_spec(batching="padded"),
            events=curve(c, 80, 2.0, 1.3, padding_share=lambda s: c.uniform(0.55, 0.75)),
        ),
        stream(
            "forgot, 1.5B",
            "forgetting",
            spec=_spec(method="full", learning_rate=1e-4),
            events=[
                *good,
                {
                    "kind": "judged",
                    "n": 100,
                    "eval_loss": 1.4,
                    "base_eval_loss": 2.0,
                    "general_loss": c.uniform(3.0, 3.8),
                    "base_general_loss": 2.3,
                },
            ],
        ),
        stream(
            "memory creeps, GPU",
            "memory_growth",
            spec=_spec(),
            events=curve(
                c,
                120,
                2.0,
                1.3,
                memory_gib=lambda s: 11 + 0.06 * s + c.gauss(0, 0.05),
                memory_limit_gib=24,
            ),
        ),
        stream(
            "never stops",
            "untrained_stop",
            spec=_spec(),
            events=[
                {"kind": "data", "rows": 900, "stop_trained_share": 0.0},
                *good,
                *(
                    {
                        "kind": "sample",
                        "prompt": "q",
                        "answer": "on and on and on and on",
                        "stopped": False,
                        "step": 200,
                    }
                    for _ in range(4)
                ),
            ],
        ),
    ]


def healthy(seed: int) -> list[Stream]:
    """Streams without a fault: large and small, noisy, short, stopped early."""
    c = random.Random(1000 + seed)

    def stream(
        name: str, spec: dict[str, Any], events: list[dict[str, Any]], log: str = ""
    ) -> Stream:
        return {"name": f"{name} #{seed}", "code": "", "spec": spec, "events": events, "log": log}

    long = merged(
        curve(c, 400, 2.0, 1.25, noise=0.08), evals([1.6, 1.45, 1.38, 1.35, 1.34, 1.34], 400)
    )
    noisy = merged(curve(c, 300, 1.8, 1.1, noise=0.25), evals([1.5, 1.35, 1.3, 1.29], 300))
    return [
        stream("1.5B chat", _spec(), long),
        stream(
            "7B QLoRA",
            _spec("org/llama-7B", method="qlora", learning_rate=2e-4),
            merged(
                curve(
                    c,
                    300,
                    1.5,
                    1.1,
                    noise=0.1,
                    memory_gib=lambda s: 9 + c.gauss(0, 0.05),
                    memory_limit_gib=24,
                    padding_share=0.12,
                    data_wait_share=0.02,
                ),
                evals([1.3, 1.22, 1.2, 1.19], 300),
            ),
        ),
        stream("noisy losses", _spec(batch_size=4), noisy),
        stream(
            "stopped early",
            _spec(early_stopping_patience=3),
            [
                *merged(curve(c, 240, 2.0, 0.95), evals([1.5, 1.36, 1.33, 1.34, 1.35, 1.36], 240)),
                {
                    "kind": "warning",
                    "code": "stopped_early",
                    "message": "The run ended early because "
                    "validation loss had not fallen for 3 evaluations at step 240.",
                },
            ],
        ),
        stream(
            "short and good",
            _spec(max_steps=30),
            merged(curve(c, 30, 2.6, 0.9, speed=6), evals([1.3, 1.05, 1.0], 30)),
        ),
        stream(
            "full, 0.5B",
            _spec("org/small-0.5B", method="full", learning_rate=2e-5),
            merged(curve(c, 200, 2.4, 1.6), evals([1.9, 1.75, 1.7, 1.69], 200)),
        ),
        stream(
            "label task, easy",
            _spec(objective="prompt_completion", task="classification"),
            [
                *merged(curve(c, 200, 1.6, 0.02), evals([0.3, 0.1, 0.06, 0.05], 200)),
                {
                    "kind": "judged",
                    "n": 200,
                    "accuracy": 0.97,
                    "base_accuracy": 0.3,
                    "macro_f1": 0.96,
                    "majority_share": 0.3,
                    "eval_loss": 0.05,
                    "base_eval_loss": 1.6,
                },
            ],
        ),
        stream(
            "another tool's log",
            {},
            [],
            log="\n".join(
                f"{{'loss': {1.2 + 0.9 * math.exp(-0.3 * i) + c.gauss(0, 0.02):.4f}, 'grad_norm': "
                f"{c.uniform(0.3, 0.9):.3f}, 'learning_rate': {2e-4 * (1 - i / 31):.2e}, "
                f"'epoch': {i / 10}}}"
                for i in range(1, 31)
            ),
        ),
        stream(
            "warm-up bump",
            _spec(warmup_ratio=0.1),
            merged(
                curve(c, 200, 1.9, 1.2),
                [{"kind": "metrics", "step": 0, "epoch": 0, "loss": 2.3}],
                evals([1.5, 1.4, 1.36], 200),
            ),
        ),
        stream(
            "memory rises, then level",
            _spec(),
            curve(
                c,
                150,
                2.0,
                1.3,
                memory_gib=lambda s: 10 + min(s, 20) * 0.1 + c.gauss(0, 0.05),
                memory_limit_gib=24,
            ),
        ),
    ]
