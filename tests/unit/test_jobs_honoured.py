"""What was wished and would do nothing is refused before the plan waits."""

from __future__ import annotations

from typing import Any

import pytest

from tools.catalog import find_capability
from tools.context import Context
from tools.errors import ToolError

_TICKETS = "data/samples/support_tickets.csv"
_PAIRS = "data/samples/preferences.jsonl"


def _plan(ctx: Context, path: str = _TICKETS, **wishes: Any) -> dict[str, Any]:
    arguments = {"path": path, "model": "starter", **wishes}
    plan: dict[str, Any] = find_capability("start_training").call(ctx, arguments).model_dump()
    return plan["plan"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"rewards": ("one_line",)}, "Rewards judge"),
        ({"objective": "grpo", "rewards": ("nonsense",)}, "no reward 'nonsense'"),
        ({"objective": "grpo", "rewards": ("regex:(",)}, "cannot be read"),
        ({"beta": 0.3}, "Beta"),
        ({"loss_entry_point": "nobody"}, "No installed package"),
        ({"loss_weight": 0.2}, "no strength"),
        ({"loss": "label_smoothing", "loss_weight": 1.5}, "nothing of the labels"),
        ({"quantization": "nf4", "initialisation": "pissa"}, "quantised base"),
        ({"offload": "optimizer"}, "keeps everything"),
    ],
)
def test_a_wish_that_would_do_nothing_is_refused(
    ctx: Context, wishes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ToolError, match=said) as caught:
        _plan(ctx, **wishes)
    assert caught.value.hint
    assert not ctx.store.approvals.waiting()


def test_all_that_would_do_nothing_is_named_at_once(ctx: Context) -> None:
    with pytest.raises(ToolError, match=r"Rewards judge.*Beta"):
        _plan(ctx, rewards=("one_line",), beta=0.3)


@pytest.mark.parametrize(
    ("path", "wishes"),
    [
        (_PAIRS, {"beta": 0.3}),
        (_TICKETS, {"objective": "grpo", "rewards": ("label_match", "length:3")}),
        (_TICKETS, {"loss": "focal", "loss_weight": 3.0}),
        # What repeats a run names everything that its spec holds.
        (_TICKETS, {"method": "qlora", "quantization": "none", "offload": "none"}),
        (_TICKETS, {"initialisation": "pissa"}),
    ],
)
def test_a_wish_that_means_something_is_in_the_plan(
    ctx: Context, path: str, wishes: dict[str, Any]
) -> None:
    plan = _plan(ctx, path, **wishes)
    assert {name: plan[name] for name in wishes} == {
        name: list(value) if isinstance(value, tuple) else value for name, value in wishes.items()
    }
