"""What happens in a turn, as typed events. Every face shows these and nothing else."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

StepStatus = Literal["done", "waiting", "error"]


class TurnEvent(BaseModel):
    """Base of all turn events."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UserSaid(TurnEvent):
    """The person's message; only when a conversation is read back."""

    text: str
    files: tuple[str, ...] = ()


class TextDelta(TurnEvent):
    """A piece of the assistant's answer (Markdown without images or HTML)."""

    text: str


class ToolStarted(TurnEvent):
    """A tool call began. `title` is for people: `looked at support_tickets.csv`."""

    call_id: str
    name: str
    title: str
    arguments: dict[str, Any]


class ToolFinished(TurnEvent):
    """A tool call ended.

    Attributes:
        status: `waiting` where the tool stored a plan that needs consent.
        text: What the language model reads.
        report: The report's JSON document with its class name under `type`; None on an error.
        error: `{code, message, hint, refused_by}` on an error.
    """

    call_id: str
    name: str
    title: str
    status: StepStatus
    duration_s: float
    text: str
    report: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class ApprovalAsked(TurnEvent):
    """A plan waits for consent; the approval is in the store."""

    approval_id: str


class NoticeTold(TurnEvent):
    """A job ended or something needs attention."""

    job_id: str
    text: str


class BrainFailed(TurnEvent):
    """The brain could not answer; what the tools did stands."""

    message: str
    hint: str
