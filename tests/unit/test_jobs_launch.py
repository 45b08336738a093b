"""Admission: what starts, what waits, and why."""

from __future__ import annotations

import pytest

from tests.jobs_factory import NoWorkers, make_spec_alone
from tools.context import Context
from tools.errors import Conflict, Unavailable
from tools.history.spec import EvaluationSpec
from tools.jobs import launch
from tools.jobs.launch import admit, submit, why_it_waits
from tools.jobs.resume import cancel, resume, why_not_resumable
from tools.settings import Settings


@pytest.fixture
def idle(settings: Settings) -> Context:
    """A context whose jobs start no process."""
    return Context(settings.model_copy(update={"workers": NoWorkers()}))


def test_one_training_at_a_time_and_the_next_when_it_ends(idle: Context) -> None:
    first = submit(idle, make_spec_alone(), name="a")
    second = submit(idle, make_spec_alone(seed=2), name="b")
    third = submit(idle, make_spec_alone(seed=3), name="c")
    assert [first.state, second.state, third.state] == ["running", "queued", "queued"]
    assert first.id in (why_it_waits(idle, second, idle.store.jobs.find(states=["running"])) or "")
    idle.store.jobs.set_state(first.id, "succeeded")
    assert admit(idle) == [second.id]
    assert idle.store.jobs.get(third.id).state == "queued"


def test_an_evaluation_need_not_wait_for_a_training(idle: Context) -> None:
    training = submit(idle, make_spec_alone(), name="a")
    spec = EvaluationSpec(job=training.id, dataset="made@0000")
    assert submit(idle, spec, name="judge").state == "running"


def test_a_job_waits_for_memory_that_running_ones_were_promised(
    idle: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "free_memory_gib", lambda: 4.0)
    training = submit(idle, make_spec_alone(), name="a", predicted={"memory_gib": 3.0})
    spec = EvaluationSpec(job=training.id, dataset="made@0000")
    waiting = submit(idle, spec, name="judge", predicted={"memory_gib": 2.0})
    assert (training.state, waiting.state) == ("running", "queued")
    why = why_it_waits(idle, waiting, idle.store.jobs.find(states=["running"]))
    assert why is not None
    assert "2.0 GiB" in why
    idle.store.jobs.set_state(training.id, "succeeded")
    assert admit(idle) == [waiting.id]


def test_the_memory_limit_of_the_settings_is_kept(settings: Settings) -> None:
    ctx = Context(settings.model_copy(update={"workers": NoWorkers(), "memory_limit_gib": 1.0}))
    job = submit(ctx, make_spec_alone(), name="big", predicted={"memory_gib": 1.5})
    assert job.state == "queued"


def test_a_queued_job_that_is_cancelled_never_starts(idle: Context) -> None:
    first = submit(idle, make_spec_alone(), name="a")
    second = submit(idle, make_spec_alone(seed=2), name="b")
    assert cancel(idle, second).state == "cancelled"
    idle.store.jobs.set_state(first.id, "succeeded")
    assert admit(idle) == []


def test_stopping_or_resuming_what_has_ended_is_a_conflict_with_a_next_step(idle: Context) -> None:
    job = submit(idle, make_spec_alone(), name="a")
    idle.store.jobs.set_state(job.id, "succeeded")
    with pytest.raises(Conflict, match="already ended") as stopped:
        cancel(idle, job)
    assert "show" in stopped.value.hint
    with pytest.raises(Conflict, match="already succeeded") as resumed:
        resume(idle, job)
    assert "new training" in resumed.value.hint


def test_without_a_checkpoint_nothing_can_be_resumed(idle: Context) -> None:
    job = submit(idle, make_spec_alone(), name="a")
    idle.store.jobs.set_state(job.id, "failed")
    why, found = why_not_resumable(idle, idle.store.jobs.get(job.id))
    assert found is None
    assert "no checkpoint" in why


def test_the_same_approval_starts_one_job(idle: Context) -> None:
    first = submit(idle, make_spec_alone(), name="a", approval_id="x")
    second = submit(idle, make_spec_alone(), name="a", approval_id="x")
    assert first.id == second.id
    workers = idle.settings.workers
    assert isinstance(workers, NoWorkers)
    assert workers.started == [first.id]


def test_a_folder_that_cannot_be_written_fails_the_job_with_a_reason(
    idle: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(launch, "write_durably", full)
    with pytest.raises(Unavailable, match="No space left"):
        submit(idle, make_spec_alone(), name="a")
    (job,) = idle.store.jobs.find()
    assert job.state == "failed"
    assert job.error is not None
    assert "disk space" in job.error["hint"]


def test_keys_of_other_services_never_reach_a_worker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    monkeypatch.setenv("LUTHIER_API_KEY", "canary")
    assert "canary" not in settings.worker_environment().values()
