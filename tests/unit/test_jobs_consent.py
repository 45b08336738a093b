"""Consent: exactly the plan that was shown, once, and never for changed data."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.jobs_factory import NoWorkers, make_dataset, make_spec
from tools.context import Context, utc_now
from tools.errors import Conflict, NotAllowed, NotFound
from tools.history.approvals import Approval
from tools.history.spec import TrainingSpec, plan_hash
from tools.jobs import consent
from tools.jobs.planning import ACTION
from tools.settings import Settings


@pytest.fixture
def idle(settings: Settings) -> Context:
    """A context whose jobs start no process."""
    return Context(settings.model_copy(update={"workers": NoWorkers()}))


def _ask(ctx: Context, spec: TrainingSpec, thread_id: str | None = None) -> Approval:
    return ctx.store.approvals.request(
        ACTION,
        subject="Tune it.",
        plan=spec.model_dump(mode="json"),
        card={"base": "starter"},
        predicted={"memory_gib": 0.5, "duration_s": 12.0},
        thread_id=thread_id,
        key=plan_hash(spec),
    )


def test_consent_starts_exactly_the_stored_plan_with_its_prediction(idle: Context) -> None:
    spec = make_spec(make_dataset(idle), "starter")
    asked = _ask(idle, spec, thread_id="t1")
    report = consent.grant(idle, asked.id, by="button")
    job = idle.store.jobs.get(report.job or "")
    assert (report.state, job.state) == ("running", "running")
    assert (job.spec, job.plan_hash) == (spec, asked.plan_hash)
    assert (job.thread_id, job.predicted["memory_gib"]) == ("t1", 0.5)
    granted = idle.store.approvals.get(asked.id)
    assert (granted.state, granted.granted_by, granted.outcome) == ("granted", "button", job.id)


def test_consent_given_twice_starts_one_job(idle: Context) -> None:
    asked = _ask(idle, make_spec(make_dataset(idle), "starter"))
    first = consent.grant(idle, asked.id, by="button")
    second = consent.grant(idle, asked.id, by="typed")
    assert first.job == second.job
    assert len(idle.store.jobs.find()) == 1
    workers = idle.settings.workers
    assert isinstance(workers, NoWorkers)
    assert workers.started == [first.job]


def test_consent_that_crashed_before_the_launch_is_healed_by_asking_again(idle: Context) -> None:
    asked = _ask(idle, make_spec(make_dataset(idle), "starter"))
    idle.store.approvals.decide(asked.id, "granted", by="cli")
    report = consent.grant(idle, asked.id, by="cli")
    assert report.job == idle.store.jobs.find()[0].id


def test_consent_comes_too_late_after_a_day(idle: Context) -> None:
    asked = _ask(idle, make_spec(make_dataset(idle), "starter"))
    tomorrow = Context(idle.settings, clock=lambda: utc_now() + timedelta(hours=25))
    with pytest.raises(Conflict, match="more than a day"):
        consent.grant(tomorrow, asked.id, by="button")
    assert idle.store.jobs.find() == []


@pytest.mark.parametrize("how", ["source", "version", "forgotten"])
def test_changed_data_voids_the_plan(idle: Context, how: str) -> None:
    manifest = make_dataset(idle)
    spec = make_spec(manifest, "starter")
    asked = _ask(idle, spec)
    if how == "source":
        Path(manifest.source_path).write_text("other rows\n")
    elif how == "version":
        asked = _ask(idle, spec.model_copy(update={"dataset_fingerprint": "of older rows"}))
    else:
        idle.store.forget_dataset(manifest.id)
    with pytest.raises(Conflict):
        consent.grant(idle, asked.id, by="button")
    assert idle.store.approvals.get(asked.id).state == "void"
    assert idle.store.jobs.find() == []


def test_a_source_that_is_gone_does_not_void_a_prepared_version(idle: Context) -> None:
    manifest = make_dataset(idle)
    asked = _ask(idle, make_spec(manifest, "starter"))
    Path(manifest.source_path).unlink()
    assert consent.grant(idle, asked.id, by="button").job


def test_a_tampered_plan_is_void(idle: Context) -> None:
    spec = make_spec(make_dataset(idle), "starter")
    asked = idle.store.approvals.request(
        ACTION,
        subject="s",
        plan=spec.model_copy(update={"epochs": 900.0}).model_dump(mode="json"),
        card={},
        key=plan_hash(spec),
    )
    with pytest.raises(Conflict, match="not the one that was shown"):
        consent.grant(idle, asked.id, by="button")
    assert idle.store.jobs.find() == []


def test_a_declined_plan_can_no_longer_be_granted_nor_a_granted_one_declined(
    idle: Context,
) -> None:
    spec = make_spec(make_dataset(idle), "starter")
    first, second = _ask(idle, spec), _ask(idle, spec)
    assert consent.decline(idle, first.id, by="button").state == "declined"
    assert consent.decline(idle, first.id, by="button").state == "declined"
    with pytest.raises(Conflict, match="declined"):
        consent.grant(idle, first.id, by="button")
    consent.grant(idle, second.id, by="button")
    with pytest.raises(Conflict):
        consent.decline(idle, second.id, by="button")
    assert len(idle.store.jobs.find()) == 1


def test_the_demo_cannot_consent_to_what_is_not_its_own(idle: Context) -> None:
    asked = _ask(idle, make_spec(make_dataset(idle), "starter"))
    with pytest.raises(NotAllowed, match="demo"):
        consent.grant(idle, asked.id, by="demo")
    assert idle.store.approvals.get(asked.id).state == "waiting"


def test_consent_to_a_plan_that_does_not_exist_is_not_found(idle: Context) -> None:
    with pytest.raises(NotFound):
        consent.grant(idle, "000000", by="button")


def test_consent_to_reach_out_runs_that_call_with_the_network_granted(idle: Context) -> None:
    asked = idle.store.approvals.request(
        "network",
        subject="Ask huggingface.co",
        plan={"capability": "list_jobs", "arguments": {"limit": 3}},
        card={},
    )
    report = consent.grant(idle, asked.id, by="button")
    assert report.result is not None
    assert report.result["type"] == "JobsReport"
    assert "no jobs" in report.text()
    again = consent.grant(idle, asked.id, by="button")
    assert again.result is None
