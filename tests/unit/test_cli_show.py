"""`luthier show` tells of a job that runs and comes back; only `--follow` waits."""

from __future__ import annotations

import pytest

from tests.jobs_factory import make_spec_alone
from tools.catalog import find_capability
from tools.context import Context
from ui import consent


def test_showing_a_running_job_does_not_wait_for_its_end(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it waited")

    monkeypatch.setattr(consent, "wait_with_progress", never)
    show = find_capability("show_job")
    job = ctx.store.jobs.create(make_spec_alone(), name="busy").id
    ctx.store.jobs.set_state(job, "running")
    report = show.call(ctx, {"job": job})
    choices = {"yes": False, "detach": False, "quiet": True}
    code, shown = consent.finish(ctx, show, {"job": job}, report, **choices)
    assert code == 0
    assert shown.state == "running"  # type: ignore[attr-defined]
