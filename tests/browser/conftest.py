"""A real Chromium against a real server in a process of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
PATIENCE_MS = 120_000
"""What is waited for comes within a second alone, and within this on a machine that is busy."""
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@dataclass
class Server:
    """A child process that serves the app; its log is shown when the test fails."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def kill(self) -> None:
        """End it the hard way, as a power cut would."""
        self.process.kill()
        self.process.wait(timeout=60)


@dataclass
class Watch:
    """What a page asked for and complained about."""

    foreign: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def on(self, page: Any) -> None:
        page.on("request", self._request)
        page.on("pageerror", lambda error: self.complaints.append(error.stack or str(error)))

    def _request(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.foreign.append(request.url)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_server(home: Path, *arguments: str, port: int | None = None) -> Server:
    """Start `tests.browser.serve` and wait until it says it is ready."""
    chosen = port or free_port()
    log = home.parent / f"server-{chosen}-{time.monotonic_ns()}.log"
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "LUTHIER_HOME": str(home),
        "LUTHIER_NETWORK": "never", "LUTHIER_WORKER_THREADS": "1", "HOME": str(home.parent),
    }  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.serve", str(chosen), *arguments],
            cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    server = Server(home, chosen, process, log)
    deadline = time.monotonic() + 240
    while b"ready" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            server.kill()
            pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.1)
    return server


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One browser for all tests; skipped, saying how to get it, where there is none."""
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed; get it with: apt-get install -y chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app with a scripted assistant and pretended jobs, for what needs no training.

    One for all tests: each works in a conversation of its own, and a start costs seconds.
    """
    server = start_server(tmp_path_factory.mktemp("scripted") / "home", "scripted")
    yield server
    server.kill()


@pytest.fixture
def watch() -> Watch:
    """Collects what pages ask for beyond this machine, and their script errors."""
    return Watch()


@pytest.fixture
def open_page(chromium: Any, watch: Watch) -> Iterator[Callable[..., Any]]:
    """Open an address in a fresh profile and wait until the chat can be used."""
    contexts = []

    def open_(url: str, size: dict[str, int] | None = None, **options: Any) -> Any:
        context = chromium.new_context(viewport=size or WIDE, **options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        watch.on(page)
        page.goto(url)
        page.locator("#ask textarea").wait_for()
        page.locator("#thread-list :is(nav, p)").wait_for(state="attached")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert watch.foreign == [], "the page asked for something beyond this machine"
    assert watch.complaints == [], "the page's script failed"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Add the server's log to the report of a failed test."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Server):
                tail = value.log.read_text(errors="replace")[-6000:]
                report.sections.append(("server log", tail))
