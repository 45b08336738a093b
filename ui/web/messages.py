"""Turn events become chat messages. Text stays text; steps fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

import gradio as gr

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
from tools.context import Context
from tools.errors import NotFound
from tools.evaluate.stored import stored_judgement
from ui.web import cards
from ui.web.diagnosis import diagnosis_card
from ui.web.escape import h, literal_markdown, safe_markdown
from ui.web.lens import lens_card

_MOST_STEP_TEXT = 6000
EXPORT_OPTION, TRY_OPTION, REPORT_OPTION = "export", "try", "report"


class Transcript:
    """A conversation as messages for `gr.Chatbot`, grown event by event."""

    def __init__(self, ctx: Context, events: Iterable[TurnEvent] = ()) -> None:
        self.messages: list[gr.ChatMessage] = []
        self._ctx = ctx
        self._steps: dict[str, gr.ChatMessage] = {}
        self._text: gr.ChatMessage | None = None
        self._raw = ""
        self._approvals: list[tuple[gr.ChatMessage, str]] = []
        for event in events:
            self.add(event)

    def add(self, event: TurnEvent) -> None:
        """Take in one event."""
        if isinstance(event, TextDelta):
            self._add_text(event.text)
            return
        self._text = None
        match event:
            case UserSaid():
                self._say("user", _user_text(event))
            case ToolStarted():
                self._start_step(event)
            case ToolFinished():
                self._finish_step(event)
            case ApprovalAsked():
                self._approvals.append((self._html(""), event.approval_id))
                self.refresh_approvals()
            case NoticeTold():
                self._notice(event)
            case BrainFailed():
                title = "The brain could not answer"
                self._html(cards.problem_card(event.message, event.hint, title))
            case _:
                raise TypeError(f"no face for {type(event).__name__}")

    def problem(self, message: str, hint: str) -> None:
        """Show a problem that no tool reported."""
        self._text = None
        self._html(cards.problem_card(message, hint))

    def refresh_approvals(self) -> None:
        """Show what became of the plans."""
        for message, approval_id in self._approvals:
            try:
                line = cards.approval_line(self._ctx.store.approvals.get(approval_id))
            except NotFound:
                line = '<p class="decided">This plan is gone from the history.</p>'
            message.content = _component(line)

    def _say(self, role: Any, text: str) -> gr.ChatMessage:
        message = gr.ChatMessage(role=role, content=text)
        self.messages.append(message)
        return message

    def _html(self, html: str) -> gr.ChatMessage:
        return self._say("assistant", _component(html))

    def _add_text(self, piece: str) -> None:
        if self._text is None:
            self._raw, self._text = "", self._say("assistant", "")
        self._raw += piece
        self._text.content = safe_markdown(self._raw)

    def _start_step(self, event: ToolStarted) -> None:
        title = literal_markdown(event.title)
        step = gr.ChatMessage(
            role="assistant",
            content="",
            metadata={"title": title, "id": event.call_id, "status": "pending"},
        )
        self._steps[event.call_id] = step
        self.messages.append(step)

    def _finish_step(self, event: ToolFinished) -> None:
        step = self._steps.get(event.call_id)
        if step is None:
            step = gr.ChatMessage(role="assistant", content="", metadata={"id": event.call_id})
            self.messages.append(step)
        word = {"error": "did not work", "waiting": "waits for you"}.get(event.status, "")
        step.metadata["title"] = literal_markdown(event.title)
        step.metadata["status"] = "done"
        step.metadata["duration"] = round(event.duration_s, 2)
        note = word or step_note(event.report or {})
        if note:
            step.metadata["log"] = note
        step.content = _component(_step_body(event))
        shown = report_card(event.report or {})
        if shown:
            self._html(shown)

    def _notice(self, event: NoticeTold) -> None:
        try:
            job = self._ctx.store.jobs.get(event.job_id)
        except NotFound:
            self._say("assistant", safe_markdown(event.text))
            return
        judgement = stored_judgement(self._ctx, job)
        message = self._html(cards.job_card(job, event.text, judgement))
        if job.kind == "train" and job.state == "succeeded":
            message.options = [
                {"value": f"{EXPORT_OPTION}:{job.id}", "label": "Export to ONNX"},
                {"value": f"{TRY_OPTION}:{job.id}", "label": "Try it"},
                {"value": f"{REPORT_OPTION}:{job.id}", "label": "Report"},
            ]
        elif job.kind == "export" and job.state == "succeeded":
            message.options = [{"value": f"{TRY_OPTION}:{job.parent}", "label": "Try it"}]


def report_card(report: Mapping[str, Any]) -> str:
    """Return the card that stands open below a step, for reports that are best seen."""
    match report.get("type"):
        case "TryReport":
            return cards.answers_card(report)
        case "DiagnosisReport":
            return diagnosis_card(report, can_start=False)
        case "DatasetReport" if report.get("lens"):
            return lens_card(report["lens"], report.get("lens_about"))
    return ""


def step_note(report: Mapping[str, Any]) -> str:
    """Return the few figures that stand beside a step's title."""
    if report.get("type") == "DatasetReport":
        labels = len(report.get("label_counts") or ())
        found = len(report.get("problems") or ())
        parts = [f"{report.get('rows', 0):,} rows"]
        parts += [f"{labels} labels"] if labels else []
        parts += [f"{found} {'problem' if found == 1 else 'problems'}"] if found else []
        return " · ".join(parts)
    return ""


def _component(html: str) -> Any:
    return gr.HTML(html, apply_default_css=False)


def _user_text(event: UserSaid) -> str:
    names = ", ".join(f"`{PurePath(name).name.replace('`', '')}`" for name in event.files)
    said = safe_markdown(event.text)
    return "\n\n".join(part for part in (said, names and safe_markdown(names)) if part)


def _step_body(event: ToolFinished) -> str:
    if event.status == "error" and event.error:
        return (
            f'<div class="step error"><p>{h(event.error.get("message"))}</p>'
            f'<p class="next">{h(event.error.get("hint"))}</p></div>'
        )
    text = event.text
    if len(text) > _MOST_STEP_TEXT:
        text = text[:_MOST_STEP_TEXT] + "\n…"
    return f'<pre class="step" tabindex="0">{h(text)}</pre>'
