"""What a person sees of a turn, as plain text: the answer, its cards, and the reports as tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.events import (
    ApprovalAsked,
    BrainFailed,
    NoticeTold,
    TextDelta,
    ToolFinished,
    TurnEvent,
)
from tools.history.approvals import Approval
from tools.history.store import Store
from ui.web.escape import safe_markdown

_MARKDOWN_IMAGE = re.compile(r"(?<!\\)!\[[^\]]*\](?:\(\s*<?\s*(?:https?:)?//|\[)")
_LOADING_TAG = re.compile(
    r"<(?:img|image|source|video|audio|iframe|frame|embed|object|link|script|input|use|track)\b"
    r"[^>]*(?:https?:)?//",
    re.I,
)
_STYLE_URL = re.compile(r"<[a-z][^>]*url\(\s*['\"]?(?:https?:)?//", re.I)


def answer_text(events: Sequence[TurnEvent], store: Store) -> str:
    """Return the answer and its cards: what the assistant tells a person."""
    parts = ["".join(event.text for event in events if isinstance(event, TextDelta))]
    for event in events:
        if isinstance(event, ApprovalAsked):
            parts.append(card_text(store.approvals.get(event.approval_id)))
        elif isinstance(event, BrainFailed):
            parts.append(f"{event.message} {event.hint}")
    return "\n".join(part for part in parts if part)


def reports_text(events: Sequence[TurnEvent]) -> str:
    """Return the reports and problems that the page shows beside the answer."""
    parts = []
    for event in events:
        if isinstance(event, ToolFinished):
            error = f"{event.error.get('message')} {event.error.get('hint')}" if event.error else ""
            parts.append(error or event.text)
    return "\n".join(parts)


def everything_shown(events: Sequence[TurnEvent], store: Store) -> str:
    """Return every text that reaches the page in any form: for canaries."""
    parts = [answer_text(events, store), reports_text(events)]
    for event in events:
        if isinstance(event, ToolFinished | NoticeTold):
            parts.append(event.model_dump_json())
            parts.append(event.text)
    return "\n".join(parts)


def card_text(approval: Approval) -> str:
    """Return an approval card as lines of `label: text`."""
    lines = [approval.subject, *(f"{label}: {text}" for label, text in approval.card.items())]
    return "\n".join(str(line) for line in lines)


def remote_images(markdown: str) -> int:
    """Count what the page would load from other hosts, after the page's own disarming."""
    page = safe_markdown(markdown)
    return sum(
        len(pattern.findall(page)) for pattern in (_MARKDOWN_IMAGE, _LOADING_TAG, _STYLE_URL)
    )
