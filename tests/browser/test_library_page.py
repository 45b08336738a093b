"""The Library page in a real browser: the ledger plotted, the matrix explained, tables searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser import seeds
from tests.browser.conftest import Server
from tools.methods import methods

pytestmark = pytest.mark.browser
Open = Callable[..., Any]


def open_library(page: Any) -> None:
    page.get_by_role("tab", name="Library").first.click()
    page.locator("#models table").wait_for()


def test_predicted_and_measured_are_plotted_from_the_ledger(
    scripted: Server, open_page: Open
) -> None:
    store = seeds.store_of(scripted.home)
    for number, (predicted, measured) in enumerate([(0.9, 0.88), (1.5, 1.6), (4.0, 2.0)]):
        store.record_prediction(
            f"ledger-{number}", "memory_gib", predicted=predicted, measured=measured, unit="GiB"
        )
    page = open_page(scripted.url)
    open_library(page)
    memory = page.locator("#ledger figure", has_text="Memory")
    assert memory.locator(".dot.run").count() == len(store.predictions("memory_gib"))
    heights = {
        dot.locator("title").text_content().partition(":")[0]: float(
            dot.get_attribute("d").split()[1].partition("h")[0]
        )
        for dot in memory.locator(".dot.run").all()
    }
    assert heights["ledger-0"] > heights["ledger-1"] > heights["ledger-2"], "more stands higher"
    assert "mean error" in memory.inner_text()
    page.get_by_text("The runs as a table").click()
    row = page.locator("#ledger tbody tr", has_text="ledger-2")
    assert "+100 %" in row.inner_text()


def test_a_cell_of_the_matrix_says_what_it_means_on_this_machine(
    scripted: Server, open_page: Open
) -> None:
    job = seeds.ended_run(scripted.home, "matrix run", accuracy=0.97)
    page = open_page(scripted.url)
    open_library(page)
    page.locator('button[data-key="memory/lora"]').click()
    meaning = page.locator("#meaning .meaning")
    meaning.wait_for()
    said = meaning.inner_text()
    assert "The first edition said no; the revision corrected it to yes." in said
    assert "accuracy 0.97" in said
    assert job in said
    page.locator('button[data-key="multi-gpu/zero"]').click()
    page.locator("#meaning", has_text="engine for several devices").wait_for()
    assert "GPU" in meaning.inner_text()


def test_models_and_methods_can_be_searched(scripted: Server, open_page: Open) -> None:
    page = open_page(scripted.url)
    open_library(page)
    assert page.locator("#methods tbody tr").count() == len(methods())
    page.get_by_label("Search methods").fill("dora")
    assert page.locator("#methods tbody tr:visible").count() < 4
    page.get_by_label("Search models and licences").fill("MIT")
    shown = page.locator("#models tbody tr:visible")
    assert shown.count() > 0
    assert all("MIT" in text for text in shown.all_inner_texts())
    page.get_by_label("Search models and licences").fill("no such model")
    page.get_by_text("No model matches.").wait_for()
