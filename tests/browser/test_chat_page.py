"""The conversation in a real browser, with a scripted assistant over the real store."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import NARROW, Server
from tests.browser.fakes import HOLD
from tools.context import utc_now
from tools.history.store import Store

pytestmark = pytest.mark.browser
Open = Callable[..., Any]


def ask(page: Any, text: str) -> None:
    page.locator("#ask textarea").fill(text)
    page.keyboard.press("Enter")


def plan_of(page: Any) -> Any:
    ask(page, "Tune a model to sort my support tickets")
    page.locator("#start").wait_for()
    card = page.locator("#approval-card .card.ask")
    card.wait_for()
    return card


def jobs_of(server: Server) -> list[str]:
    store = Store.open(server.home / "luthier.db", clock=utc_now)
    return [job.id for job in store.jobs.find()]


def test_a_new_page_says_what_to_do_first(scripted: Server, open_page: Open) -> None:
    page = open_page(scripted.url)
    assert page.get_by_role("heading", name="What should your model learn?").is_visible()
    assert page.get_by_role("button", name=re.compile("Select example")).count() == 4
    assert "offline" in page.locator("#top").inner_text()


def test_a_plan_shows_what_it_costs_and_nothing_starts_before_the_button(
    scripted: Server, open_page: Open
) -> None:
    before = jobs_of(scripted)
    page = open_page(scripted.url)
    card = plan_of(page).inner_text()
    for words in ("Start this training?", "0.90 GiB (0.81–1.02)", "1:10 (0:52–1:40)", "rank 16"):
        assert words in card
    assert re.search(r"plan\s+[0-9a-f]{8}", card)
    assert page.get_by_role("button", name="Change something").is_visible()
    assert jobs_of(scripted) == before


def test_not_now_declines_and_the_card_goes(scripted: Server, open_page: Open) -> None:
    page = open_page(scripted.url)
    plan_of(page)
    page.get_by_role("button", name="Not now").click()
    page.get_by_text("Declined; nothing was started").wait_for()
    assert not page.locator("#start").is_visible()


def test_a_waiting_plan_and_the_conversation_survive_a_reload(
    scripted: Server, open_page: Open
) -> None:
    page = open_page(scripted.url)
    plan_of(page)
    page.wait_for_url(re.compile(r"\?thread=[0-9a-f]+"))
    page.reload()
    page.locator("#start").wait_for()
    assert page.get_by_text("LoRA, rank 16, on the starter model.").is_visible()


def test_a_job_moves_survives_a_reload_and_ends_with_a_verdict(
    scripted: Server, open_page: Open
) -> None:
    page = open_page(scripted.url)
    plan_of(page)
    hold = scripted.home / HOLD
    hold.touch()
    page.get_by_role("button", name="Start", exact=True).click()
    panel = page.locator("#run-panel")
    panel.locator("polyline.train").wait_for()
    points = page.locator("#run-panel polyline.train").get_attribute("points")
    page.wait_for_function(
        "before => document.querySelector('#run-panel polyline.train')?.getAttribute('points')"
        ".length > before.length",
        arg=points,
    )
    page.reload()
    panel.locator("polyline.train").wait_for()
    assert "running" in panel.inner_text()
    hold.unlink()
    verdict = page.locator("#bot .card.verdict")
    verdict.wait_for()
    said = verdict.inner_text()
    for words in ("ship", "0.14 → 0.93", "(0.90–0.95)", "n = 180"):
        assert words in said
    page.get_by_role("button", name="Export to ONNX").click()
    page.locator("#bot .card.export").wait_for()
    panel.locator(".note.tuned").wait_for()
    beside = panel.inner_text()
    for words in ("export", "succeeded", "ship", "0.14 → 0.93 (0.90–0.95)"):
        assert words in beside, "the panel shows the export and still the verdict"
    page.get_by_role("button", name="Try it").first.click()
    page.locator("#try-page").wait_for()
    page.get_by_role("tab", name="Chat").click()
    verdict.wait_for()


def test_the_log_is_shown_as_text(scripted: Server, open_page: Open) -> None:
    page = open_page(scripted.url)
    plan_of(page)
    page.get_by_role("button", name="Start", exact=True).click()
    page.locator("#run-panel .state.running").wait_for()
    page.get_by_role("button", name="Log", exact=True).click()
    log = page.locator("#run-log pre")
    log.wait_for()
    assert "<img src=x" in log.inner_text()
    assert log.locator("img").count() == 0


def test_conversations_are_listed_and_can_be_opened_again(
    scripted: Server, open_page: Open
) -> None:
    page = open_page(scripted.url)
    ask(page, "hello pears")
    page.get_by_text("You said: hello pears").wait_for()
    page.locator("#thread-list [aria-current]").wait_for()
    page.get_by_role("button", name="New conversation").click()
    page.get_by_role("heading", name="What should your model learn?").wait_for()
    page.get_by_text("You said: hello pears").wait_for(state="detached")
    page.locator("#thread-list button", has_text="hello pears").first.click()
    page.get_by_text("You said: hello pears").wait_for()
    page.get_by_role("heading", name="What should your model learn?").wait_for(state="detached")


def test_a_dropped_file_is_kept_under_a_safe_name(
    scripted: Server, open_page: Open, tmp_path: Path
) -> None:
    nasty = tmp_path / "my tickets (final) $x.csv"
    nasty.write_text("text,label\nhello,a\n")
    page = open_page(scripted.url)
    page.locator("#ask input[type=file]").set_input_files(nasty)
    page.locator("#ask .thumbnails").wait_for()
    ask(page, "here it is")
    page.get_by_text("You said: here it is").wait_for()
    kept = [path.name for path in (scripted.home / "uploads").glob("*.csv")]
    assert kept == ["my-tickets-final-x.csv"]


def test_a_file_that_holds_no_data_is_refused_with_a_next_step(
    scripted: Server, open_page: Open, tmp_path: Path
) -> None:
    program = tmp_path / "tool.exe"
    program.write_bytes(b"MZ")
    page = open_page(scripted.url)
    page.locator("#ask input[type=file]").set_input_files(program)
    page.get_by_text(
        re.compile("invalid file type|not a data file", re.IGNORECASE)
    ).first.wait_for()
    assert not list((scripted.home / "uploads").glob("*tool*"))


def test_the_main_job_can_be_done_from_the_keyboard(scripted: Server, open_page: Open) -> None:
    page = open_page(scripted.url)
    page.wait_for_function("document.activeElement?.closest('#ask') !== null")
    page.keyboard.type("Tune a model to sort my support tickets")
    page.keyboard.press("Enter")
    page.locator("#start").wait_for()
    for _ in range(40):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.id") == "start":
            break
    assert page.evaluate("document.activeElement.id") == "start"
    ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert ring == "solid", "the focused button shows no ring"
    page.keyboard.press("Enter")
    page.locator("#run-panel .state").wait_for()


def test_on_a_narrow_screen_the_run_folds_into_a_bar_above_the_input(
    scripted: Server, open_page: Open
) -> None:
    page = open_page(scripted.url, NARROW)
    plan_of(page)
    page.get_by_role("button", name="Start", exact=True).click()
    page.locator("#run-panel .bar").wait_for()
    bar, box = page.locator("#run-column").bounding_box(), page.locator("#ask").bounding_box()
    assert bar["y"] + bar["height"] <= box["y"] + 1
    assert bar["height"] < 120
    assert not page.locator("#run-panel dl").is_visible()
    page.get_by_role("button", name="Details").click()
    assert page.locator("#run-panel dl").is_visible()
    assert not page.locator("#threads").is_visible()
    page.get_by_role("button", name="Conversations", exact=True).click()
    assert page.locator("#thread-list").is_visible()
