"""The judgement that a stand-in leaves, made from a few given figures by the product's own rules.

Rows are not judged. Intervals are the normal approximation for so many rows, which is what a
seeded history needs to look like one.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tools.evaluate.figures import Difference, Estimate
from tools.evaluate.judgement import Judgement
from tools.evaluate.verdict import Evidence, judge_evidence
from tools.jobs.ending import write_durably

_ROWS = 160
_BASE_LOSS = 3.2
_95_PERCENT = 1.96
_LOSS_SPREAD = 0.05


def leave_judgement(folder: Path, job_id: str, given: dict[str, Any]) -> dict[str, Any]:
    """Write `evaluation.json` and return its artefact and metrics, the given figures included.

    Args:
        given: `accuracy` with `base_accuracy`, or `eval_loss` with `base_eval_loss`, and `n`.

    Returns:
        `artifacts` and `metrics` for the history.
    """
    judgement = judge_figures(given)
    write_durably(folder / "evaluation.json", judgement.model_dump_json(indent=1).encode())
    return {
        "artifacts": {"evaluation": f"jobs/{job_id}/evaluation.json"},
        "metrics": judgement.flat() | given,
    }


def judge_figures(given: dict[str, Any]) -> Judgement:
    """Return the judgement of a run with these figures."""
    rows = int(given.get("n", _ROWS))
    if "accuracy" in given:
        return _by_accuracy(given, rows)
    return _by_loss(given, rows)


def _by_accuracy(given: dict[str, Any], rows: int) -> Judgement:
    tuned = _share(float(given["accuracy"]), rows)
    base = _share(float(given.get("base_accuracy", 0.2)), rows)
    spread = math.hypot(_half(tuned.value, rows), _half(base.value, rows))
    metrics = {"base": {"accuracy": base}, "tuned": {"accuracy": tuned}}
    for model, prefix in (("base", "base_"), ("tuned", "")):
        if f"{prefix}eval_loss" in given:
            metrics[model]["loss"] = Estimate(value=float(given[f"{prefix}eval_loss"]))
    difference = _difference("accuracy", tuned.value - base.value, spread, rows)
    return _judgement(metrics, difference, base, tuned)


def _by_loss(given: dict[str, Any], rows: int) -> Judgement:
    tuned = Estimate(value=float(given.get("eval_loss", 0.55)))
    base = Estimate(value=float(given.get("base_eval_loss", _BASE_LOSS)))
    metrics = {
        name: {"loss": loss, "perplexity": Estimate(value=math.exp(loss.value))}
        for name, loss in (("base", base), ("tuned", tuned))
    }
    difference = _difference("loss", base.value - tuned.value, _LOSS_SPREAD, rows)
    return _judgement(metrics, difference, base, tuned)


def _judgement(
    metrics: dict[str, dict[str, Estimate]], difference: Difference, base: Estimate, tuned: Estimate
) -> Judgement:
    verdict = judge_evidence(Evidence(difference=difference, base=base, tuned=tuned))
    by_accuracy = difference.metric == "accuracy"
    return Judgement(
        task="classification" if by_accuracy else "chat",
        split="validation",
        path=None,
        n=difference.n,
        primary="accuracy" if by_accuracy else "loss",
        metrics=metrics,
        difference=difference,
        verdict=verdict.word,
        verdict_text=verdict.text,
    )


def _difference(metric: str, value: float, spread: float, rows: int) -> Difference:
    chance = math.erfc(abs(value) / (spread / _95_PERCENT) / math.sqrt(2)) if spread else 0.0
    low, high = value - spread, value + spread
    return Difference(metric=metric, value=value, low=low, high=high, p=chance, n=rows)


def _share(value: float, rows: int) -> Estimate:
    half = _half(value, rows)
    return Estimate(value=value, low=max(0.0, value - half), high=min(1.0, value + half))


def _half(value: float, rows: int) -> float:
    return _95_PERCENT * math.sqrt(value * (1 - value) / rows)
