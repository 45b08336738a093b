"""What can be measured of how the pages look: sizes, contrast, one column, the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import NARROW, WIDE, Server
from tests.browser.test_chat_page import plan_of

pytestmark = pytest.mark.browser
Open = Callable[..., Any]
PAGES = {
    "Data": "#file-list nav",
    "Runs": "#runs-table :is(table, section)",
    "Try": "#try-page textarea",
    "Library": "#models :is(table, section)",
    "Settings": "#save",
}
"""Each page's tab, and what is there once it is drawn."""

READ_TEXTS = """
() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const part = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] > 0.9) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility({opacityProperty: true, visibilityProperty: true}))
      continue;
    const box = element.getBoundingClientRect();
    if (box.width < 2 || box.height < 2 || element.closest('.sr-only, script, style')) continue;
    const style = getComputedStyle(element);
    const svg = element.closest('svg');
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    const ink = parse(svg ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(element))].sort((x, y) => y - x);
    found.push({
      text: text.slice(0, 40), size: parseFloat(style.fontSize) * scale,
      contrast: (a + 0.05) / (b + 0.05),
    });
  }
  return found;
}
"""


def check_texts(page: Any, where: str) -> None:
    texts = page.evaluate(READ_TEXTS)
    assert texts, f"{where} shows nothing"
    small = [t for t in texts if t["size"] < 12.95]
    faint = [t for t in texts if t["contrast"] < 4.5]
    assert small == [], f"text below 13 px on {where}"
    assert faint == [], f"text without AA contrast on {where}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_page_is_readable_and_fits_its_screen(
    scripted: Server, open_page: Open, size: dict[str, int], scheme: str
) -> None:
    page = open_page(scripted.url, size, color_scheme=scheme)
    check_texts(page, "chat, empty")
    plan_of(page)
    check_texts(page, "chat, a plan waits")
    for name, drawn in PAGES.items():
        page.get_by_role("tab", name=name).first.click()
        page.locator(drawn).first.wait_for()
        check_texts(page, name)
        wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wider <= 0, f"{name} scrolls sideways by {wider} px"


def test_a_cell_of_the_matrix_says_what_it_means(scripted: Server, open_page: Open) -> None:
    page = open_page(scripted.url)
    page.get_by_role("tab", name="Library").click()
    assert page.locator("#matrix .changed").count() == 6
    page.get_by_role("button", name="DoRA for multi-gpu: yes → no").click()
    page.get_by_text("the revision corrected it to no").wait_for()


def test_a_sample_is_inspected_and_its_rows_are_shown(scripted: Server, open_page: Open) -> None:
    page = open_page(scripted.url)
    page.get_by_role("tab", name="Data").click()
    page.locator("#file-list button", has_text="support_tickets.csv").click()
    report = page.locator("#file-report .report")
    report.wait_for()
    said = report.inner_text()
    for words in ("classification", "Labels", "Three rows", "Length in tokens"):
        assert words in said


def test_settings_are_checked_saved_and_used(scripted: Server, open_page: Open) -> None:
    page = open_page(scripted.url)
    page.get_by_role("tab", name="Settings").click()
    folders = page.locator("#set-folders textarea")
    folders.fill("/no/such/folder")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("is not a folder on this machine").wait_for()
    folders.fill(str(scripted.home))
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved.").wait_for()
    assert str(scripted.home) in (scripted.home / "settings.json").read_text()
