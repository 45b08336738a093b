"""A measured speed replaces the assumed one; a broken file does not matter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tools.advise import calibration
from tools.advise.capabilities import calibrate_machine
from tools.advise.duration import Run, estimate_duration
from tools.advise.hardware import this_machine
from tools.advise.models import STARTER, resolve_model
from tools.context import Context


def test_a_calibration_is_kept_and_used(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_SECONDS", 0.05)
    assert this_machine(ctx.settings).gflops is None
    report = calibrate_machine(ctx=ctx)
    assert report.gflops > 0
    assert this_machine(ctx.settings).gflops == report.gflops


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"gflops": "fast"}', '{"gflops": -1}'])
def test_a_broken_file_counts_as_none(ctx: Context, text: str) -> None:
    path = ctx.settings.home / "cache" / "calibration.json"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert this_machine(ctx.settings).gflops is None


def test_a_processor_of_twice_the_speed_needs_less_time(ctx: Context) -> None:
    run = Run(
        shape=resolve_model(ctx, STARTER, needs_weights=False).shape, method="lora", tokens=1e7,
        micro_steps=100, eval_tokens=0, checkpointing=False, device="cpu",
    )  # fmt: skip
    slow = replace(this_machine(ctx.settings), gpus=(), gflops=50.0)
    first, second = (estimate_duration(run, replace(slow, gflops=g)) for g in (50.0, 100.0))
    assert second.expected < first.expected
    assert "measured" in first.basis


def test_a_busy_machine_widens_the_time_upwards_and_says_so(ctx: Context) -> None:
    run = Run(
        shape=resolve_model(ctx, STARTER, needs_weights=False).shape, method="lora", tokens=1e7,
        micro_steps=100, eval_tokens=0, checkpointing=False, device="cpu",
    )  # fmt: skip
    here = replace(this_machine(ctx.settings), gpus=(), crowd=1.0)
    calm, busy = (estimate_duration(run, replace(here, crowd=crowd)) for crowd in (1.0, 4.0))
    assert busy.expected == calm.expected
    assert busy.high == pytest.approx(4 * calm.high)
    assert "busy" in busy.basis
    assert "busy" not in calm.basis


def test_looking_up_embeddings_takes_no_time(ctx: Context) -> None:
    shape = resolve_model(ctx, STARTER, needs_weights=False).shape
    run = Run(
        shape=shape, method="lora", tokens=1e7, micro_steps=100, eval_tokens=0,
        checkpointing=False, device="cpu", trained_share=0.0,
    )  # fmt: skip
    assert run.parameters == shape.parameters - shape.embedding_parameters
    assert replace(run, trained_share=1.0).parameters == pytest.approx(shape.parameters)
