"""The whole main job by chat in a real browser: real data, real training, real export.

The shipped tickets are cut to three labels and a plan of few steps is approved, so that the
verdict is not the point here; `luthier demo` proves that. That every step happens is.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.browser.conftest import Server, start_server
from tools.context import utc_now
from tools.history.spec import UNFINISHED
from tools.history.store import Store
from tools.shipped import shipped

pytestmark = pytest.mark.browser
Open = Callable[..., Any]
STEP_MS = 400_000
"""A step may take this long on a busy machine; alone the whole test takes about a minute."""


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Server]:
    """The app as a person gets it: guided brain, starter model, real workers."""
    server = start_server(tmp_path / "home")
    yield server
    server.kill()
    store = Store.open(server.home / "luthier.db", clock=utc_now)
    for job in store.jobs.find(states=UNFINISHED):  # only after a failure; jobs outlive the app
        if job.pid is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(job.pid).kill()


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    """A small file of real tickets."""
    with shipped("samples", "support_tickets.csv").open(newline="", encoding="utf-8") as lines:
        header, *rows = csv.reader(lines)
    wanted = sorted({row[1] for row in rows})[:3]
    chosen = [row for row in rows if row[1] in wanted][:160]
    path = tmp_path / "tickets.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header, *chosen])
    return path


def say(page: Any, text: str) -> None:
    page.locator("#ask textarea").fill(text)
    page.keyboard.press("Enter")


@pytest.mark.timeout(1800)
def test_from_an_upload_to_an_answer_of_the_exported_model(
    real: Server, tickets: Path, open_page: Open
) -> None:
    page = open_page(real.url)
    page.set_default_timeout(STEP_MS)
    page.locator("#ask input[type=file]").set_input_files(tickets)
    page.locator("#ask .thumbnails").wait_for()
    say(page, "tune a model to sort these tickets, 40 steps")
    page.locator("#start").wait_for()
    card = page.locator("#approval-card").inner_text()
    assert "starter" in card
    assert "40 steps" in card
    page.get_by_role("button", name="Start", exact=True).click()

    curve = page.locator("#run-panel polyline.train")
    curve.wait_for()
    before = curve.get_attribute("points")
    page.wait_for_function(
        "before => { const line = document.querySelector('#run-panel polyline.train');"
        " return line && line.getAttribute('points').length > before.length; }",
        arg=before,
    )
    page.reload()
    page.locator("#run-panel polyline.train").wait_for()

    verdict = page.locator("#bot .card.verdict")
    verdict.wait_for()
    assert "accuracy" in verdict.inner_text()
    say(page, "export it to int4 ONNX")
    exported = page.locator("#bot .card.export")
    exported.wait_for()
    assert "ONNX int4" in exported.inner_text()

    say(page, "try: my card was charged twice")
    answers = page.locator("#bot .card.trial")
    answers.wait_for()
    exported_says = answers.locator("article", has_text="ONNX int4")
    assert exported_says.locator(".said").inner_text().strip() not in ("", "–")
    assert "tokens/s" in exported_says.inner_text()
