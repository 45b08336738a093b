"""Several adapters on one base: one plan and one consent for all of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.jobs_factory import NoWorkers, make_spec_alone
from tools.catalog import find_capability
from tools.context import Context
from tools.errors import BadInput, Conflict, Refused, ToolError
from tools.export.runs import check_together, named_runs
from tools.history.jobs import JobRecord
from tools.history.spec import AdaptersSpec, NamedRun, read_spec
from tools.jobs.arguments import named_data
from tools.jobs.consent import grant
from tools.jobs.launch import submit, why_it_waits
from tools.jobs.parts import STARTED
from tools.jobs.resume import why_not_resumable
from tools.jobs.showing import show_one
from ui.web.desk import Desk
from ui.web.live import Lives
from ui.web.run_detail import run_detail
from ui.web.run_table import runs_table

TICKETS = "data/samples/support_tickets.csv"
TONES = "data/samples/phrase_tone.jsonl"


@pytest.fixture
def still(ctx: Context) -> Context:
    """A context whose jobs start and stay as they are."""
    return ctx.with_(settings=ctx.settings.model_copy(update={"workers": NoWorkers()}))


def _plan(ctx: Context, **wishes: Any) -> dict[str, Any]:
    arguments = {"path": TICKETS, "adapters": (f"tone={TONES}",), "model": "starter"} | wishes
    return find_capability("start_training").call(ctx, arguments).model_dump()


def _several(names: tuple[str, ...] = ("tickets", "tone"), **changes: Any) -> AdaptersSpec:
    runs = [NamedRun(name=n, run=make_spec_alone(dataset=f"{n}@0", **changes)) for n in names]
    return AdaptersSpec(runs=tuple(runs))


def _begun(ctx: Context, job: JobRecord, **states: str) -> dict[str, JobRecord]:
    """Start the runs of a job and let them end as said."""
    assert isinstance(job.spec, AdaptersSpec)
    found = {}
    for named in job.spec.runs:
        if named.name in states:
            run = submit(ctx, named.run, name=named.name, parent=job.id, at_once=True)
            ctx.store.jobs.set_state(run.id, states[named.name])  # type: ignore[arg-type]
            found[named.name] = ctx.store.jobs.get(run.id)
    ctx.store.jobs.record(job.id, metrics={STARTED: {n: r.id for n, r in found.items()}})
    return found


def test_one_plan_trains_every_adapter_after_one_consent(still: Context) -> None:
    document = _plan(still)
    names = [named["name"] for named in document["plan"]["runs"]]
    assert names == ["support-tickets", "tone"]
    first, second = (named["run"] for named in document["plan"]["runs"])
    assert first["dataset"] != second["dataset"]
    shared = ("model", "model_revision", "method", "target_modules", "quantization")
    assert [first[name] for name in shared] == [second[name] for name in shared]
    assert {"support-tickets", "tone"} <= set(document["card"])
    job = grant(still, document["approval_id"], by="cli").job
    assert job is not None
    record = still.store.jobs.get(job)
    assert (record.kind, record.state) == ("adapters", "running")
    assert grant(still, document["approval_id"], by="cli").job == job
    assert read_spec(record.spec.model_dump_json()) == record.spec


def test_the_figures_of_the_plan_are_those_of_all_runs(still: Context) -> None:
    whole = _plan(still)["estimate"]
    alone = [
        find_capability("start_training")
        .call(still, {"path": path, "model": "starter"})
        .model_dump()["estimate"]
        for path in (TICKETS, TONES)
    ]
    total = sum(one["duration_s"]["expected"] for one in alone)
    assert whole["duration_s"]["expected"] == pytest.approx(total, abs=0.2)
    assert whole["memory_gib"]["high"] == max(one["memory_gib"]["high"] for one in alone)


def test_minutes_are_shared_between_the_adapters(still: Context) -> None:
    runs = _plan(still, minutes=30)["plan"]["runs"]
    assert [named["run"]["max_minutes"] for named in runs] == [15, 15]


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"method": "full"}, "leaves no adapter"),
        ({"trials": 3}, "cannot be one job"),
        ({"adapters": (f"a={TICKETS}",)}, "several data sets"),
        ({"adapters": (f"support-tickets={TONES}",)}, "would be called"),
        ({"adapters": ("tone=nowhere.csv",)}, "nowhere.csv"),
        ({"continues": "latest"}, "about one run"),
    ],
)
def test_what_cannot_be_one_job_is_said_and_nothing_waits(
    still: Context, wishes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ToolError, match=said) as caught:
        _plan(still, **wishes)
    assert caught.value.hint
    assert not still.store.jobs.find()


def test_an_entry_with_the_data_of_the_first_names_it(still: Context) -> None:
    runs = _plan(still, adapters=(f"sorting={TICKETS}", TONES))["plan"]["runs"]
    assert [named["name"] for named in runs] == ["sorting", "phrase-tone"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tone=tone.csv", ("tone", "tone.csv")),
        (" my-tone = a b.csv ", ("my-tone", "a b.csv")),
        ("tone.csv", ("", "tone.csv")),
        ("dir/x=1/rows.csv", ("", "dir/x=1/rows.csv")),
    ],
)
def test_name_and_data_are_told_apart(text: str, expected: tuple[str, str]) -> None:
    assert named_data(text) == expected


def test_consent_is_void_when_the_data_of_a_later_adapter_changed(still: Context) -> None:
    changed = still.settings.work_dir / "tones.jsonl"
    rows = [f'{{"phrase": "what a day {i}", "tone": "{"joy" if i % 2 else "anger"}"}}\n'
            for i in range(60)]  # fmt: skip
    changed.write_text("".join(rows))
    document = _plan(still, adapters=(f"tone={changed}",))
    changed.write_text("".join(rows[:50]))
    with pytest.raises(Conflict, match="changed"):
        grant(still, document["approval_id"], by="cli")
    assert not still.store.jobs.find()


def test_the_runs_stand_in_the_place_of_their_job(still: Context) -> None:
    job = submit(still, _several(), name="both", predicted={"memory_gib": 0.2})
    run = submit(still, make_spec_alone(), name="one", parent=job.id, at_once=True)
    assert run.state == "running"
    other = submit(still, make_spec_alone(), name="other")
    running = still.store.jobs.find(states=["running"])
    assert "one training at a time" in str(why_it_waits(still, other, running))


def test_showing_lists_each_adapter_and_those_not_begun(still: Context) -> None:
    job = submit(still, _several(), name="both")
    runs = _begun(still, job, tickets="succeeded")
    shown = show_one(still, still.store.jobs.get(job.id))
    assert [(a["name"], a["state"]) for a in shown.adapters] == [
        ("tickets", "succeeded"),
        ("tone", "not begun"),
    ]
    assert runs["tickets"].id in shown.text()
    with pytest.raises(Conflict) as told:
        _ = job.training
    assert f"luthier show {job.id}" in told.value.hint


def test_a_stopped_job_goes_on_and_one_that_a_gate_refused_does_not(still: Context) -> None:
    job = submit(still, _several(), name="both")
    still.store.jobs.set_state(job.id, "interrupted")
    assert why_not_resumable(still, still.store.jobs.get(job.id)) == ("", None)
    error = {"code": "refused", "message": "No.", "hint": "Yes.", "refused_by": "labels"}
    still.store.jobs.set_state(job.id, "failed", error=error)
    assert "gate" in why_not_resumable(still, still.store.jobs.get(job.id))[0]


def test_forgetting_takes_the_adapters_with_it(still: Context) -> None:
    job = submit(still, _several(), name="both")
    run = _begun(still, job, tickets="succeeded")["tickets"]
    still.store.jobs.set_state(job.id, "succeeded")
    report = find_capability("forget").call(still, {"job": job.id}).model_dump()
    assert report["plan"]["jobs"] == [job.id, run.id]


def test_all_adapters_of_a_job_are_exported_together(still: Context) -> None:
    job = submit(still, _several(), name="both")
    runs = _begun(still, job, tickets="succeeded", tone="succeeded")
    names, found = named_runs(still, job.id, ())
    assert names == ("tickets", "tone")
    assert [run.id for run in found] == [run.id for run in runs.values()]
    alone = named_runs(still, runs["tone"].id, ())
    assert alone == ((), [runs["tone"]])
    assert named_runs(still, runs["tone"].id, (runs["tickets"].id,))[0] == ("tone", "tickets")


def test_adapters_that_are_missing_are_named(still: Context) -> None:
    job = submit(still, _several(), name="both")
    _begun(still, job, tickets="succeeded", tone="failed")
    with pytest.raises(Conflict, match="tone of"):
        named_runs(still, job.id, ())


def test_a_run_named_twice_is_said(still: Context) -> None:
    job = submit(still, _several(), name="both")
    run = _begun(still, job, tickets="succeeded")["tickets"]
    with pytest.raises(BadInput, match="twice"):
        named_runs(still, run.id, (run.id,))


@pytest.mark.parametrize(
    ("changes", "form", "said"),
    [
        ({"model": "other"}, "onnx", "different bases"),
        ({"method": "dora"}, "onnx", "more than low-rank"),
        ({"method": "loha"}, "onnx", "more than low-rank"),
        ({"modules_to_save": ("lm_head",)}, "onnx", "more than low-rank"),
        ({}, "merged", "ONNX"),
    ],
)
def test_what_cannot_stand_in_one_model_is_refused(
    still: Context, changes: dict[str, Any], form: Any, said: str
) -> None:
    job = submit(still, _several(), name="both")
    plain = _begun(still, job, tickets="succeeded")["tickets"]
    other = submit(still, make_spec_alone(**changes), name="other", at_once=True)
    with pytest.raises(Refused, match=said):
        check_together(form, [plain, other])


def test_the_app_shows_each_adapter_under_its_job(still: Context) -> None:
    job = submit(still, _several(("tickets", "tone")), name="both")
    run = _begun(still, job, tickets="succeeded")["tickets"]
    still.store.jobs.record(run.id, metrics={"accuracy": 0.9, "base_accuracy": 0.2})
    desk = Desk(still.settings)
    page = run_detail(desk, Lives(), still.store.jobs.get(job.id))
    assert "Adapters on one base" in page
    assert run.id in page
    assert "0.20 -&gt; 0.90" in page
    assert "not begun" in page
    table = runs_table(desk)
    assert "2 × lora" in table
    assert "tickets, tone" in table
    assert f"part of {job.id}" in table
