"""The Data page in a real browser: real inspections and real fixes of a faulty file."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import NARROW, Server
from tests.browser.test_page_layout import check_texts

pytestmark = pytest.mark.browser
Open = Callable[..., Any]
HOSTILE = "<img src=http://evil.example/x.png onerror=\"document.title='owned'\"> my parcel is late"


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """Tickets with 20 exact duplicates, 6 rows with HTML, and a hostile row in the preview."""
    topics = {"billing": "the invoice of month {} is wrong", "delivery": "parcel {} has not come"}
    rows = [
        [text.format(f"{number} of client {number * 7}"), label]
        for number in range(60)
        for label, text in topics.items()
    ]
    rows[0][0] = HOSTILE
    for number in range(3, 9):
        rows[number][0] = f"<p>{rows[number][0]}</p><br>"
    rows += rows[30:50]
    path = tmp_path / "faulty tickets.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["text", "label"], *rows])
    return path


def open_data(page: Any, faulty: Path) -> Any:
    page.get_by_role("tab", name="Data").first.click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add a file").click()
    chooser.value.set_files(faulty)
    report = page.locator("#file-report .report")
    report.wait_for()
    return report


def test_a_file_shows_what_it_is_its_rows_shapes_and_what_is_trained(
    scripted: Server, open_page: Open, faulty: Path
) -> None:
    page = open_page(scripted.url)
    report = open_data(page, faulty)
    said = report.inner_text()
    assert "Classification" in said
    assert "% sure" in said
    assert report.locator(".preview > li").count() == 3
    assert report.locator("table.bars tr").count() == 2
    assert report.locator("rect.lengthbar").count() > 1
    assert HOSTILE in said, "the hostile row stays text"
    assert report.locator("img").count() == 0
    assert page.title() == "Luthier"
    lens = report.locator(".lensrows li").first
    trained = "".join(lens.locator("mark.on:not(.stop)").all_inner_texts())
    assert trained.strip() in ("billing", "delivery"), "only the answer is trained"
    assert lens.locator("mark.stop").count() == 1, "the stop token is trained and marked"
    assert lens.locator("span.t").count() > 3, "the question is masked"


def test_the_cut_line_follows_the_chosen_length(
    scripted: Server, open_page: Open, tmp_path: Path
) -> None:
    long = tmp_path / "long answers.jsonl"
    rows = [{"prompt": f"say {n}", "completion": "word " * (n * 9 + 1)} for n in range(40)]
    lines = [json.dumps(row) for row in rows]
    long.write_text("\n".join(lines), encoding="utf-8")
    page = open_page(scripted.url)
    box = open_data(page, long).locator(".lengthbox")
    choices = box.get_by_role("radio")
    assert choices.count() >= 2
    shown = (
        "() => [...document.querySelectorAll('.lengthbox line.cut')]"
        ".filter((line) => getComputedStyle(line).display !== 'none')"
        ".map((line) => line.getAttribute('x1'))"
    )
    choices.first.check()
    short, words = page.evaluate(shown), box.locator(".cutsaid p:visible").inner_text()
    choices.nth(1).check()
    longer = page.evaluate(shown)
    assert len(short) == len(longer) == 1
    assert float(short[0]) < float(longer[0])
    assert "% of the rows are cut" in words
    assert box.locator(".cutsaid p:visible").inner_text() != words


def test_fixes_make_new_versions_that_add_up_and_leave_the_file_alone(
    scripted: Server, open_page: Open, faulty: Path
) -> None:
    page = open_page(scripted.url)
    report = open_data(page, faulty)
    kept = next((scripted.home / "uploads").glob("faulty-tickets*.csv"))
    before = hashlib.sha256(kept.read_bytes()).hexdigest()
    report.get_by_role("button", name="Fix exact duplicates").click()
    made = page.locator("#file-report .made")
    made.wait_for()
    said = made.inner_text()
    assert "140 → 120 rows" in said
    assert "held out" in said
    assert "The source was not changed" in said
    assert page.get_by_role("button", name="Fix exact duplicates").count() == 0
    first = made.locator("h3").inner_text()
    page.get_by_role("button", name="Fix HTML debris").click()
    page.locator("#file-report .made h3", has_not_text=first.removeprefix("Made ")).wait_for()
    assert page.get_by_role("button", name="Fix HTML debris").count() == 0
    steps = page.locator("#file-report .made .steps").inner_text()
    assert "html" in steps.lower()
    assert "duplicates" in steps, "the second fix keeps the first"
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == before
    page.get_by_role("button", name="Tune a model on it").click()
    page.wait_for_function("() => document.querySelector('#ask textarea').value.includes('@')")


def test_the_data_page_is_readable_on_a_narrow_screen(
    scripted: Server, open_page: Open, faulty: Path
) -> None:
    page = open_page(scripted.url, NARROW)
    open_data(page, faulty)
    check_texts(page, "a report on a narrow screen")
    wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wider <= 0
