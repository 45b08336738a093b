"""Running out of memory: solved without changing the task, or ended with a proposal.

The failures are injected: torch is made to say what it says when memory is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.integration.jobs_here import job_here, small_run, told_by
from tests.jobs_factory import ROWS, TAGS, make_spec_alone
from tools.context import Context
from tools.errors import Refused
from tools.work import ladder, outcome, probe, train
from tools.work.ladder import rungs
from tools.work.objectives import supervised
from tools.work.recipe import Recipe
from tools.work.report import Job
from tools.work.saving import quantise_moments
from tools.work.shortage import Failure

pytestmark = [
    pytest.mark.integration,
    # The training libraries warn of their own deprecations.
    pytest.mark.filterwarnings("ignore"),
]

MAY_CHANGE = ("batch_size", "gradient_accumulation", "gradient_checkpointing")
CHANGEABLE = (*MAY_CHANGE, "optimizer", "attention", "activation_offload")
_GONE = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."


@pytest.fixture(autouse=True)
def unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the comparison with the base, which has tests of its own."""
    monkeypatch.setattr(outcome, "judge", lambda *_: {})


@pytest.fixture
def job(ctx: Context, material: Path) -> Callable[..., Job]:
    """Make a job that runs in this process."""

    def make(objective: str = "prompt_completion", **changes: Any) -> Job:
        return job_here(
            ctx, small_run(ctx, material, objective, **{"may_change": MAY_CHANGE} | changes)
        )

    return make


def _no_room_above(monkeypatch: pytest.MonkeyPatch, rows: int, *, from_step: int = 0) -> None:
    real, calls = supervised.trained_logits, []

    def limited(model: Any, batch: Any, **options: Any) -> Any:
        calls.append(model.training)
        if model.training and _rows(batch) > rows and sum(calls) > from_step:
            raise RuntimeError(_GONE)
        return real(model, batch, **options)

    monkeypatch.setattr(supervised, "trained_logits", limited)


def _rows(batch: Any) -> int:
    return len(batch["row_lengths"] if "row_lengths" in batch else batch["input_ids"])


@pytest.mark.parametrize("room", [4, 2])
def test_the_probe_finds_a_batch_that_fits_and_the_losses_are_the_same(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    easy = job()
    train.run(easy)
    _no_room_above(monkeypatch, room)
    tight = job()
    told = train.run(tight)["notice"]
    attempts, losses = told_by(tight)
    assert 1 <= len(attempts) <= 2
    last = attempts[-1]["changes"]
    assert last["batch_size"][1] <= room
    assert last["batch_size"][1] * last["gradient_accumulation"][1] == 8
    assert "did not fit" in attempts[0]["reason"]
    assert f"batch size 8 to {last['batch_size'][1]}" in told
    expected = told_by(easy)[1]
    assert losses.keys() == expected.keys()
    assert all(losses[step] == pytest.approx(expected[step], rel=0.02) for step in expected)


def test_memory_that_runs_out_later_goes_on_from_the_last_checkpoint(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The probe takes two steps, so this is in the sixth step of the run.
    _no_room_above(monkeypatch, 4, from_step=probe.STEPS + 5)
    late = job()
    train.run(late)
    attempts, losses = told_by(late)
    assert len(attempts) == 1
    assert sorted(losses) == list(range(1, 9))
    phases = [e.payload for e in late.store.jobs.events(late.id, kinds=["phase"])]
    assert [p["note"] for p in phases if p["phase"] == "train"] == ["", "goes on from step 4"]


def test_what_the_plan_does_not_allow_is_not_changed(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    _no_room_above(monkeypatch, 0)
    for allowed in ((), MAY_CHANGE):
        stuck = job(may_change=allowed)
        with pytest.raises(Refused, match="makes it smaller") as refused:
            train.run(stuck)
        assert refused.value.refused_by == "memory"
        assert "smaller model" in refused.value.hint
        attempts, losses = told_by(stuck)
        assert losses == {}
        assert {name for a in attempts for name in a["changes"]} <= set(allowed)


@pytest.mark.parametrize("objective", sorted(ROWS))
def test_a_smaller_attempt_is_found_whatever_is_learned(
    job: Callable[..., Job], objective: str
) -> None:
    labels = {"token_classification": TAGS, "sequence_classification": ("food", "pet", "toy")}
    tight = job(objective, labels=labels.get(objective, ()), max_length=128)
    spec = tight.record.training
    chosen = train._next_attempt(tight, spec, Failure(problem="Full.", available_gib=64.0))
    assert chosen.batch_size < spec.batch_size
    kept = {"batch_size", "gradient_accumulation", "gradient_checkpointing"}
    assert chosen.model_dump(exclude=kept) == spec.model_dump(exclude=kept)


def test_a_run_killed_in_its_second_attempt_goes_on_with_that_attempt(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    easy = job()
    train.run(easy)
    _no_room_above(monkeypatch, 4)
    real, steps = Recipe.compute_loss, list[int]()

    def killed(self: Recipe, *arguments: Any, **named: Any) -> Any:
        steps.append(1)
        # Two micro-batches a step: this is in the sixth step, after the checkpoint of the fourth.
        if len(steps) == 11:
            raise KeyboardInterrupt
        return real(self, *arguments, **named)

    monkeypatch.setattr(Recipe, "compute_loss", killed)
    doomed = job()
    with pytest.raises(KeyboardInterrupt):
        train.run(doomed)
    again = Job(doomed.record, doomed.settings, doomed.store)
    train.run(again)
    attempts, losses = told_by(again)
    assert len(attempts) == 1
    assert attempts[0]["changes"]["batch_size"] == [8, 4]
    phases = [e.payload for e in again.store.jobs.events(again.id, kinds=["phase"])]
    assert [p["note"] for p in phases if p["phase"] == "train"][-1] == "goes on from step 4"
    expected = told_by(easy)[1]
    assert losses == {step: pytest.approx(loss, rel=0.02) for step, loss in expected.items()}


def test_cheaper_optimiser_states_go_on_from_the_moments_of_the_checkpoint(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bitsandbytes")
    # Of so small a model the states save next to nothing.
    monkeypatch.setattr(ladder, "_WORTH", 2.0)
    wish = {
        "method": "full", "batch_size": 1, "learning_rate": 1e-3, "gradient_checkpointing": True,
        "may_change": ("optimizer",),
    }  # fmt: skip
    easy = job(**wish)
    train.run(easy)
    real, calls = supervised.trained_logits, list[bool]()

    def once(model: Any, batch: Any, **options: Any) -> Any:
        calls.append(model.training)
        if sum(calls) == probe.STEPS + 6 and model.training:
            raise MemoryError
        return real(model, batch, **options)

    monkeypatch.setattr(supervised, "trained_logits", once)
    tight = job(**wish)
    train.run(tight)
    attempts, losses = told_by(tight)
    assert [a["changes"] for a in attempts] == [{"optimizer": ["adamw", "adamw_8bit"]}]
    phases = [e.payload for e in tight.store.jobs.events(tight.id, kinds=["phase"])]
    assert [p["note"] for p in phases if p["phase"] == "train"] == ["", "goes on from step 4"]
    expected = told_by(easy)[1]
    assert losses == {step: pytest.approx(loss, rel=0.02) for step, loss in expected.items()}


def test_moments_in_8_bits_are_those_of_the_run_before() -> None:
    optim = pytest.importorskip("bitsandbytes.optim")
    # What runs before have asked for is kept in one place for the whole process.
    optim.GlobalOptimManager.get_instance().initialize()
    torch.manual_seed(0)
    layer, rows = torch.nn.Linear(100, 251), torch.randn(8, 100)
    whole = torch.optim.AdamW(layer.parameters(), lr=1e-3)
    for _ in range(5):
        layer(rows).square().mean().backward()
        whole.step()
    small = optim.AdamW8bit(layer.parameters(), lr=1e-3)
    small.load_state_dict(whole.state_dict())
    quantise_moments(small)
    state, before = small.state[layer.weight], whole.state[layer.weight]
    assert state["step"] == 5
    for n, name in enumerate(("exp_avg", "exp_avg_sq"), start=1):
        code = state[f"qmap{n}"][state[f"state{n}"].flatten().long()]
        sizes = state[f"absmax{n}"].repeat_interleave(256)[: code.numel()]
        error = (code * sizes - before[name].flatten()).abs()
        assert state[f"state{n}"].dtype == torch.uint8
        assert float(error.mean()) < 0.02 * float(before[name].abs().mean())


def test_checkpointing_activations_changes_no_loss(job: Callable[..., Job]) -> None:
    plain, saving = job(max_steps=4), job(max_steps=4, gradient_checkpointing=True)
    train.run(plain)
    train.run(saving)
    expected, found = told_by(plain)[1], told_by(saving)[1]
    assert found == {step: pytest.approx(loss, rel=1e-4) for step, loss in expected.items()}


@pytest.mark.parametrize(
    ("device", "attention", "expected"),
    [
        ("cpu", "auto", {"optimizer": "adamw_8bit"}),
        ("cpu", "eager", {"optimizer": "adamw_8bit", "attention": "sdpa"}),
        ("cuda", "auto", {"optimizer": "paged_adamw_8bit", "activation_offload": True}),
    ],
)
def test_after_the_batch_comes_what_helps_on_this_device(
    device: str, attention: str, expected: dict[str, object]
) -> None:
    pytest.importorskip("bitsandbytes")
    spec = make_spec_alone(
        batch_size=1, device=device, attention=attention, method="full", may_change=CHANGEABLE
    )
    found = list(rungs(spec))
    assert found[0].gradient_checkpointing
    last = found[-1].model_dump(include=set(CHANGEABLE))
    changed = {k: v for k, v in last.items() if v != getattr(spec, k)}
    assert changed == expected | {"gradient_checkpointing": True}
    assert found[-1].model_dump(exclude=set(CHANGEABLE)) == spec.model_dump(exclude=set(CHANGEABLE))


@pytest.mark.parametrize("batch", [1, 2, 7, 12, 15, 16, 4096])
def test_every_rung_updates_on_as_many_rows(batch: int) -> None:
    spec = make_spec_alone(batch_size=batch, gradient_accumulation=3, may_change=MAY_CHANGE)
    found = list(rungs(spec))
    assert all(r.batch_size * r.gradient_accumulation == 3 * batch for r in found)
    sizes = [r.batch_size for r in found]
    assert sizes == sorted(sizes, reverse=True)
    assert found[-1].batch_size == 1
    assert found[-1].gradient_checkpointing
    protected = set(MAY_CHANGE)
    before = spec.model_dump(exclude=protected)
    assert all(r.model_dump(exclude=protected) == before for r in found)
