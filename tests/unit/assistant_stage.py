"""Fakes for the agent: scripted brains and a small catalogue that costs nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult
from pydantic import Field

from tools import catalog
from tools.catalog import Capability, capability
from tools.context import Context
from tools.errors import BadInput, Refused
from tools.reports import Report


class Said(Report):
    """A plain result."""

    value: str
    state: str = "done"
    approval_id: str | None = None

    def text(self) -> str:
        return self.value


class ScriptedBrain(FakeMessagesListChatModel):
    """Answers with prepared messages; notes what it was asked."""

    seen: list[list[BaseMessage]] = []  # noqa: RUF012 - a pydantic field

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.seen.append(list(messages))
        return super()._generate(messages, *args, **kwargs)


def calls(*wanted: tuple[str, dict[str, Any]], start: int = 0) -> AIMessage:
    """A message with tool calls."""
    return AIMessage(
        "",
        tool_calls=[
            {"name": name, "args": args, "id": f"call-number-{start + i:012d}", "type": "tool_call"}
            for i, (name, args) in enumerate(wanted)
        ],
    )


def small_catalogue(monkeypatch: pytest.MonkeyPatch, log: list[tuple[str, Any]]) -> None:
    """Replace the catalogue by a few capabilities that only note their calls."""
    made: dict[str, Capability] = {}
    monkeypatch.setattr(catalog, "_CATALOG", made)

    @capability(effect="read", verb="inspect")
    def inspect_dataset(path: Annotated[str, Field(description="File.")], *, ctx: Context) -> Said:
        """Look at a file."""
        log.append(("inspect_dataset", ctx.call_id))
        if path == "broken":
            raise KeyError("a bug")
        if path == "empty":
            raise BadInput("The file is empty.", hint="Name another file.")
        return Said(value=f"{path} has 3 rows.\n" + "x" * (20_000 if path == "long" else 0))

    @capability(effect="write", verb="prepare")
    def prepare_dataset(path: Annotated[str, Field(description="File.")], *, ctx: Context) -> Said:
        """Prepare a file."""
        log.append(("prepare_dataset", path))
        return Said(value="prepared")

    @capability(effect="spend", verb="train")
    def start_training(
        path: Annotated[str, Field(description="File.")],
        rank: Annotated[int, Field(description="Rank.", ge=1, le=64)] = 8,
        *,
        ctx: Context,
    ) -> Said:
        """Plan a training."""
        log.append(("start_training", path))
        approval = ctx.store.approvals.request(
            "start_training",
            subject=f"Tune on {path}.",
            plan={"path": path, "rank": rank},
            card={"data": path},
            thread_id=ctx.thread_id,
            call_id=ctx.call_id,
        )
        return Said(value="It waits.", state="waiting", approval_id=approval.id)

    @capability(
        effect="read", verb="models", reaches=lambda a, ctx: a.name if "/" in a.name else None
    )
    def list_models(
        name: Annotated[str, Field(description="Name.")] = "starter", *, ctx: Context
    ) -> Said:
        """Look up a model."""
        log.append(("list_models", ctx.network_granted))
        if name == "huge":
            raise Refused("It does not fit.", hint="Take a smaller one.", refused_by="memory")
        return Said(value=f"model {name}")

    monkeypatch.setattr(catalog, "load_catalog", lambda: dict(made))
    monkeypatch.setattr("assistant.toolset.load_catalog", lambda: dict(made))


class FakeOpenAI:
    """An OpenAI-compatible server on this machine; tool calls come in split deltas."""

    def __init__(self, decide: Callable[[dict[str, Any]], dict[str, Any] | int]) -> None:
        self.decide = decide
        self.requests: list[dict[str, Any]] = []

    def __enter__(self) -> FakeOpenAI:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(body)
                answer = outer.decide(body)
                if isinstance(answer, int):
                    self._send({"error": {"message": f"fake {answer}", "type": "x"}}, answer)
                else:
                    self._stream(body, answer)

            def _stream(self, body: dict[str, Any], answer: dict[str, Any]) -> None:
                base = {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
                deltas += [{"content": w + " "} for w in answer.get("content", "").split()]
                for i, call in enumerate(answer.get("calls", [])):
                    function = {"name": call["name"], "arguments": ""}
                    opening = {
                        "index": i,
                        "id": call["id"],
                        "type": "function",
                        "function": function,
                    }
                    deltas.append({"tool_calls": [opening]})
                    text = call.get("raw") or json.dumps(call["args"])
                    deltas += [
                        {"tool_calls": [{"index": i, "function": {"arguments": text[j : j + 4]}}]}
                        for j in range(0, len(text), 4)
                    ]
                for delta in deltas:
                    self._event({**base, "choices": [{"index": 0, "delta": delta}]})
                end = "tool_calls" if answer.get("calls") else "stop"
                self._event({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": end}]})
                usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
                self._event({**base, "choices": [], "usage": usage})
                self.wfile.write(b"data: [DONE]\n\n")
                self.close_connection = True

            def _event(self, document: dict[str, Any]) -> None:
                self.wfile.write(f"data: {json.dumps(document)}\n\n".encode())

            def _send(self, document: dict[str, Any], code: int) -> None:
                body = json.dumps(document).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()
        self.base_url = f"http://127.0.0.1:{self.server.server_port}/v1"
        return self

    def __exit__(self, *args: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(5)
