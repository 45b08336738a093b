"""Curves drawn at random: learning runs of many shapes, healthy and sick, by formula and noise."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

Curve = Callable[[float], float]
BIG = (("org/x-7b", 2e-4, 1e-5), ("org/x-0.5b", 5e-4, 2e-5), ("org/x-1.5b", 2e-4, 2e-5))
SMALL = (("starter", 3e-3, 1e-3),)
"""Models with the usual rates of an adapter and of full tuning."""
CODES = ("overfitting", "divergence", "lr_too_high", "lr_too_low", "underfitting")


def _document(
    chooser: random.Random, code: str, spec: dict[str, Any], loss: Curve, steps: int, noise: float,
    evals: list[tuple[float, float]], every: int = 1,
) -> dict[str, Any]:  # fmt: skip
    events: list[dict[str, Any]] = [
        {"kind": "metrics", "step": t, "epoch": 1.0,
         "loss": max(1e-3, loss(t) * (1 + chooser.gauss(0, noise))),
         "grad_norm": abs(chooser.gauss(1, 0.4)), "tokens_per_s": chooser.gauss(3000, 300),
         "memory_gib": chooser.gauss(8, 0.05)}
        for t in range(every, steps + 1, every)
    ]  # fmt: skip
    for share, value in evals:
        at = max(1, round(steps * share))
        events.append({"kind": "metrics", "step": at, "epoch": 1.0, "eval_loss": value})
    events.sort(key=lambda e: int(e["step"]))
    return {"name": f"drawn {code or 'healthy'}", "code": code, "spec": spec, "events": events}


def _spec(chooser: random.Random) -> tuple[dict[str, Any], bool]:
    """Settings with the usual rate, and whether the model is a large one."""
    big = chooser.random() < 0.6
    model, adapter, full = chooser.choice(BIG if big else SMALL)
    method = chooser.choice(["lora", "lora", "qlora", "dora", "full"])
    return {
        "model": model,
        "method": method,
        "learning_rate": full if method == "full" else adapter,
        "batch_size": chooser.choice([4, 8, 16]),
        "objective": chooser.choice(["chat", "prompt_completion", "text"]),
        "device": "cuda" if big else "cpu",
        "precision": "bfloat16" if big else "float32",
        "rank": chooser.choice([4, 8, 16, 32]),
    }, big


def healthy(seed: int) -> dict[str, Any]:
    """A run that learns: short or long, calm or noisy, perhaps stopped early."""
    c = random.Random(seed)
    spec, big = _spec(c)
    spec["learning_rate"] *= c.choice([0.3, 0.5, 1, 1, 1, 2, 2.5])
    steps = c.choice([20, 30, 50, 100, 200, 400])
    start = c.uniform(1.4, 4)
    end = start * (c.uniform(0.3, 0.8) if big else c.uniform(0.05, 0.5))
    pace, noise, gap = steps * c.uniform(0.06, 0.25), c.choice([0.02, 0.05, 0.1, 0.2, 0.3]), 1.1

    def loss(t: float) -> float:
        return end + (start - end) * math.exp(-t / pace)

    count = c.choice([2, 3, 4, 6, 10])
    shares = [(i + 1) / count for i in range(count)]
    evals = [(s, loss(steps * s) * gap * (1 + c.gauss(0, 0.004))) for s in shares]
    if c.random() < 0.25 and count >= 4:
        spec["early_stopping_patience"] = 3
        low = min(v for _, v in evals)
        evals[-3:] = [(s, low * (1.01 + 0.01 * i)) for i, (s, _) in enumerate(evals[-3:])]
    every = c.choice([1, 1, 5, 10]) if steps >= 100 else 1
    return _document(c, "", spec, loss, steps, noise, evals, every)


def sick(code: str, seed: int) -> dict[str, Any]:
    """A run with one of `CODES`, of random strength."""
    c = random.Random(f"{code} {seed}")
    spec, _ = _spec(c)
    steps, count = c.choice([40, 60, 100, 200, 400]), c.choice([4, 6, 8, 10])
    noise, start = c.choice([0.03, 0.08, 0.15, 0.25]), c.uniform(1.5, 3.5)
    if code == "underfitting":
        steps, count, noise = c.choice([6, 10, 15, 25]), 3, min(noise, 0.06)
    loss, held = _SHAPES[code](c, spec, start, steps)
    shares = [(i + 1) / count for i in range(count)]
    evals = [(s, max(0.05, held(s) * (1 + c.gauss(0, 0.01)))) for s in shares]
    return _document(c, code, spec, loss, steps, noise, evals)


Shape = tuple[Curve, Curve]


def _overfitting(c: random.Random, spec: dict[str, Any], start: float, steps: int) -> Shape:
    turn, rise, low = c.uniform(0.15, 0.5), c.uniform(0.18, 1.2), start * c.uniform(0.4, 0.7)
    pace = steps * c.uniform(0.2, 0.3)

    def held(share: float) -> float:
        if share < turn:
            return low + (0.9 * start - low) * (1 - share / turn) ** 2
        return low * (1 + rise * (share - turn) / (1 - turn))

    return (lambda t: start * math.exp(-t / pace) + 0.01), held


def _divergence(c: random.Random, spec: dict[str, Any], start: float, steps: int) -> Shape:
    turn, far = c.uniform(0.3, 0.7), c.uniform(2, 8)

    def held(share: float) -> float:
        if share < turn:
            return start * (1 - 0.5 * share / turn)
        return 0.5 * start + far * (share - turn) / (1 - turn)

    return (lambda t: held(t / steps)), held


def _rate_high(c: random.Random, spec: dict[str, Any], start: float, steps: int) -> Shape:
    spec["learning_rate"] *= c.choice([20, 50, 100, 300])
    level = start * c.choice([c.uniform(0.7, 1.1), c.uniform(1.3, 3)])
    return (lambda t: level if t > 3 else start * (1 + 0.3 * t)), (lambda share: level)


def _rate_low(c: random.Random, spec: dict[str, Any], start: float, steps: int) -> Shape:
    spec["learning_rate"] /= c.choice([30, 100, 1000])
    fall = c.uniform(0.0, 0.1)
    return (lambda t: start * (1 - fall * t / steps)), (lambda share: start * (1 - fall * share))


def _underfitting(c: random.Random, spec: dict[str, Any], start: float, steps: int) -> Shape:
    fall = c.uniform(0.08, 0.4)
    return (lambda t: start * (1 - fall * t / steps)), (lambda share: start * (1 - fall * share))


_SHAPES = {
    "overfitting": _overfitting,
    "divergence": _divergence,
    "lr_too_high": _rate_high,
    "lr_too_low": _rate_low,
    "underfitting": _underfitting,
}
