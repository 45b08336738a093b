"""The layers round the app and the text on its way into a page, without Gradio."""

from __future__ import annotations

import socket

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tools.errors import Unavailable
from ui.web.escape import h, literal_markdown, safe_markdown
from ui.web.security import middleware, require_free_port, safe_name

PORT = 7860
HOME = f"http://127.0.0.1:{PORT}"


def answer(_request: object) -> PlainTextResponse:
    return PlainTextResponse("ok")


@pytest.fixture
def client() -> TestClient:
    routes = [
        Route("/", answer),
        Route("/config", answer),
        Route("/gradio_api/call", answer, methods=["POST"]),
    ]
    return TestClient(Starlette(routes=routes, middleware=middleware(PORT)), base_url=HOME)


def test_a_foreign_host_name_is_refused(client: TestClient) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/").status_code == 200


def test_calls_need_the_cookie_that_the_page_gave(client: TestClient) -> None:
    assert client.post("/gradio_api/call").status_code == 403
    assert client.get("/config").status_code == 403
    given = client.get("/").headers["set-cookie"]
    assert "HttpOnly" in given
    assert "SameSite=Strict" in given
    assert client.post("/gradio_api/call", headers={"Origin": HOME}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:7861", "null"])
def test_another_pages_call_is_refused_even_with_the_cookie(
    client: TestClient, origin: str
) -> None:
    client.get("/")
    assert client.post("/gradio_api/call", headers={"Origin": origin}).status_code == 403


def test_every_answer_carries_the_policy(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "connect-src 'self'" in policy
    assert "http:" not in policy


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd.csv", "passwd.csv"),
        ("my tickets (final) $x.csv", "my-tickets-final-x.csv"),
        (".hidden.csv", "hidden.csv"),
        ("C:\\data\\a.jsonl", "a.jsonl"),
        ("<img src=x>.csv", "img-src-x.csv"),
        ("x" * 300 + ".csv", "x" * 60 + ".csv"),
    ],
)
def test_an_uploads_name_becomes_harmless(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize("text", ["<img src=x>", "</p><script>", "![a](http://x)", "![a][1]"])
def test_no_tag_and_no_image_survives_in_markdown(text: str) -> None:
    shown = safe_markdown(text)
    assert "<img" not in shown
    assert "<script" not in shown
    assert "![" not in shown
    assert shown.replace("\u2060", "") == text


def test_names_are_shown_letter_for_letter() -> None:
    assert literal_markdown("a_b*c\n[x](y)") == r"a\_b\*c \[x\](y)"
    assert h("<b a='1'>") == "&lt;b a=&#x27;1&#x27;&gt;"


def test_a_port_in_use_names_the_next_step() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"Port {port} is already in use"):
            require_free_port(port)
