"""A conversation: one turn in, typed events out. The same path for every brain.

The agent is LangChain's, over a SQLite checkpointer; consent is the policy's; what was shown is
kept in the transcript. A turn runs in a thread of its own, so that a page that closes in the
middle loses nothing.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelCallLimitMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    HumanMessage,
    RemoveMessage,
)
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.graph.state import CompiledStateGraph

from assistant import answers
from assistant.brains.failures import BrainError
from assistant.brains.guided.model import GuidedBrain
from assistant.brains.select import GUIDED, select_brain
from assistant.events import (
    ApprovalAsked,
    BrainFailed,
    NoticeTold,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEvent,
    UserSaid,
)
from assistant.markup import plain_line, quoted_name
from assistant.memory import mend, open_checkpoints, prune, shortening
from assistant.middleware import Policy, Turn
from assistant.policy import read_typed_answer
from assistant.telling import Recorder, Speech
from assistant.toolset import build_tools
from assistant.transcript import Transcript
from tools.context import Actor, Context
from tools.errors import ToolError
from tools.settings import Settings

_LOG = logging.getLogger(__name__)
_MOST_MODEL_CALLS = 16
_MOST_TEXT = 20_000


class Assistant:
    """Conversations on one machine.

    Args:
        settings: This machine and person; they name the brain.
        actor: The face it speaks through.
        brain: Use this chat model instead of the one that the settings name; for tests.
    """

    def __init__(
        self, settings: Settings, actor: Actor = "chat", *, brain: BaseChatModel | None = None
    ) -> None:
        self.settings = settings
        self._ctx = Context(settings, actor=actor)
        self._brain = brain
        self._saver = open_checkpoints(settings.threads_database)
        self._transcript = Transcript(settings.threads_database)
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._built: Any = None
        self._keeper: Any = None
        self._building = threading.Lock()

    def turn(self, thread_id: str, text: str, files: Sequence[str] = ()) -> Iterator[TurnEvent]:
        """Answer one message. What is done is done also when nobody listens to the end.

        Args:
            files: Paths of files that came with the message.
        """
        return self._follow(lambda emit: self._turn(thread_id, text[:_MOST_TEXT], files, emit))

    def decide(
        self, thread_id: str, approval_id: str, granted: bool, by: str
    ) -> Iterator[TurnEvent]:
        """Carry out a person's decision on a waiting plan."""
        return self._follow(lambda emit: self._decide(thread_id, approval_id, granted, by, emit))

    def history(self, thread_id: str) -> list[TurnEvent]:
        """Read a conversation back, as it was shown."""
        events = self._transcript.read(thread_id)
        if self._locks[thread_id].locked():
            return events
        finished = {e.call_id for e in events if isinstance(e, ToolFinished)}
        whole: list[TurnEvent] = []
        for event in events:
            whole.append(event)
            if isinstance(event, ToolStarted) and event.call_id not in finished:
                whole.append(answers.interrupted(event))
        return whole

    def notices(self, thread_id: str) -> list[NoticeTold]:
        """Claim what happened since, once, and add it to the conversation."""
        ctx = self._context(thread_id)
        claimed = [
            *ctx.store.claim_notices(ctx.actor, thread_id=thread_id),
            *ctx.store.claim_notices(ctx.actor),
        ]
        told = [NoticeTold(job_id=notice.job_id, text=notice.text) for notice in claimed]
        if told:
            self._transcript.append(thread_id, told)
            self._remember(thread_id, [answers.notice_message(n.job_id, n.text) for n in told])
        return told

    def forget_thread(self, thread_id: str) -> None:
        """Delete a conversation. Jobs and plans stay in the history."""
        self._saver.delete_thread(thread_id)
        self._transcript.forget(thread_id)

    def _follow(self, work: Callable[[Callable[[TurnEvent], None]], None]) -> Iterator[TurnEvent]:
        """Run `work` in its own thread and give its events; a crash in it is raised here."""
        told: queue.SimpleQueue[TurnEvent | Exception | None] = queue.SimpleQueue()

        def run() -> None:
            try:
                work(told.put)
                told.put(None)
            except Exception as error:  # noqa: BLE001 - it is raised where the turn is followed
                told.put(error)

        threading.Thread(target=run, name="luthier-turn", daemon=True).start()
        while (event := told.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    def _turn(
        self,
        thread_id: str,
        text: str,
        files: Sequence[str],
        emit: Callable[[TurnEvent], None],
    ) -> None:
        ctx = self._context(thread_id)
        with self._locks[thread_id]:
            ctx.store.touch_thread(thread_id, plain_line(text, 60) or "New conversation")
            for notice in self.notices(thread_id):
                emit(notice)
            told = Recorder(self._transcript, thread_id, emit)
            told.keep(UserSaid(text=text, files=tuple(files)))
            try:
                answered = not files and self._answer_typed(ctx, text, told)
                if not answered:
                    self._ask_brain(ctx, text, files, told)
            finally:
                told.end()
                prune(self._saver, thread_id)

    def _answer_typed(self, ctx: Context, text: str, told: Recorder) -> bool:
        """Act on a typed yes or no to a waiting plan, before any brain reads it."""
        waiting = ctx.store.approvals.waiting(ctx.thread_id)
        answer = read_typed_answer(text, waiting) if waiting else None
        if answer is None:
            return False
        said: AnyMessage = HumanMessage(text, additional_kwargs={"text": text})
        if answer.kind == "grant" and answer.approval:
            reply = self._carry_out(ctx, answer.approval.id, True, "typed", told)
        else:
            reply = answers.no(waiting) if answer.kind == "no" else answers.which(waiting)
            told(TextDelta(text=reply))
        self._remember(str(ctx.thread_id), [said, AIMessage(reply)])
        return True

    def _decide(
        self,
        thread_id: str,
        approval_id: str,
        granted: bool,
        by: str,
        emit: Callable[[TurnEvent], None],
    ) -> None:
        ctx = self._context(thread_id)
        with self._locks[thread_id]:
            told = Recorder(self._transcript, thread_id, emit)
            reply = self._carry_out(ctx, approval_id, granted, by, told)
            told.end()
            said = answers.decision_message(granted)
            self._remember(thread_id, [said, AIMessage(reply)])

    def _carry_out(
        self, ctx: Context, approval_id: str, granted: bool, by: str, told: Recorder
    ) -> str:
        """Grant or decline, tell what came of it, and return that as text."""
        # Late: it starts processes, which a conversation that only looks never needs.
        from tools.jobs import consent  # noqa: PLC0415

        try:
            act = consent.grant if granted else consent.decline
            report = act(ctx, approval_id, by=by)
        except ToolError as error:
            told(TextDelta(text=str(error)))
            return str(error)
        for event in answers.after_consent(ctx, report):
            told(event)
        return report.text()

    def _ask_brain(self, ctx: Context, text: str, files: Sequence[str], told: Recorder) -> None:
        turn = Turn(ctx, self._brain_name(), tuple(files), told)
        try:
            self._stream(self._agent(), turn, _human(text, files), told)
        except BrainError as error:
            told(error.failed)
        except ToolError as error:
            told(BrainFailed(message=error.problem, hint=error.hint))
        except Exception:  # noqa: BLE001 - a bug must end in an honest sentence and in the log
            told(answers.BROKEN)
            _LOG.exception("a turn of conversation %s broke", ctx.thread_id)
        for approval_id in turn.asked:
            told(ApprovalAsked(approval_id=approval_id))

    def _stream(
        self, agent: Any, turn: Turn, said: HumanMessage, told: Callable[[TurnEvent], None]
    ) -> None:
        thread_id = str(turn.ctx.thread_id)
        config = _config(thread_id)
        messages: list[Any] = [said]
        mended = mend(agent.get_state(config).values.get("messages", []))
        if mended is not None:
            messages = [RemoveMessage(id=REMOVE_ALL_MESSAGES), *mended, said]
        speech = Speech(told)
        for message, where in agent.stream(
            {"messages": messages}, config, context=turn, stream_mode="messages", durability="sync"
        ):
            spoken = isinstance(message, AIMessage | AIMessageChunk)
            if spoken and not str(where.get("langgraph_node", "")).startswith("Summarization"):
                speech.say(str(message.id), message.text)
        speech.end()

    def _remember(self, thread_id: str, messages: Sequence[AnyMessage]) -> None:
        """Add messages to the brain's memory without asking it; works when it has no key."""
        keeper = self._keeper or build_agent(GuidedBrain(), [], self._saver)
        self._keeper = keeper
        keeper.update_state(_config(thread_id), {"messages": list(messages)}, as_node="model")

    def _agent(self) -> Any:
        with self._building:
            if self._built is None:
                brain = self._brain or select_brain(self.settings)
                self._built = build_agent(brain, build_tools(self._tool_context), self._saver)
            return self._built

    def _brain_name(self) -> str:
        return self.settings.brain if self._brain is None else self._brain._llm_type

    def _context(self, thread_id: str) -> Context:
        return self._ctx.with_(thread_id=thread_id)

    def _tool_context(self, thread_id: str, call_id: str) -> Context:
        return self._ctx.with_(thread_id=thread_id, call_id=call_id)


def build_agent(
    brain: BaseChatModel, tools: Sequence[BaseTool], saver: SqliteSaver
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Return the graph of a brain; the same middleware stands round every one."""
    around: list[AgentMiddleware[Any, Any, Any]] = [
        Policy(),
        ModelCallLimitMiddleware(run_limit=_MOST_MODEL_CALLS),
    ]
    if brain._llm_type != GUIDED:
        around += shortening(brain)
    return create_agent(
        brain,
        list(tools),
        middleware=around,
        context_schema=Turn,
        checkpointer=saver,
    )


def _config(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id}, "recursion_limit": 100}


def _human(text: str, files: Sequence[str]) -> HumanMessage:
    """Return the person's message; attached files are named in it for language models."""
    names = "\n".join(f"[attached: {quoted_name(file, 300)}]" for file in files)
    content = f"{text}\n\n{names}" if names else text
    return HumanMessage(content, additional_kwargs={"text": text, "files": list(files)})
