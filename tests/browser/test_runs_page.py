"""The Runs page in a real browser: live curves, comparison, searches, diagnosis and cure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.browser import seeds
from tests.browser.conftest import NARROW, WIDE, Server
from tests.browser.fakes import HOLD, SPEC
from tests.browser.test_chat_page import plan_of
from tests.browser.test_page_layout import check_texts
from tools.history.spec import UNFINISHED

pytestmark = pytest.mark.browser
Open = Callable[..., Any]


def open_runs(page: Any, job_id: str | None = None) -> None:
    page.get_by_role("tab", name="Runs").first.click()
    page.locator("#runs-table table").wait_for()
    if job_id:
        page.locator(f'#runs-table button[data-key="{job_id}"]').click()
        page.locator("#run-title h2", has_text=job_id).wait_for()


def pick(page: Any, job_id: str) -> None:
    page.get_by_label(f"Select {job_id}", exact=True).check()


def test_a_running_job_shows_curves_gauges_and_time_left_until_its_verdict(
    scripted: Server, open_page: Open
) -> None:
    page = open_page(scripted.url)
    plan_of(page)
    hold = scripted.home / HOLD
    hold.touch()
    try:
        page.get_by_role("button", name="Start", exact=True).click()
        page.locator("#run-panel polyline.train").wait_for()
        job = page.locator("#run-panel header b").inner_text()
        open_runs(page, job)
        detail = page.locator("#run-detail")
        detail.locator(".charts polyline.validation").wait_for()
        gauges = detail.locator(".gauges figcaption")
        said = " ".join(gauges.all_inner_texts())
        for words in ("learning rate", "gradient norm", "1,840 tokens/s", "0.83 GiB"):
            assert words in said
        assert "left" in detail.locator(".live").inner_text()
        done = detail.locator('.live [role="progressbar"]').get_attribute("aria-valuenow")
        assert 0 < int(done) < 100
        assert page.locator("#runs-stop").is_visible()
    finally:
        hold.unlink()
    detail.locator(".card.verdict").wait_for()
    assert not page.locator("#runs-stop").is_visible()
    assert page.locator("#runs-export").is_visible()


def test_selected_runs_are_overlaid_and_only_what_differs_is_shown(
    scripted: Server, open_page: Open
) -> None:
    first = seeds.ended_run(scripted.home, "compared one")
    wider = SPEC.model_copy(update={"rank": 64, "learning_rate": 8e-3})
    second = seeds.ended_run(scripted.home, "compared two", wider, accuracy=0.8)
    page = open_page(scripted.url)
    open_runs(page)
    pick(page, first)
    page.get_by_text("Select another run to compare them").wait_for()
    pick(page, second)
    table = page.locator("#compare table.versus")
    table.wait_for()
    assert page.locator("#compare figure").count() == 2
    assert page.locator("#compare figure").first.locator("polyline").count() == 2
    rows = table.locator("tbody th[scope=row]").all_inner_texts()
    assert rows[:2] == ["rank", "learning rate"]
    assert "method" not in rows, "what is the same is left out"
    assert "memory at the peak" not in rows
    assert table.locator(".best").first.inner_text().startswith("0.90")
    page.get_by_role("button", name="Clear selection").click()
    table.wait_for(state="detached")
    assert page.locator("#runs-table input:checked").count() == 0


def test_ticks_are_seen_and_none_is_lost_when_they_come_quickly(
    scripted: Server, open_page: Open
) -> None:
    for number in range(3):
        seeds.ended_run(scripted.home, f"quick {number}")
    page = open_page(scripted.url)
    open_runs(page)
    boxes = page.locator('#runs-table input[data-pick^="quick-"]')
    first = boxes.first
    first.check()
    ticked = first.screenshot()
    first.uncheck()
    assert first.screenshot() != ticked, "a selected run looks like any other"
    page.locator("#compare .picked").wait_for(state="detached")
    boxes.evaluate_all("boxes => boxes.forEach((box) => box.click())")
    page.locator("#compare h3", has_text="3 runs compared").wait_for()


def test_the_trials_of_a_search_are_plotted_and_the_best_is_marked(
    scripted: Server, open_page: Open
) -> None:
    search = seeds.ended_search(scripted.home, [0.5, 0.31, 0.42, 0.9])
    page = open_page(scripted.url)
    open_runs(page)
    assert not page.locator("#runs-table tr", has_text="seeded-trial-1").first.is_visible()
    page.get_by_label("Search runs").fill("seeded-trial-1")
    assert page.locator("#runs-table tr", has_text="seeded-trial-1").first.is_visible()
    page.get_by_label("Search runs").fill("")
    open_runs(page, search)
    card = page.locator("#run-detail .card.search")
    assert card.locator(".plot .dot").count() == 4
    assert card.locator(".plot .dot.best title").text_content().startswith("trial 1: 0.3100")
    assert card.locator(".plot .dot.stopped-early").count() == 1
    rows = card.locator("tbody tr")
    assert rows.count() == 4
    assert "best" in rows.nth(1).inner_text()
    assert "stopped early" in rows.nth(3).inner_text()
    assert "rank 16" in card.inner_text()


def test_the_verdict_shows_base_tuned_interval_and_the_rows_that_changed_most(
    scripted: Server, open_page: Open
) -> None:
    job = seeds.ended_run(scripted.home, "judged run")
    seeds.judged(scripted.home, job)
    page = open_page(scripted.url)
    open_runs(page, job)
    card = page.locator("#run-detail .card.verdict")
    said = card.inner_text()
    for words in ("ship", "0.14 → 0.93", "(0.90–0.95)", "n = 180", "+0.72 to +0.85"):
        assert words in said
    assert card.locator(".samples .gain li").count() == 3
    assert card.locator(".samples .loss li").count() == 3
    assert seeds.HOSTILE in said
    assert card.locator("img").count() == 0
    page.locator("#runs-try").click()
    page.locator("#try-page").wait_for()
    assert job in page.locator("#try-job input").input_value()


@pytest.fixture
def no_worker_left(scripted: Server) -> Iterator[None]:
    """End what a test really started, also where the test failed."""
    yield
    for job in seeds.store_of(scripted.home).jobs.find(states=UNFINISHED):
        if job.pid is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(job.pid).kill()


@pytest.mark.usefixtures("no_worker_left")
def test_a_sick_run_is_diagnosed_and_its_cure_starts_only_after_consent(
    scripted: Server, open_page: Open
) -> None:
    sick = seeds.ended_run(
        scripted.home, "sick run", SPEC.model_copy(update={"rank": 64}), overfits=True
    )
    jobs = seeds.store_of(scripted.home).jobs
    before = {job.id for job in jobs.find()}
    page = open_page(scripted.url)
    open_runs(page, sick)
    page.get_by_role("button", name="Diagnose").click()
    finding = page.locator("#finding")
    finding.locator(".diagnosis").wait_for()
    assert "overfit" in finding.locator(".word").inner_text().lower()
    assert finding.locator(".evidence li").count() >= 1
    assert finding.locator(".plot polyline.validation").count() == 1
    rank = finding.locator("table.diff tr", has_text="rank").first
    assert rank.locator("del").inner_text() == "64"
    assert int(rank.locator("ins").inner_text()) < 64
    finding.get_by_role("button", name="Start the cure").first.click()
    finding.get_by_text("Start this training?").wait_for()
    assert {job.id for job in jobs.find()} == before, "nothing starts before consent"
    finding.get_by_role("button", name="Start", exact=True).click()
    finding.locator(".done").wait_for()
    cured = [job for job in jobs.find() if job.id not in before]
    assert [job.parent for job in cured] == [sick]
    page.locator("#run-title h2", has_text=cured[0].id).wait_for()
    page.get_by_role("button", name="Stop", exact=True).last.click()
    page.locator("#run-detail").get_by_text("stopped, as asked").or_(
        page.locator("#run-detail .word", has_text="cancelled")
    ).first.wait_for()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_comparison_search_and_diagnosis_are_readable(
    scripted: Server, open_page: Open, size: dict[str, int]
) -> None:
    sick = seeds.ended_run(
        scripted.home, "read sick", SPEC.model_copy(update={"rank": 64}), overfits=True
    )
    search = seeds.ended_search(scripted.home, [0.5, 0.4])
    page = open_page(scripted.url, size)
    open_runs(page, search)
    pick(page, sick)
    page.locator("#runs-table input[data-pick]:not(:checked):visible").first.check()
    page.locator("#compare table").wait_for()
    check_texts(page, "a search and a comparison")
    open_runs(page, sick)
    page.get_by_role("button", name="Diagnose").click()
    page.locator("#finding .diagnosis").wait_for()
    check_texts(page, "a diagnosis")
    wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wider <= 0
