"""What a search varies, how it is planned and consented to, and what is shown of it."""

from __future__ import annotations

import pytest

from tests.jobs_factory import NoWorkers, make_spec_alone
from tools.catalog import find_capability
from tools.context import Context
from tools.errors import BadInput, Conflict
from tools.history.events import StepMetrics, TrialChanged
from tools.history.spec import Between, SearchSpec
from tools.jobs.compiling import compile_run, plan_search
from tools.jobs.consent import grant
from tools.jobs.launch import submit, why_it_waits
from tools.jobs.resume import why_not_resumable
from tools.jobs.showing import show_one
from tools.jobs.space import default_space, own_values, read_space, vary
from tools.jobs.trial_plot import draw
from tools.jobs.trials import STUDY_FILE, leads

BASE = make_spec_alone(batch_size=8, gradient_accumulation=2, rank=16, alpha=32, eval_steps=10)


@pytest.fixture
def still(ctx: Context) -> Context:
    """A context whose jobs start and stay as they are."""
    return ctx.with_(settings=ctx.settings.model_copy(update={"workers": NoWorkers()}))


def _search(**changes: object) -> SearchSpec:
    return SearchSpec(**{"base": BASE, "space": default_space(BASE), "trials": 4} | changes)


def test_the_default_space_is_the_courses_and_holds_the_plan_itself() -> None:
    space = default_space(BASE)
    assert space["learning_rate"] == Between(low=1e-6, high=1e-3, log=True)
    assert space["rank"] == (8, 16, 32, 64)
    assert space["batch_size"] == (8, 16, 32)
    assert own_values(BASE, space) == {"learning_rate": 1e-3, "batch_size": 16, "rank": 16}
    fast = BASE.model_copy(update={"learning_rate": 5e-3, "rank": 4})
    assert own_values(fast, default_space(fast)).keys() == space.keys()


def test_a_method_without_a_rank_has_none_to_vary() -> None:
    assert "rank" not in default_space(BASE.model_copy(update={"method": "full"}))


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ("learning_rate=1e-5..1e-3", Between(low=1e-5, high=1e-3, log=True)),
        ("dropout = 0..0.2", Between(low=0, high=0.2, log=False)),
        ("rank=8, 16,32", (8.0, 16.0, 32.0)),
        ("rank=4..32", (4.0, 8.0, 16.0, 32.0)),
        ("rank=4..20", (4.0, 8.0, 16.0, 20.0)),
        ("lr_scheduler=cosine,linear", ("cosine", "linear")),
    ],
)
def test_what_to_vary_is_read_as_it_is_written(wish: str, expected: object) -> None:
    (found,) = read_space([wish]).values()
    assert found == expected


@pytest.mark.parametrize(
    "wish",
    ["model=a,b", "rank", "rank=x", "rank=0.5", "learning_rate=1e-3..1e-5", "dropout=-1..1", "=1"],
)
def test_what_cannot_be_varied_is_said(wish: str) -> None:
    with pytest.raises(BadInput):
        read_space([wish])


@pytest.mark.parametrize("rows", [8, 16, 32, 12, 7])
def test_a_variant_updates_on_the_wished_rows_and_never_on_a_larger_batch(rows: int) -> None:
    spec = vary(BASE, {"batch_size": float(rows)})
    assert spec.batch_size * spec.gradient_accumulation == rows
    assert spec.batch_size <= BASE.batch_size
    assert spec.eval_steps == max(1, round(10 * 16 / rows))


def test_the_scale_follows_the_rank_and_nothing_else_changes() -> None:
    spec = vary(BASE, {"rank": 64.0})
    assert (spec.rank, spec.alpha) == (64, 128)
    other = {"rank", "alpha"}
    assert spec.model_dump(exclude=other) == BASE.model_dump(exclude=other)


def test_a_value_out_of_bounds_is_a_mistake_of_the_wish() -> None:
    with pytest.raises(BadInput, match="learning_rate"):
        vary(BASE, {"learning_rate": 3.0})


def test_no_more_trials_are_planned_than_there_are_variants(still: Context) -> None:
    path = {"path": "data/samples/support_tickets.csv"}
    few = plan_search(still, path, {"vary": ("rank=8,16", "lr_scheduler=cosine,linear")})[1]
    assert few.trials == 4
    many = plan_search(still, path, {"vary": ("learning_rate=1e-4..1e-3",)})[1]
    assert many.trials == 10
    assert plan_search(still, path, {"vary": ("rank=8,16",), "trials": 6})[1].trials == 6


def test_asking_for_variants_stores_one_search_that_consent_starts(still: Context) -> None:
    arguments = {"path": "data/samples/support_tickets.csv", "trials": 3, "minutes": 30.0}
    report = find_capability("start_training").call(still, arguments)
    document = report.model_dump()
    assert document["plan"]["kind"] == "search"
    assert document["plan"]["trials"] == 3
    assert document["plan"]["max_minutes"] == 30
    # The minutes are the search's; each run is as long as it would be alone.
    assert document["plan"]["base"]["max_minutes"] is None
    assert "3, at most 30 minutes" in document["card"]["trials"]
    assert "learning rate" in document["card"]["varied"]
    job = grant(still, document["approval_id"], by="cli").job
    assert job is not None
    record = still.store.jobs.get(job)
    assert (record.kind, record.state) == ("search", "running")
    assert grant(still, document["approval_id"], by="cli").job == job
    with pytest.raises(Conflict):
        _ = record.training


def test_a_search_holds_the_place_of_its_trials_and_others_wait(still: Context) -> None:
    search = submit(still, _search(), name="search", predicted={"memory_gib": 0.2})
    trial = submit(still, BASE, name="trial", parent=search.id, at_once=True)
    assert trial.state == "running"
    other = submit(still, BASE, name="other", predicted={"memory_gib": 0.1})
    assert other.state == "queued"
    running = still.store.jobs.find(states=["running"])
    assert "one training at a time" in str(why_it_waits(still, other, running))
    # Resumed while its trial still runs, the search may go on beside it.
    assert why_it_waits(still, search, [trial]) is None


def test_a_search_goes_on_only_with_a_study_and_with_time_left(still: Context) -> None:
    search = submit(still, _search(max_minutes=10.0), name="search")
    still.store.jobs.set_state(search.id, "interrupted")
    folder = still.settings.job_folder(search.id)
    record = still.store.jobs.get(search.id)
    assert "first trial" in why_not_resumable(still, record)[0]
    (folder / STUDY_FILE).touch()
    assert why_not_resumable(still, record) == ("", None)
    still.store.jobs.record(search.id, measured={"searched_s": 600.0})
    record = still.store.jobs.get(search.id)
    assert "used up" in why_not_resumable(still, record)[0]


def test_showing_a_search_lists_its_trials_with_their_losses(still: Context) -> None:
    search = submit(still, _search(), name="search")
    trial = submit(still, BASE, name="trial", parent=search.id, at_once=True)
    steps = [StepMetrics(step=s, epoch=0.1, eval_loss=1 / s) for s in (2, 4, 4)]
    still.store.jobs.append(trial.id, steps)
    values = {"learning_rate": 1e-3}
    for state, value in (("running", None), ("finished", 0.25)):
        event = TrialChanged(number=1, job=trial.id, state=state, value=value, values=values)
        still.store.jobs.append(search.id, [event])
    shown = show_one(still, search)
    (row,) = shown.trials
    assert row["steps"] == [(2, 0.5), (4, 0.25)]
    assert (row["state"], row["value"]) == ("finished", 0.25)
    assert trial.id in shown.text()


def test_only_the_trial_that_leads_is_judged(still: Context) -> None:
    search = submit(still, _search(), name="search")
    first = submit(still, BASE, name="first", parent=search.id, at_once=True)
    still.store.jobs.record(first.id, metrics={"best_eval_loss": 0.5})
    still.store.jobs.set_state(first.id, "succeeded")
    second = submit(still, BASE, name="second", parent=search.id, at_once=True)
    assert leads(still.store, second, 0.4)
    assert not leads(still.store, second, 0.6)
    assert leads(still.store, first, 0.5)


def test_forgetting_a_search_lists_its_trials_too(still: Context) -> None:
    search = submit(still, _search(), name="search")
    trial = submit(still, BASE, name="trial", parent=search.id, at_once=True)
    for job in (trial.id, search.id):
        still.store.jobs.set_state(job, "cancelled")
    report = find_capability("forget").call(still, {"job": search.id}).model_dump()
    assert report["plan"]["jobs"] == [search.id, trial.id]
    assert f"jobs/{trial.id}" in report["card"]


def test_the_drawing_has_a_dot_for_each_result_and_escapes_what_it_says() -> None:
    trials = [
        {"number": n, "job": f"<b>{n}", "state": s, "value": v, "values": {"learning_rate": 1e-4}}
        for n, (s, v) in enumerate((("finished", 0.5), ("stopped early", 0.7), ("failed", None)))
    ]
    svg = draw(trials, best="<b>0", axis="learning_rate")
    assert svg.count("<circle") == 2
    assert "<b>" not in svg
    assert "No trial" in draw([])


def test_a_run_that_continues_another_keeps_what_the_weights_fit(still: Context) -> None:
    wishes = {
        "path": "data/samples/support_tickets.csv",
        "method": "dora",
        "rank": 4,
        "max_steps": 3,
    }
    before = submit(still, compile_run(still, wishes).spec, name="before")
    with pytest.raises(Conflict):
        compile_run(still, {"path": wishes["path"], "continues": before.id})
    still.store.jobs.set_state(before.id, "succeeded")
    plan = compile_run(still, {"path": wishes["path"], "continues": before.id})
    assert (plan.spec.method, plan.spec.rank) == ("dora", 4)
    assert plan.spec.continues == before.id
    with pytest.raises(BadInput, match="rank"):
        compile_run(still, {"path": wishes["path"], "continues": before.id, "rank": 8})
