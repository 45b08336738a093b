"""Judging blind in a real browser: keys, progress, several judges, and nothing given away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser import seeds
from tests.browser.conftest import NARROW, Server
from tests.browser.test_page_layout import check_texts
from tools.context import Context
from tools.evaluate.votes import tally
from tools.settings import read_settings

pytestmark = pytest.mark.browser
Open = Callable[..., Any]
PAIRS = 5


def begin(page: Any, job_id: str, voter: str) -> Any:
    page.get_by_role("tab", name="Try").first.click()
    chooser = page.locator("#try-job input")
    chooser.click()
    page.get_by_role("option", name=job_id).click()
    page.locator("#voter :is(input, textarea)").fill(voter)
    page.get_by_role("button", name="Begin").click()
    ballot = page.locator("#ballot .ballot")
    ballot.locator(".pair").wait_for()
    return ballot


def wait_done(ballot: Any, done: int) -> None:
    ballot.locator("header", has_text=f"{done} of {PAIRS}").wait_for()


def prefer(page: Any, ballot: Any, fruit: str) -> None:
    first = ballot.locator("article").first.locator(".said").inner_text()
    page.keyboard.press("1" if first.startswith(fruit) else "2")


def test_two_people_judge_with_keys_and_their_agreement_is_told(
    scripted: Server, open_page: Open
) -> None:
    job = seeds.ended_run(scripted.home, "blind run")
    seeds.answered(scripted.home, job, PAIRS)
    page = open_page(scripted.url)
    ballot = begin(page, job, "Ada")
    said = ballot.inner_text()
    assert seeds.HOSTILE in said
    assert ballot.locator("img").count() == 0
    assert "tuned" not in page.locator("#ballot").inner_html(), "nothing gives away which is which"
    for done in range(PAIRS):
        wait_done(ballot, done)
        prefer(page, ballot, "pears")
    ballot.get_by_text(f"All {PAIRS} pairs judged").wait_for()
    assert "1.00" in ballot.inner_text()

    ballot = begin(page, job, "Ben")
    wait_done(ballot, 0)
    page.keyboard.press("0")
    wait_done(ballot, 1)
    ballot.get_by_role("button", name="Change my last vote").click()
    wait_done(ballot, 0)
    prefer(page, ballot, "pears")
    for done in range(1, PAIRS):
        wait_done(ballot, done)
        prefer(page, ballot, "pears" if done < 4 else "apples")
    ballot.get_by_text(f"All {PAIRS} pairs judged").wait_for()
    told = ballot.inner_text()
    assert "Ada, Ben" in told
    assert "agreement" in told

    settings = read_settings({"LUTHIER_HOME": str(scripted.home), "HOME": str(scripted.home)})
    counted = tally(Context(settings, actor="python"), job).people
    assert counted is not None
    assert counted.voters == ("Ada", "Ben")
    assert (counted.tuned, counted.base, counted.ties) == (2 * PAIRS - 1, 1, 0)


def test_a_judge_comes_back_to_where_they_were_and_typing_casts_no_vote(
    scripted: Server, open_page: Open
) -> None:
    job = seeds.ended_run(scripted.home, "blind return")
    seeds.answered(scripted.home, job, PAIRS)
    page = open_page(scripted.url, NARROW)
    ballot = begin(page, job, "Cleo")
    name, button = (page.locator(at).bounding_box() for at in ("#voter", "#begin-blind"))
    assert button["y"] - name["y"] - name["height"] < 40, "the button stands right below the name"
    page.locator("#prompt textarea").press("1")
    wait_done(ballot, 0)
    ballot.get_by_role("button", name="2 is better").click()
    wait_done(ballot, 1)
    check_texts(page, "a ballot")
    page.reload()
    page.locator("#ask textarea").wait_for()
    ballot = begin(page, job, "Cleo")
    wait_done(ballot, 1)


def test_a_run_without_answers_says_what_to_do(scripted: Server, open_page: Open) -> None:
    job = seeds.ended_run(scripted.home, "blind nothing")
    seeds.judged(scripted.home, job)  # an artefact, so that it can be chosen
    page = open_page(scripted.url)
    page.get_by_role("tab", name="Try").first.click()
    page.locator("#try-job input").click()
    page.get_by_role("option", name=job).click()
    page.locator("#voter :is(input, textarea)").fill("Ada")
    page.get_by_role("button", name="Begin").click()
    problem = page.locator("#ballot .problem")
    problem.wait_for()
    assert "There are no answers of" in problem.inner_text()
    assert "luthier evaluate" in problem.inner_text()
