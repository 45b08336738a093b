"""What Luthier says by itself, whatever the brain: about consent, decisions, notices, crashes."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import HumanMessage

from assistant.events import (
    ApprovalAsked,
    BrainFailed,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEvent,
)
from assistant.markup import harmless, plain_line
from assistant.titles import step_title
from assistant.toolset import bounded
from tools.context import Context
from tools.history.approvals import Approval
from tools.reports import Report

BROKEN = BrainFailed(
    message="Something broke inside Luthier while it worked on this; it is a bug.",
    hint="What the finished steps did stands. Send the message again, or look into the log.",
)
_INTERRUPTED = "This step was interrupted; its result is unknown."
_SAY = {
    "start_training": '"yes, start the training"',
    "forget": '"yes, delete it"',
    "network": '"yes, download it"',
}


def no(waiting: Sequence[Approval]) -> str:
    """Answer a typed no: nothing happened, and nothing is lost."""
    plans = "The plan still waits" if len(waiting) == 1 else "The plans still wait"
    done = "deleted" if all(a.action == "forget" for a in waiting) else "started"
    return (
        f"Nothing was {done}. {plans}: press Not now on the card to drop it, tell me what to "
        "change, or say yes later."
    )


def which(waiting: Sequence[Approval]) -> str:
    """Ask which of several waiting plans is meant."""
    lines = [
        f"- {plain_line(a.subject, 100)} Say {_SAY.get(a.action, 'yes on its card')}."
        for a in waiting
    ]
    return "\n".join([f"{len(waiting)} plans wait. Which one do you mean?", *lines])


def after_consent(ctx: Context, report: Report) -> list[TurnEvent]:
    """Return what is shown when a decision was carried out."""
    document = report.document()
    told: list[TurnEvent] = []
    result = document.get("result")
    plan = document.get("plan") or {}
    if isinstance(result, dict) and plan.get("capability"):
        told.append(_finished(document, plan))
        asked = result.get("approval_id")
        message = str(document.get("message", ""))
        told.append(TextDelta(text=harmless(message)))
        if asked and result.get("state") == "waiting":
            told.append(ApprovalAsked(approval_id=asked))
        return told
    return [TextDelta(text=harmless(report.text()))]


def _finished(document: dict[str, object], plan: dict[str, object]) -> ToolFinished:
    name, result = str(plan["capability"]), document["result"]
    given = plan.get("arguments")
    arguments = given if isinstance(given, dict) else {}
    waits = isinstance(result, dict) and result.get("state") == "waiting"
    return ToolFinished(
        call_id=f"consent-{document.get('approval_id')}",
        name=name,
        title=step_title(name, arguments, done=True),
        status="waiting" if waits else "done",
        duration_s=0.0,
        text=bounded(str(document.get("result_text", ""))),
        report=result if isinstance(result, dict) else None,
    )


def decision_message(granted: bool) -> HumanMessage:
    """Return how a pressed button stands in the brain's memory."""
    text = "[pressed Start on the waiting plan]" if granted else "[pressed Not now on the plan]"
    return HumanMessage(text, additional_kwargs={"text": "", "luthier": "decision"})


def notice_message(job_id: str, text: str) -> HumanMessage:
    """Return how a notice stands in the brain's memory."""
    return HumanMessage(
        f"[notice from Luthier, not from the person] {text}",
        additional_kwargs={"text": "", "luthier": "notice", "job": job_id},
    )


def interrupted(step: ToolStarted) -> ToolFinished:
    """Close a step that a crash left open."""
    return ToolFinished(
        call_id=step.call_id,
        name=step.name,
        title=step.title,
        status="error",
        duration_s=0.0,
        text=_INTERRUPTED,
        error={
            "code": "interrupted",
            "message": _INTERRUPTED,
            "hint": "Look at the runs, then ask again.",
            "refused_by": None,
        },
    )
