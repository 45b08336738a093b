"""A conversation in a terminal: the same turns as in the app, printed."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable
from typing import Any

from assistant.agent import Assistant
from assistant.events import (
    ApprovalAsked,
    BrainFailed,
    NoticeTold,
    TextDelta,
    ToolFinished,
    TurnEvent,
)
from tools.context import Context
from tools.settings import Settings
from ui.text import format_answers, format_duration

_HELP = "Type `quit` or press Ctrl-D to leave; jobs go on. A waiting plan starts when you type yes."


class TerminalConversation:
    """Prints turn events; answers, steps and cards look the same whichever brain speaks."""

    def __init__(self, assistant: Assistant, ctx: Context, thread_id: str, *, quiet: bool) -> None:
        self._assistant = assistant
        self._ctx = ctx
        self.thread_id = thread_id
        self._quiet = quiet

    @classmethod
    def open(
        cls, settings: Settings, thread_id: str | None, *, quiet: bool = False
    ) -> TerminalConversation:
        """Open a conversation, a new one where no id is given."""
        assistant = Assistant(settings, actor="chat")
        thread = thread_id or secrets.token_hex(6)
        return cls(assistant, Context(settings, actor="chat"), thread, quiet=quiet)

    def loop(self) -> None:
        """Read lines until the end of the input."""
        print(f"Luthier. {_HELP}")
        while True:
            self._show(self._assistant.notices(self.thread_id))
            try:
                line = input("\nyou> ").strip()
            except EOFError:
                print()
                return
            if line.lower() in {"quit", "exit"}:
                return
            if line:
                self.say(line)

    def say(self, message: str) -> dict[str, Any]:
        """Play one turn; return it as a JSON-like document."""
        told = list(self._assistant.notices(self.thread_id))
        self._show(told)
        events: list[TurnEvent] = []
        for event in self._assistant.turn(self.thread_id, message):
            events.append(event)
            self._show([event])
        if not self._quiet:
            print()
        return {
            "thread": self.thread_id,
            "reply": "".join(e.text for e in events if isinstance(e, TextDelta)).strip(),
            "calls": [e.model_dump(mode="json") for e in events if isinstance(e, ToolFinished)],
            "waiting": [e.approval_id for e in events if isinstance(e, ApprovalAsked)],
            "notices": [e.text for e in told if isinstance(e, NoticeTold)],
            "errors": [e.message for e in events if isinstance(e, BrainFailed)],
        }

    def _show(self, events: Iterable[TurnEvent]) -> None:
        if self._quiet:
            return
        for event in events:
            text = self._line(event)
            if text is not None:
                print(text, end="" if isinstance(event, TextDelta) else "\n", flush=True)

    def _line(self, event: TurnEvent) -> str | None:
        match event:
            case TextDelta():
                return event.text
            case ToolFinished():
                step = f"  * {event.title}  {event.status}  {event.duration_s:.1f} s"
                return "\n".join([step, *format_answers(event.report)])
            case ApprovalAsked():
                return self._card(event.approval_id)
            case NoticeTold():
                return f"\n  [{event.text}]"
            case BrainFailed():
                print(f"{event.message}\n{event.hint}", file=sys.stderr)
        return None

    def _card(self, approval_id: str) -> str:
        approval = self._ctx.store.approvals.get(approval_id)
        rows = [f"  | {label}: {text}" for label, text in approval.card.items()]
        left = (approval.expires_at - self._ctx.clock()).total_seconds()
        head = f"\n  + {approval.subject}"
        plan = f"plan {approval.plan_hash[:8]}, waits {format_duration(left)}"
        foot = f"  + Type yes to start it ({plan})."
        return "\n".join([head, *rows, foot])
