"""What a hostile row, another site and another host name can do: nothing."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import ROOT, Server, Watch

pytestmark = pytest.mark.browser
Open = Callable[..., Any]


def request(
    server: Server, method: str, path: str, headers: dict[str, str] | None = None
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    body = b"{}" if method == "POST" else None
    connection.request(method, path, body=body, headers=headers or {})
    return connection.getresponse()


def cookie(server: Server) -> str:
    given = request(server, "GET", "/").getheader("set-cookie") or ""
    assert "HttpOnly" in given
    assert "SameSite=Strict" in given
    return given.partition(";")[0]


def test_text_of_a_hostile_row_stays_text(scripted: Server, open_page: Open, watch: Watch) -> None:
    page = open_page(scripted.url)
    page.locator("#ask textarea").fill("show evil")
    page.keyboard.press("Enter")
    page.get_by_text("beacon").first.wait_for()
    page.locator("#bot .thought-group .title").first.click()
    page.locator("#bot pre.step").wait_for()
    page.locator("#bot pre code, #bot pre:not(.step)").first.wait_for()  # the answer's last part
    assert page.title() == "Luthier"
    assert page.locator("#bot img").count() == 0
    assert page.locator("#bot script").count() == 0
    assert "<script>" in page.locator("#bot").inner_text().replace("\u2060", "")
    assert watch.foreign == []


def test_the_policy_lets_no_page_content_reach_another_host(
    scripted: Server, open_page: Open, watch: Watch
) -> None:
    policy = request(scripted, "GET", "/").getheader("content-security-policy") or ""
    for rule in ("default-src 'self'", "connect-src 'self'", "object-src 'none'",
                 "frame-ancestors 'none'", "img-src 'self' data: blob:"):  # fmt: skip
        assert rule in policy
    page = open_page(scripted.url)
    loaded = page.evaluate(
        "() => new Promise((done) => { const i = new Image(); i.onload = () => done(true);"
        " i.onerror = () => done(false); i.src = 'http://evil.example/x.png'; })"
    )
    assert loaded is False
    watch.foreign.clear()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example"])
def test_a_foreign_host_name_is_refused(scripted: Server, host: str) -> None:
    assert request(scripted, "GET", "/", {"Host": host}).status == 400


@pytest.mark.parametrize("path", ["/gradio_api/run/predict", "/gradio_api/upload", "/config"])
def test_calls_without_the_pages_own_cookie_are_refused(scripted: Server, path: str) -> None:
    method = "GET" if path == "/config" else "POST"
    assert request(scripted, method, path).status == 403
    assert request(scripted, method, path, {"Cookie": f"luthier_{scripted.port}=x"}).status == 403


def test_a_call_from_another_site_is_refused_even_with_the_cookie(scripted: Server) -> None:
    stolen = cookie(scripted)
    path = "/gradio_api/run/predict"
    foreign = {"Cookie": stolen, "Origin": "http://evil.example"}
    assert request(scripted, "POST", path, foreign).status == 403
    other_port = {"Cookie": stolen, "Origin": f"http://127.0.0.1:{scripted.port + 1}"}
    assert request(scripted, "POST", path, other_port).status == 403
    own = {"Cookie": stolen, "Origin": f"http://127.0.0.1:{scripted.port}"}
    assert request(scripted, "POST", path, own).status != 403


def test_files_of_this_machine_are_not_served(scripted: Server) -> None:
    headers = {"Cookie": cookie(scripted)}
    for path in ("/etc/passwd", str(scripted.home / "luthier.db"), str(ROOT / "pyproject.toml")):
        answer = request(scripted, "GET", f"/gradio_api/file={path}", headers)
        assert answer.status in (403, 404)
        assert b"[build-system]" not in answer.read()


def test_a_port_in_use_is_one_clear_sentence_with_a_next_step(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code = (
            "import sys\nfrom tools.errors import Unavailable\n"
            "from tools.settings import read_settings\nfrom ui.web.app import launch\n"
            "try:\n    launch(read_settings(), port=int(sys.argv[1]), open_browser=False)\n"
            "except Unavailable as error:\n    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(port)],
            cwd=ROOT, capture_output=True, text=True, timeout=240,
            env={"LUTHIER_HOME": str(tmp_path / "home"), "PATH": "", "HOME": str(tmp_path)},
        )  # fmt: skip
    assert done.stdout.startswith(f"Port {port} is already in use."), done.stderr
    assert f"LUTHIER_PORT={port + 1}" in done.stdout
