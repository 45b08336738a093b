"""Runs that compute in bfloat16: probe, steps and validation in the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.integration.jobs_here import job_here
from tests.jobs_factory import make_dataset, make_spec
from tools.context import Context
from tools.work import outcome, train
from tools.work.computing import computing, inputs_as_they_are
from tools.work.load import load_model
from tools.work.methods import make_trainable

pytestmark = [
    pytest.mark.integration,
    # The training libraries warn of their own deprecations.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(autouse=True)
def unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the comparison with the base, which has tests of its own."""
    monkeypatch.setattr(outcome, "judge", lambda *_: {})


@pytest.mark.parametrize("method", ["lora", "dora", "qlora"])
def test_a_16_bit_run_is_probed_trained_and_validated(
    ctx: Context, material: Path, method: str
) -> None:
    spec = make_spec(
        make_dataset(ctx), material / "models" / "stories260K", method=method,
        precision="bfloat16", gradient_checkpointing=True, dropout=0.05,
    )  # fmt: skip
    job = job_here(ctx, spec)
    train.run(job)
    job.flush()
    events = ctx.store.jobs.events(job.id, kinds=["metrics"])
    losses = [e.payload["eval_loss"] for e in events if e.payload["eval_loss"] is not None]
    assert losses[-1] < losses[0]


def test_a_16_bit_step_keeps_no_copies_of_its_inputs(ctx: Context, material: Path) -> None:
    spec = make_spec(
        make_dataset(ctx), material / "models" / "stories260K", precision="bfloat16", dropout=0.0
    )
    model = make_trainable(load_model(ctx.settings, spec, trainable=True), spec)
    ids = torch.randint(5, 500, (4, 32), generator=torch.Generator().manual_seed(1))
    kept = {name: _kept_bytes(model, spec, ids, name) for name in ("as they are", "raised")}
    assert kept["as they are"] < 0.95 * kept["raised"]


def test_what_a_quantised_base_leaves_stays_in_16_bits(ctx: Context, material: Path) -> None:
    spec = make_spec(
        make_dataset(ctx), material / "models" / "stories260K", method="qlora", precision="bfloat16"
    )
    model = make_trainable(load_model(ctx.settings, spec, trainable=True), spec)
    kinds = {p.dtype for name, p in model.named_parameters() if "lora" not in name}
    assert torch.float32 not in kinds


def _kept_bytes(model: torch.nn.Module, spec: Any, ids: torch.Tensor, name: str) -> int:
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        if name == "raised":
            with torch.autocast("cpu", torch.bfloat16):
                model(input_ids=ids, use_cache=False)
        else:
            with inputs_as_they_are(spec, model), computing(spec, model):
                model(input_ids=ids, use_cache=False)
    return sum(storage.nbytes() for storage in seen.values())
