"""Every method with an objective and every objective with a method: it learns and reloads.

A pairwise part; the whole matrix is `tests/benchmarks/training_matrix.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftType

from tests.integration.training_cells import (
    OBJECTIVES,
    every_cell,
    forbidden,
    labels_for,
    plan_for,
    rows_for,
    train_cell,
)
from tools.errors import BadInput, Refused
from tools.jobs import honoured
from tools.methods import left_out, method, methods
from tools.rewards import load_rewards, total
from tools.settings import Settings
from tools.work import losses
from tools.work.batching import Batcher
from tools.work.forward import call_through, open_door
from tools.work.load import load_model, load_tokenizer
from tools.work.methods import make_trainable
from tools.work.objectives import rows_stay_apart
from tools.work.objectives.heads import predict
from tools.work.objectives.preference import dpo, kto, orpo
from tools.work.objectives.supervised import summed_loss
from tools.work.packing import keep_rows_apart
from tools.work.rows import Encoded

pytestmark = [
    pytest.mark.integration,
    # The training libraries warn of their own deprecations.
    pytest.mark.filterwarnings("ignore"),
]

_QUICK = [name for name in OBJECTIVES if name != "grpo"]


def _pairwise() -> list[tuple[str, str]]:
    """Every method with an objective that it may have, taking turns; every objective with LoRA."""
    cells = [("lora", objective) for objective in OBJECTIVES]
    for i, name in enumerate(methods()):
        turns = [*_QUICK[i % len(_QUICK) :], *_QUICK]
        cells.append((name, next(o for o in turns if forbidden(name, o) is None)))
    return sorted(set(cells))


@pytest.fixture
def tiny(material: Path) -> Path:
    """A real pre-trained model of 260k parameters."""
    return material / "models" / "stories260K"


@pytest.mark.parametrize(("name", "objective"), _pairwise())
def test_a_cell_learns_and_reloads_with_the_same_loss(
    settings: Settings, tiny: Path, tmp_path: Path, name: str, objective: str
) -> None:
    cell = train_cell(settings, tmp_path, plan_for(name, objective, tiny), steps=10)
    assert cell.learned, cell
    assert cell.reload_error < 1e-3, cell


def test_every_type_of_the_installed_library_is_a_row_or_left_out_with_a_reason() -> None:
    rows = {row.peft for row in methods().values() if row.peft}
    offered = {kind.value for kind in PeftType}
    assert offered == rows | set(left_out())
    assert not rows & set(left_out())
    assert all(len(reason) > 20 for reason in left_out().values())


def test_what_cannot_go_together_is_forbidden_with_a_way_out() -> None:
    clashes = [clash for cell in every_cell() if (clash := forbidden(*cell))]
    assert clashes
    assert all(clash.reason and clash.instead for clash in clashes)
    prompts = [name for name, row in methods().items() if row.kind == "prompt"]
    assert all(forbidden(name, "sequence_classification") for name in prompts)


@pytest.mark.parametrize("start", sorted({s for row in methods().values() for s in row.starts}))
def test_every_initialisation_ends_as_an_adapter_of_the_untouched_base(
    settings: Settings, tiny: Path, tmp_path: Path, start: str
) -> None:
    name = next(name for name, row in methods().items() if start in row.starts)
    spec = plan_for(name, "prompt_completion", tiny, initialisation=start)
    cell = train_cell(settings, tmp_path, spec, steps=4)
    assert cell.learned, cell
    assert cell.reload_error < 1e-3, cell
    tuned = load_model(settings, spec, adapter=tmp_path / "saved")
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        bare = load_model(settings, spec)(ids).logits
        with tuned.disable_adapter():
            assert torch.allclose(tuned(ids).logits, bare, atol=1e-5)


@pytest.mark.parametrize("stored", ["nf4", "int8"])
def test_lora_learns_beside_a_quantised_base(
    settings: Settings, tiny: Path, tmp_path: Path, stored: str
) -> None:
    spec = plan_for("lora", "prompt_completion", tiny, quantization=stored)
    cell = train_cell(settings, tmp_path, spec, steps=4)
    assert cell.learned, cell
    assert cell.reload_error < 1e-2, cell


def test_whole_modules_are_trained_and_saved_beside_an_adapter(
    settings: Settings, tiny: Path, tmp_path: Path
) -> None:
    spec = plan_for("lora", "prompt_completion", tiny, modules_to_save=("norm",))
    plain = train_cell(settings, tmp_path / "a", plan_for("lora", "prompt_completion", tiny), 3)
    cell = train_cell(settings, tmp_path / "b", spec, steps=3)
    assert cell.trained > plain.trained
    assert cell.reload_error < 1e-3
    with pytest.raises(Refused, match="whole modules"):
        train_cell(
            settings,
            tmp_path / "c",
            plan_for("prompt_tuning", "prompt_completion", tiny, modules_to_save=("norm",)),
        )
    with pytest.raises(Refused, match="no module called ln_f") as told:
        train_cell(
            settings,
            tmp_path / "d",
            plan_for("lora", "prompt_completion", tiny, modules_to_save=("norm", "ln_f")),
        )
    assert "lm_head" in told.value.hint


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_packed_step_has_the_gradients_of_one_without_packing(
    settings: Settings, tiny: Path, attention: str
) -> None:
    spec = plan_for("lora", "prompt_completion", tiny, attention=attention)
    tokenizer = load_tokenizer(settings, spec)
    sizes = (40, 7, 23, 8, 39, 3)
    torch.manual_seed(2)
    ids = [torch.randint(5, 500, (size,)).tolist() for size in sizes]
    found = []
    for packed in (True, False):
        torch.manual_seed(1)
        model = load_model(settings, spec, trainable=True)
        if packed:
            keep_rows_apart(model)
        model = make_trainable(model, spec, tokenizer=tokenizer)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
        loss, tokens = summed_loss(model, Batcher(0, packed=packed).join(ids, ids))
        assert tokens == sum(sizes) - len(sizes)
        loss.backward()
        grads = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
        found.append((float(loss.detach()), grads))
    (one, first), (other, second) = found
    assert one == pytest.approx(other, rel=1e-5)
    for name, gradient in first.items():
        scale = float(second[name].abs().max())
        assert torch.allclose(gradient, second[name], atol=1e-4 * scale), name


def test_a_row_of_a_pack_does_not_see_its_neighbours(settings: Settings, tiny: Path) -> None:
    spec = plan_for("full", "prompt_completion", tiny)
    model = load_model(settings, spec)
    keep_rows_apart(model)
    batcher = Batcher(0, packed=True)
    alone = summed_loss(model, batcher.join([[5, 6, 7, 8]], [[5, 6, 7, 8]]))[0]
    masked = [-100] * 9
    for other in ([9] * 9, [30] * 9):
        beside = summed_loss(model, batcher.join([other, [5, 6, 7, 8]], [masked, [5, 6, 7, 8]]))[0]
        assert float(beside.detach()) == pytest.approx(float(alone.detach()), rel=1e-6)


def test_a_model_that_mixes_packed_rows_is_not_packed(settings: Settings, tiny: Path) -> None:
    spec = plan_for("full", "prompt_completion", tiny)
    model = load_model(settings, spec)
    ids = [list(range(start, start + 12)) for start in (5, 100, 300)]
    rows = Encoded(ids, ids)
    keep_rows_apart(model)
    assert rows_stay_apart(model, rows)
    # Injected: attention that ignores where rows end.
    model.set_attn_implementation("sdpa")
    model._supports_attention_backend = True
    ignoring = model.base_model.forward
    model.base_model.forward = lambda **named: ignoring(
        **{**named, "attention_mask": None, "position_ids": None}
    )
    assert not rows_stay_apart(model, rows)


def test_work_is_done_inside_the_forward_of_what_wraps_the_model() -> None:
    class Wrapper(torch.nn.Module):
        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.module, self.passed = module, 0

        def forward(self, *arguments: Any, **named: Any) -> Any:
            self.passed += 1
            return self.module(*arguments, **named)

    inner = torch.nn.Linear(2, 2)
    open_door(inner)
    wrapped = Wrapper(inner)
    assert call_through(wrapped, lambda: 7) == 7
    assert wrapped.passed == 1
    assert inner(torch.zeros(1, 2)).shape == (1, 2)


def test_the_named_losses_are_their_definitions() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.5, 0.0]])
    targets = torch.tensor([0, 2])
    likely = torch.log_softmax(logits, 1)
    nats = -likely[[0, 1], targets]
    assert torch.allclose(losses.cross_entropy(logits, targets), nats)
    smooth = 0.9 * nats - 0.1 * likely.mean(1)
    assert torch.allclose(losses.label_smoothing(logits, targets), smooth)
    assert torch.allclose(losses.focal(logits, targets), (1 - (-nats).exp()) ** 2 * nats)
    hinge = torch.tensor([0.0, 1.5])
    assert torch.allclose(losses.contrastive(logits, targets), nats + hinge)


def test_every_named_loss_trains(settings: Settings, tiny: Path, tmp_path: Path) -> None:
    for name in losses.NAMED:
        for objective in ("prompt_completion", "sequence_classification"):
            spec = plan_for("lora", objective, tiny, loss=name)
            assert train_cell(settings, tmp_path / f"{name}-{objective}", spec, steps=4).learned


def test_a_loss_of_ones_own_comes_from_an_installed_entry_point_only(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = plan_for("lora", "prompt_completion", tiny, loss_entry_point="twice")
    with pytest.raises(BadInput, match="twice") as told:
        losses.loss_of(spec)
    assert honoured.LOSSES in told.value.hint

    class Point:
        name = "twice"

        def load(self) -> Any:
            return lambda logits, targets: 2 * losses.cross_entropy(logits, targets)

    monkeypatch.setattr(honoured, "entry_points", lambda group: [Point()])
    logits, targets = torch.tensor([[1.0, 2.0]]), torch.tensor([1])
    assert losses.loss_of(spec)(logits, targets) == 2 * losses.cross_entropy(logits, targets)


def test_preference_losses_are_their_definitions() -> None:
    chosen, rejected = torch.tensor([-2.0]), torch.tensor([-3.0])
    loss, margin = dpo(chosen, rejected, torch.tensor([[-2.5, -2.0]]), beta=0.5)
    assert float(margin) == pytest.approx(0.5 * (0.5 + 1.0))
    assert float(loss) == pytest.approx(-torch.log(torch.sigmoid(torch.tensor(0.75))).item())
    losses_, rewards = kto(
        torch.tensor([1.0, 1.0]), torch.tensor([0.4]), torch.tensor([True, False]), beta=2.0
    )
    assert losses_.tolist() == pytest.approx(
        [1 - torch.sigmoid(torch.tensor(1.2)).item(), 1 - torch.sigmoid(torch.tensor(-1.2)).item()]
    )
    assert rewards.tolist() == [2.0, 2.0]
    loss, odds = orpo(torch.tensor([-0.5]), torch.tensor([-1.5]), beta=0.1)
    p, q = torch.exp(torch.tensor([-0.5, -1.5]))
    assert float(odds) == pytest.approx(
        float(torch.log(p / (1 - p)) - torch.log(q / (1 - q))), 1e-4
    )
    assert float(loss) == pytest.approx(0.5 - 0.1 * float(torch.log(torch.sigmoid(odds))), rel=1e-4)


def test_data_that_teaches_no_preference_is_refused(
    settings: Settings, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = [{**row, "rejected": row["chosen"]} for row in rows_for("dpo")]
    all_good = [{**row, "label": True} for row in rows_for("kto")]
    one_class = [{**row, "label": "toy"} for row in rows_for("sequence_classification")]
    cases = {"dpo": same, "kto": all_good, "sequence_classification": one_class}
    for objective, rows in cases.items():
        monkeypatch.setattr("tests.integration.training_cells.rows_for", lambda _, rows=rows: rows)
        with pytest.raises(Refused) as refused:
            train_cell(settings, tmp_path / objective, plan_for("lora", objective, tiny))
        assert refused.value.refused_by == "labels"


def test_a_head_that_was_trained_predicts_the_labels(
    settings: Settings, tiny: Path, tmp_path: Path
) -> None:
    for objective in ("sequence_classification", "token_classification"):
        spec = plan_for("lora", objective, tiny)
        train_cell(settings, tmp_path / objective, spec, steps=12)
        model = load_model(settings, spec, adapter=tmp_path / objective / "saved")
        rows = rows_for(objective)
        found = predict(model, load_tokenizer(settings, spec), rows, spec, batch=5)
        wanted = [row.get("tags") or row["label"] for row in rows]
        assert {type(one) for one in found} == {type(one) for one in wanted}
        right = sum(a == b for a, b in zip(found, wanted, strict=True)) / len(rows)
        assert right > 0.9, (objective, right)
        assert set(labels_for(objective)) >= {
            x for w in wanted for x in ([w] if isinstance(w, str) else w)
        }


def test_rewards_judge_and_run_nothing() -> None:
    row = {"label": "toy", "completion": [{"role": "assistant", "content": "toy"}]}
    given = load_rewards(("label_match", "length:2", "regex:[a-z]+", "json", "one_line"))
    assert [reward("p", "toy", row) for reward in given] == [1.0, 0.5, 1.0, 0.0, 1.0]
    assert total(given[:1], "p", "toy story", row) == 0.5
    # A pattern that would take for ever is given up on.
    (slow,) = load_rewards((r"regex:(a+)+$",))
    assert slow("p", "a" * 60 + "b", row) == 0.0
    for wrong in ((), ("exec",), ("length:x",), ("regex:(",)):
        with pytest.raises(BadInput):
            load_rewards(wrong)


def test_methods_that_do_not_merge_say_so(settings: Settings) -> None:
    assert {name for name, row in methods().items() if row.kind == "prompt"} <= {
        name for name, row in methods().items() if not row.merges
    }
    with pytest.raises(BadInput, match="witchcraft"):
        method("witchcraft")
