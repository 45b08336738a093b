"""A small local server that speaks the model hub's protocol, for tests of the real loading code.

Covered: repository info (`/api/models|datasets/ID[/revision/REV]`), the file tree, and files with
the headers that `huggingface_hub` checks. Not covered: uploads, Xet storage, the dataset viewer.
"""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves folders as repositories on the loopback address.

    Args:
        models: Repository id → folder.
        datasets: Repository id → folder.
        gated: Ids that answer 403, as a gated repository does without access.
    """

    def __init__(
        self,
        models: dict[str, Path] | None = None,
        datasets: dict[str, Path] | None = None,
        gated: frozenset[str] = frozenset(),
    ) -> None:
        self.repositories = {("models", k): v for k, v in (models or {}).items()}
        self.repositories |= {("datasets", k): v for k, v in (datasets or {}).items()}
        self.gated = gated
        self.requests: list[str] = []

    def __enter__(self) -> Hub:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def find(self, path: str) -> tuple[str, str, Path, list[str]] | None:
        """Return kind, id, folder and the rest of the path's parts; None where none matches."""
        parts = [unquote(p) for p in path.strip("/").split("/")]
        kind = "models"
        if parts[:1] == ["api"]:
            kind, parts = parts[1], parts[2:]
        elif parts[:1] == ["datasets"]:
            kind, parts = "datasets", parts[1:]
        repository = "/".join(parts[:2])
        folder = self.repositories.get((kind, repository))
        return (kind, repository, folder, parts[2:]) if folder else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

            def do_HEAD(self) -> None:
                self._serve(body=False)

            def do_GET(self) -> None:
                self._serve(body=True)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                found = hub.find(urlsplit(self.path).path)
                files = _files(found[2]) if found else []
                self._reply(
                    200,
                    json.dumps([_entry(found[2], f) for f in files]).encode() if found else b"[]",
                )

            def _serve(self, *, body: bool) -> None:
                path = urlsplit(self.path).path
                hub.requests.append(f"{self.command} {path}")
                found = hub.find(path)
                if found is None:
                    return self._error(404, "RepoNotFound")
                kind, repository, folder, rest = found
                if repository in hub.gated:
                    return self._error(403, "GatedRepo")
                if path.startswith("/api/"):
                    return self._api(kind, repository, folder, rest)
                return self._file(folder, "/".join(rest[2:]), body=body)

            def _api(self, kind: str, repository: str, folder: Path, rest: list[str]) -> None:
                if rest[:1] == ["tree"]:
                    return self._reply(
                        200, json.dumps([_entry(folder, f) for f in _files(folder)]).encode()
                    )
                info = {
                    "_id": "0" * 24,
                    "id": repository,
                    "sha": COMMIT,
                    "private": False,
                    "gated": False,
                    "disabled": False,
                    "downloads": 0,
                    "likes": 0,
                    "tags": [],
                    "siblings": [{"rfilename": f} for f in _files(folder)],
                }
                return self._reply(200, json.dumps(info).encode())

            def _file(self, folder: Path, name: str, *, body: bool) -> None:
                target = (folder / name).resolve()
                if not target.is_relative_to(folder.resolve()) or not target.is_file():
                    return self._error(404, "EntryNotFound")
                data = target.read_bytes()
                digest = hashlib.sha256(data).hexdigest()
                headers = {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
                return self._reply(200, data, headers, body=body, kind="application/octet-stream")

            def _error(self, status: int, code: str) -> None:
                self._reply(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

            def _reply(
                self,
                status: int,
                data: bytes,
                headers: dict[str, str] | None = None,
                *,
                body: bool = True,
                kind: str = "application/json",
            ) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if body:
                    self.wfile.write(data)

        return Handler


def _files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def _entry(folder: Path, name: str) -> dict[str, object]:
    data = (folder / name).read_bytes()
    return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
