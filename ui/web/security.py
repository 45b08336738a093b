"""What stands between the page and the rest of the world.

    Host         only loopback names: a foreign name that resolves here (DNS rebinding) is refused
    Origin       writes come from this very page, never from another site in the same browser
    session      every call needs the cookie that the page itself was given (SameSite=Strict)
    content      nothing may be fetched from another host, whatever a row or a model writes

Not covered: other programs of people who share this machine; they can open the page too.
"""

from __future__ import annotations

import re
import secrets
import shutil
import socket
from collections.abc import Awaitable, Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse

from tools.errors import BadInput, Unavailable
from tools.settings import Settings

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

HOST = "127.0.0.1"
LOCAL_NAMES = (HOST, "localhost", "[::1]")
MAX_UPLOAD_MB = 512
DATA_ENDINGS = (
    ".csv", ".tsv", ".jsonl", ".json", ".ndjson", ".parquet", ".arrow", ".feather", ".txt", ".md",
    ".xlsx", ".conll", ".iob", ".bio", ".gz", ".zip", ".log",
)  # fmt: skip
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval';"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:;"
    " font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; frame-src 'none';"
    " object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_OPEN = {"/", "/theme.css", "/favicon.ico", "/robots.txt", "/gradio_api/startup-events"}
"""Open without the cookie: the page that gives it, and what Gradio's own start asks for."""
_OPEN_FOLDERS = ("/assets/", "/static/", "/svelte/")
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def middleware(port: int) -> list[Middleware]:
    """Return the layers round the app, outermost first."""
    return [
        Middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL_NAMES)),
        Middleware(PageOnly, port=port, token=secrets.token_urlsafe(24)),
    ]


class PageOnly:
    """Adds the security headers, and refuses calls that do not come from this app's own page.

    Args:
        port: Cookies are shared between ports of one host, so the cookie's name carries it.
        token: Value of the session cookie; the page gets it, every other call must bring it.
    """

    def __init__(self, app: Any, *, port: int, token: str) -> None:
        self.app = app
        self._name = f"luthier_{port}"
        self._token = token
        self._origins = {f"http://{name}:{port}" for name in LOCAL_NAMES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal:
            await PlainTextResponse(refusal, status_code=403)(scope, receive, send)
            return
        gives_cookie = scope["method"] == "GET" and scope["path"] == "/"

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
                if gives_cookie:
                    cookie = f"{self._name}={self._token}; Path=/; HttpOnly; SameSite=Strict"
                    message["headers"].append((b"set-cookie", cookie.encode()))
            await send(message)

        await self.app(scope, receive, with_headers)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> str | None:
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins:
            return "This request comes from another page. Open Luthier's own page and try again."
        if headers.get("sec-fetch-site") == "cross-site" and scope["method"] != "GET":
            return "This request comes from another site. Open Luthier's own page and try again."
        if scope["path"] in _OPEN or scope["path"].startswith(_OPEN_FOLDERS):
            return None
        if not secrets.compare_digest(self._cookie(headers), self._token):
            return "This page is older than the running app. Reload it."
        return None

    def _cookie(self, headers: dict[str, str]) -> str:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self._name)
        except CookieError:
            return ""
        return morsel.value if morsel else ""


def require_free_port(port: int) -> int:
    """Return the port, or a free one where 0 was asked for.

    Raises:
        Unavailable: Another program listens there.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise Unavailable(
                f"Port {port} is already in use.",
                hint=f"If Luthier runs there already, open http://{HOST}:{port};"
                f" otherwise choose another port, such as LUTHIER_PORT={port + 1}.",
            ) from error
        chosen: int = probe.getsockname()[1]
        return chosen


def safe_name(name: str) -> str:
    """Return a file name that is only letters, digits, `.`, `_`, `-`; never hidden, never long."""
    stem, dot, ending = Path(name.replace("\\", "/")).name.rpartition(".")
    stem, ending = (stem, ending) if dot else (ending, "")
    clean = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-.")[:60] or "file"
    tail = re.sub(r"[^A-Za-z0-9]", "", ending)[:10].lower()
    return f"{clean}.{tail}" if tail else clean


def keep_uploads(settings: Settings, files: Iterable[str]) -> list[Path]:
    """Move uploaded files to `uploads/` under safe names; nothing there is ever overwritten.

    Raises:
        BadInput: A file is empty, too large, or of a kind that holds no data.
    """
    kept: list[Path] = []
    folder = settings.home / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    for text in files:
        source = Path(text)
        if source.suffix.lower() not in DATA_ENDINGS:
            raise BadInput(
                f"{safe_name(source.name)} is not a data file.",
                hint=f"Drop one of: {', '.join(DATA_ENDINGS)}.",
            )
        size = source.stat().st_size
        if size > MAX_UPLOAD_MB * 1024 * 1024:
            raise BadInput(
                f"{safe_name(source.name)} is larger than {MAX_UPLOAD_MB} MB.",
                hint="Leave it where it is and name its path in the chat instead.",
            )
        kept.append(_place(source, folder / safe_name(source.name)))
    return kept


def _place(source: Path, wanted: Path) -> Path:
    target, count = wanted, 1
    while target.exists():
        if target.stat().st_size == source.stat().st_size and (
            target.read_bytes() == source.read_bytes()
        ):
            return target
        count += 1
        target = wanted.with_name(f"{wanted.stem}-{count}{wanted.suffix}")
    shutil.copyfile(source, target)
    return target
