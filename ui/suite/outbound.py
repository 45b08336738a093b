"""Counts what tries to leave this machine: a hub that only listens, and an eye on the sockets.

The model hub of a sandbox is a server on the loopback that answers every request with 404 and
counts it, for this process and for workers alike. Any other host that this process looks up or
connects to is counted too. Not covered: sockets that a worker opens past the hub.
"""

from __future__ import annotations

import ipaddress
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tools.settings import Settings


class Outbound:
    """What was attempted since the last `clear`."""

    def __init__(self, settings: Settings) -> None:
        self._brain = _brain_host(settings)
        self._lookups: list[str] = []
        self._connects: list[str] = []
        self._requests: list[str] = []
        self._mutex = threading.Lock()

    def attempts(self) -> list[str]:
        """Return what was attempted; the brain's own service is not counted."""
        with self._mutex:
            return [*self._requests, *(self._lookups or self._connects)]

    def request(self, line: str) -> None:
        """Count a request that reached the listening hub."""
        with self._mutex:
            self._requests.append(line)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Count look-ups and connections to other machines, from Python's audit events."""
        if event == "socket.getaddrinfo":
            self._note(self._lookups, arguments[0])
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            self._note(self._connects, arguments[1][0])

    def _note(self, where: list[str], host: Any) -> None:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
        if not _is_here(name) and not (self._brain and self._brain in name):
            with self._mutex:
                where.append(name)


# An audit hook cannot be removed, so one is set once and does nothing while nobody watches.
_watching: list[Outbound] = []
_hooked = False


@contextmanager
def watched(settings: Settings) -> Iterator[tuple[Outbound, str]]:
    """Watch for a while. Gives the counts and the address of the listening hub."""
    outbound = Outbound(settings)
    server = _ListeningHub(outbound)
    _hook_once()
    _watching.append(outbound)
    try:
        yield outbound, server.address
    finally:
        _watching.remove(outbound)
        server.stop()


def _hook_once() -> None:
    global _hooked
    if not _hooked:
        _hooked = True
        sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event.startswith("socket."):
        for outbound in _watching:
            outbound.audit(event, arguments)


class _ListeningHub:
    def __init__(self, outbound: Outbound) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outbound.request(f"{self.command} {self.path}")
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_HEAD = do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                """Keep quiet: the suite's own output is the only one."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        serve = {"poll_interval": 0.02}
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs=serve, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _is_here(host: str) -> bool:
    if host in {"", "localhost", "ip6-localhost"} or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _brain_host(settings: Settings) -> str | None:
    """Part of the host name that the brain itself talks to."""
    if settings.brain == "guided":
        return None
    if settings.base_url:
        return urlsplit(settings.base_url).hostname
    return settings.brain.partition(":")[0].partition("_")[0]
