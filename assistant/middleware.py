"""What stands round every model call and every tool call of every brain."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from langchain.agents.middleware import AgentMiddleware, AgentState
from langchain.agents.middleware.types import ModelRequest, ModelResponse, ToolCallRequest
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolMessage
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command

from assistant.brains.failures import BrainError, empty_answer, explain_failure
from assistant.brains.select import GUIDED
from assistant.events import StepStatus, ToolFinished, ToolStarted, TurnEvent
from assistant.policy import TurnGuard
from assistant.state import read_state, state_message
from assistant.titles import step_title
from tools.catalog import find_capability
from tools.context import Context
from tools.errors import ToolError

_ORDER_TIMEOUT_S = 600.0
_UNIQUE_ID = 20


@dataclass
class Turn:
    """One turn: on whose behalf, with what, and what it did so far. Never stored.

    Attributes:
        emit: Hands an event to whoever follows the turn.
        asked: Approvals that this turn's calls led to, in order.
    """

    ctx: Context
    brain: str
    files: Sequence[str]
    emit: Callable[[TurnEvent], None]
    guard: TurnGuard = field(default_factory=TurnGuard)
    asked: list[str] = field(default_factory=list)
    _done: set[str] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, earlier: Sequence[str]) -> None:
        """Wait until earlier calls of the same message have ended: calls happen in their order."""
        with self._changed:
            self._changed.wait_for(lambda: self._done.issuperset(earlier), _ORDER_TIMEOUT_S)

    def ended(self, call_id: str) -> None:
        """Note that a call has ended, well or not."""
        with self._changed:
            self._done.add(call_id)
            self._changed.notify_all()


class Policy(AgentMiddleware[AgentState[Any], Turn]):
    """Feeds the state to the brain, turns its failures into words, and guards its tool calls."""

    def wrap_model_call(
        self,
        request: ModelRequest[Turn],
        handler: Callable[[ModelRequest[Turn]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Ask the brain, with the present state behind the system prompt."""
        turn = request.runtime.context
        state = read_state(turn.ctx, turn.files)
        text = f"{_prompt()}\n{state_message(state)}"
        request = request.override(system_message=SystemMessage(text))
        if turn.brain == GUIDED:
            return handler(request)
        response = _ask(request, handler, turn.brain)
        if _is_malformed(response):
            response = _ask(request, handler, turn.brain)
        answer = response.result[-1]
        if isinstance(answer, AIMessage) and not answer.tool_calls and not answer.text.strip():
            malformed = bool(answer.invalid_tool_calls)
            raise BrainError(empty_answer(turn.brain, malformed=malformed))
        response.result[-1] = _with_own_ids(answer)
        return response

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Run one call in its turn, and tell what it does."""
        turn: Turn = request.runtime.context  # type: ignore[assignment]
        call_id = str(request.tool_call["id"])
        turn.wait_for(_earlier_calls(request, call_id))
        try:
            return self._run(turn, request, handler, call_id)
        finally:
            turn.ended(call_id)

    def _run(
        self,
        turn: Turn,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
        call_id: str,
    ) -> ToolMessage | Command[Any]:
        name, arguments = request.tool_call["name"], request.tool_call["args"]
        title = step_title(name, arguments, done=False)
        turn.emit(ToolStarted(call_id=call_id, name=name, title=title, arguments=arguments))
        began = time.monotonic()
        try:
            # Before LangChain validates: its message would name no next step.
            find_capability(name).validate(arguments)
            turn.guard.check(turn.ctx, name, arguments)
            message = handler(request)
        except ToolError as error:
            message = ToolMessage(
                content=str(error),
                name=name,
                tool_call_id=call_id,
                status="error",
                artifact={"error": error.as_dict()},
            )
        except Exception as error:
            if not isinstance(error, GraphBubbleUp):
                self._tell_broken(turn, name, arguments, call_id, began)
            raise
        if isinstance(message, ToolMessage):
            self._tell(turn, message, name, arguments, began)
        return message

    def _tell(
        self, turn: Turn, message: ToolMessage, name: str, arguments: dict[str, Any], began: float
    ) -> None:
        artifact = message.artifact if isinstance(message.artifact, dict) else {}
        error = artifact.get("error") if message.status == "error" else None
        status: StepStatus = "error" if message.status == "error" else "done"
        if status == "done" and artifact.get("state") == "waiting" and artifact.get("approval_id"):
            status = "waiting"
            turn.guard.waiting = True
            turn.asked.append(artifact["approval_id"])
        turn.emit(
            ToolFinished(
                call_id=message.tool_call_id,
                name=name,
                title=step_title(name, arguments, done=status != "error"),
                status=status,
                duration_s=time.monotonic() - began,
                text=message.text,
                report=artifact if status != "error" else None,
                error=error,
            )
        )

    def _tell_broken(
        self, turn: Turn, name: str, arguments: dict[str, Any], call_id: str, began: float
    ) -> None:
        """Close the step of a call that crashed; the crash itself goes on upwards."""
        problem = "Something broke inside Luthier; this is a bug."
        hint = "The log has the details."
        turn.emit(
            ToolFinished(
                call_id=call_id,
                name=name,
                title=step_title(name, arguments, done=False),
                status="error",
                duration_s=time.monotonic() - began,
                text=f"{problem} {hint}",
                error={"code": "bug", "message": problem, "hint": hint, "refused_by": None},
            )
        )


def _ask(
    request: ModelRequest[Turn],
    handler: Callable[[ModelRequest[Turn]], ModelResponse[Any]],
    brain: str,
) -> ModelResponse[Any]:
    try:
        return handler(request)
    except GraphBubbleUp:
        raise
    except Exception as error:
        # Thirty providers' libraries share no base class; the cause stays attached.
        raise BrainError(explain_failure(error, brain)) from error


def _is_malformed(response: ModelResponse[Any]) -> bool:
    answer = response.result[-1]
    return (
        isinstance(answer, AIMessage) and bool(answer.invalid_tool_calls) and not answer.tool_calls
    )


def _with_own_ids(answer: BaseMessage) -> BaseMessage:
    """Make short ids of tool calls unique: small servers number them alike in every answer.

    A call's id is the key by which it acts once; a reused one would give back an old plan.
    """
    if not isinstance(answer, AIMessage) or not isinstance(answer.content, str):
        return answer
    calls = [
        call if len(str(call["id"])) >= _UNIQUE_ID else {**call, "id": f"call-{uuid.uuid4().hex}"}
        for call in answer.tool_calls
    ]
    return answer.model_copy(update={"tool_calls": calls}) if calls else answer


def _earlier_calls(request: ToolCallRequest, call_id: str) -> list[str]:
    """Return the ids of the calls that stand before this one in the same message."""
    messages = request.state["messages"] if isinstance(request.state, dict) else []
    for message in reversed(messages):
        if isinstance(message, AIMessage) and message.tool_calls:
            ids = [str(call["id"]) for call in message.tool_calls]
            return ids[: ids.index(call_id)] if call_id in ids else []
    return []


@cache
def _prompt() -> str:
    return (Path(__file__).parent / "prompts" / "system.md").read_text(encoding="utf-8").strip()
