"""A sick run that is really trained: alarmed while it runs, named, cured, and compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.sick import patches
from tests.sick.cases import SICK
from tests.sick.training import Case, train_in
from tools.context import Context
from tools.diagnose.diagnose import diagnose

pytestmark = [
    pytest.mark.integration,
    # The training libraries warn of their own deprecations.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture
def case(material: Path) -> Case:
    """Sixteen short steps on a model of 260k parameters."""
    chosen = next(c for c in SICK if c.name == "rate /1000 lora")
    model = str(material / "models" / "stories260K")
    changes = {"max_steps": 16, "eval_steps": 4, "learning_rate": 1e-2}
    return replace(chosen, model=model, spec=chosen.spec | changes)


def test_a_broken_loss_is_told_at_once_named_and_its_cure_judged(ctx: Context, case: Case) -> None:
    sick = train_in(ctx, replace(case, patch=patches.nan_from(6)))
    notices = " ".join(n.text for n in ctx.store.claim_notices("test"))
    assert "is not a number at step" in notices
    report = diagnose(ctx, job=sick)
    assert report.causes[0].code == "nan_loss"
    assert report.causes[0].cure.arguments["cures"] == sick
    assert ctx.store.jobs.get(sick).state == "failed"
    cured = train_in(ctx, case, cures=sick)
    assert f"The cure worked: {sick} was failed" in ctx.store.claim_notices("test")[-1].text
    comparison = diagnose(ctx, job=cured).comparison
    assert comparison is not None
    assert comparison.worked is True


def test_a_rate_far_too_low_is_named_from_what_the_run_told(ctx: Context, case: Case) -> None:
    sick = train_in(ctx, case, learning_rate=1e-5)
    report = diagnose(ctx, job=sick)
    assert report.causes[0].code == "lr_too_low"
    assert report.causes[0].cure.changes["learning_rate"] == (1e-5, 3e-3)
    told = {e.kind for e in ctx.store.jobs.events(sick)}
    assert {"setup", "data", "timing", "judged"} <= told
