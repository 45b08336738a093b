"""The exact tier: the real step traced on empty tensors by a process of its own, kept by content.

The answer is *allocated* memory; the context and the allocator's reserve come on top.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

from tools.advise.figures import MemoryEstimate
from tools.advise.memory import QUANTIZED_BYTES, RECIPES, Workload, estimate_memory
from tools.context import Context
from tools.errors import Unavailable
from tools.history.spec import digest

_DEADLINE_S = 300
_VERSION = 1
_LOW, _HIGH = 0.95, 1.10
"""Of the traced peak: what the allocator rounds up and reserves."""


def trace(ctx: Context, work: Workload, config: dict[str, Any]) -> MemoryEstimate:
    """Return the traced peak of a step on one GPU; the same step is traced only once.

    Takes some seconds and about half a gigabyte of memory for models up to 8B.

    Raises:
        Unavailable: The tracing process failed or took too long.
    """
    request = _request(work, config)
    kept = ctx.settings.home / "cache" / "traces" / f"{digest(request)}.json"
    if kept.is_file():
        answer = json.loads(kept.read_text(encoding="utf-8"))
    else:
        answer = _run(ctx, request)
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(".tmp")
        temporary.write_text(json.dumps(answer), encoding="utf-8")
        temporary.replace(kept)
    return _estimate(work, float(answer["peak_gib"]))


def _request(work: Workload, config: dict[str, Any]) -> dict[str, Any]:
    constants = 0.0
    if work.quantized != "none":
        constants = QUANTIZED_BYTES[work.quantized] - 0.5
    return {
        "version": _VERSION,
        "config": config,
        "method": work.method,
        "batch": work.batch,
        "length": work.length,
        "trained_tokens": max(1, int(work.trained_share * work.batch * (work.length - 1))),
        "rank": work.rank,
        "targets": work.targets,
        "precision": work.precision,
        "quantized": work.quantized != "none",
        "constants": constants,
        "checkpointing": work.checkpointing,
        "optimizer": work.optimizer,
    }


def _run(ctx: Context, request: dict[str, Any]) -> dict[str, Any]:
    ctx.settings.home.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tools.work.trace"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            cwd=ctx.settings.home,
            env=ctx.settings.worker_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(
            f"The exact trace took longer than {_DEADLINE_S} seconds.",
            hint="Use the instant estimate, or try again when the machine is less busy.",
        ) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
        raise Unavailable(
            f"The exact trace of this step failed: {last}.", hint="Use the instant estimate."
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _estimate(work: Workload, peak_gib: float) -> MemoryEstimate:
    """Put the traced peak in the place of the arithmetic one, its parts scaled."""
    fixed = RECIPES[work.recipe].fixed_gib
    instant = estimate_memory(replace(work, device="cuda"))
    share = peak_gib / max(1e-9, instant.expected_gib - fixed)
    parts = {n: v if n == "framework" else v * share for n, v in instant.parts.items()}
    return MemoryEstimate(
        low_gib=_LOW * peak_gib + 0.8 * fixed,
        expected_gib=peak_gib + fixed,
        high_gib=_HIGH * peak_gib + 1.2 * fixed,
        parts=parts,
        basis="the real step traced on empty tensors",
        device="cuda",
        host_gib=instant.host_gib,
    )
