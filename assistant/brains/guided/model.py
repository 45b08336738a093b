"""The guided brain as a LangChain chat model: no network, no key, no model, same path as any."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from assistant.brains.guided.dialogue import Decision, decide
from assistant.brains.guided.view import MEMO, view_of


class GuidedBrain(BaseChatModel):
    """A deterministic dialogue engine. The same messages always give the same answer."""

    @property
    def _llm_type(self) -> str:
        return "guided"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Keep the tools' schemas for the answer."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        decision = _decide(messages, kwargs.get("tools") or [])
        calls = [tool_call(name=name, args=args, id=_call_id()) for name, args in decision.calls]
        message = AIMessage(decision.text, tool_calls=calls, additional_kwargs=_noted(decision))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        decision = _decide(messages, kwargs.get("tools") or [])
        for piece in re.findall(r"\S+\s*", decision.text):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=piece))
            if run_manager:
                run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk
        chunks = [
            tool_call_chunk(name=name, args=json.dumps(args), id=_call_id(), index=index)
            for index, (name, args) in enumerate(decision.calls)
        ]
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                tool_call_chunks=chunks,
                additional_kwargs=_noted(decision),
                chunk_position="last",
            )
        )


def _decide(messages: list[BaseMessage], tools: Sequence[dict[str, Any]]) -> Decision:
    offered = {
        tool["function"]["name"]: frozenset(
            tool["function"].get("parameters", {}).get("properties", {})
        )
        for tool in tools
    }
    return decide(view_of(messages), offered)


def _noted(decision: Decision) -> dict[str, Any]:
    return {MEMO: decision.memo} if decision.memo else {}


def _call_id() -> str:
    return f"guided-{uuid.uuid4().hex}"
