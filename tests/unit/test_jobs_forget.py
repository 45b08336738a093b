"""Forgetting: an exact list first, then exactly that list."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs_factory import make_dataset, make_spec_alone
from tools.context import Context
from tools.errors import BadInput, Conflict, NotAllowed, NotFound
from tools.history.jobs import JobRecord
from tools.jobs import consent
from tools.jobs.forgetting import ask_to_forget, delete


def _ended(ctx: Context) -> tuple[JobRecord, Path]:
    record = ctx.store.jobs.create(make_spec_alone(), name="old")
    ctx.store.jobs.set_state(record.id, "succeeded")
    folder = ctx.settings.job_folder(record.id)
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"x" * 2048)
    return record, folder


def test_nothing_is_deleted_before_consent_and_exactly_the_list_after(ctx: Context) -> None:
    record, folder = _ended(ctx)
    other, kept = _ended(ctx)
    asked = ask_to_forget(ctx, jobs=[record.id])
    assert asked.plan["folders"] == [{"folder": f"jobs/{record.id}", "files": 1, "bytes": 2048}]
    assert folder.exists()
    report = consent.grant(ctx, asked.approval_id, by="cli")
    assert not folder.exists()
    assert kept.exists()
    assert record.id in report.text()
    assert [job.id for job in ctx.store.jobs.find()] == [other.id]
    assert ctx.store.jobs.get(record.id).forgotten_at is not None


def test_a_list_that_changed_after_it_was_shown_is_void(ctx: Context) -> None:
    record, folder = _ended(ctx)
    asked = ask_to_forget(ctx, jobs=[record.id])
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(Conflict, match="changed"):
        consent.grant(ctx, asked.approval_id, by="cli")
    assert (folder / "notes.txt").exists()


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_job_at_work_cannot_be_forgotten(ctx: Context, state: str) -> None:
    record = ctx.store.jobs.create(make_spec_alone(), name="busy")
    if state == "running":
        ctx.store.jobs.set_state(record.id, "running")
    with pytest.raises(Conflict, match=state) as refused:
        ask_to_forget(ctx, jobs=[record.id])
    assert "cancel" in refused.value.hint


def test_data_that_a_running_job_uses_cannot_be_forgotten(ctx: Context) -> None:
    manifest = make_dataset(ctx)
    record = ctx.store.jobs.create(make_spec_alone(dataset=manifest.id), name="busy")
    ctx.store.jobs.set_state(record.id, "running")
    with pytest.raises(Conflict, match=record.id):
        ask_to_forget(ctx, path=manifest.id)


@pytest.mark.parametrize("named", ["id", "source", "folder"])
def test_a_prepared_dataset_is_forgotten_and_its_source_stays(ctx: Context, named: str) -> None:
    manifest = make_dataset(ctx)
    folder = ctx.settings.dataset_folder(manifest.id)
    path = {"id": manifest.id, "source": "made.csv", "folder": str(folder)}[named]
    asked = ask_to_forget(ctx, path=path)
    consent.grant(ctx, asked.approval_id, by="cli")
    assert not folder.exists()
    assert Path(manifest.source_path).exists()
    with pytest.raises(NotFound):
        ctx.store.dataset(manifest.id)


def test_a_link_out_of_the_home_is_never_followed(ctx: Context, tmp_path: Path) -> None:
    outside = tmp_path / "photos"
    outside.mkdir()
    (outside / "one.jpg").write_bytes(b"dear")
    record = ctx.store.jobs.create(make_spec_alone(), name="linked")
    ctx.store.jobs.set_state(record.id, "succeeded")
    folder = ctx.settings.job_folder(record.id)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(outside)
    with pytest.raises(NotAllowed):
        ask_to_forget(ctx, jobs=[record.id])
    for name in (f"jobs/{record.id}", "../photos", "jobs/../../photos"):
        plan = {"jobs": [], "datasets": [], "folders": [{"folder": name}], "total_bytes": 0}
        with pytest.raises(NotAllowed):
            delete(ctx, plan)
    assert (outside / "one.jpg").exists()


def test_forgetting_nothing_or_twice_is_said_plainly(ctx: Context) -> None:
    with pytest.raises(BadInput, match="Nothing was named"):
        ask_to_forget(ctx)
    with pytest.raises(NotFound, match="own files"):
        ask_to_forget(ctx, path="holiday.csv")
    record, _ = _ended(ctx)
    asked = ask_to_forget(ctx, jobs=[record.id])
    consent.grant(ctx, asked.approval_id, by="cli")
    with pytest.raises(NotFound):
        ask_to_forget(ctx, jobs=[record.id])
