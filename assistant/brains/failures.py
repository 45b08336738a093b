"""When a brain cannot answer: one sentence and one next step, whatever the provider raised."""

from __future__ import annotations

import re

from assistant.events import BrainFailed
from tools.errors import ToolError

_MOST_DETAIL = 160
_SECRET = re.compile(r"\b(?:sk|key|pk|Bearer)[-_ ][\w\-.*]{6,}", re.I)
_BY_STATUS = {
    400: ("refused the request", "Choose another model in Settings; this one may not know tools."),
    401: ("does not accept the key", "Set LUTHIER_API_KEY to a valid key and start again."),
    403: ("does not allow this key", "Use a key that may use this model, or another model."),
    404: ("does not know this model", "Check the model's name and the base URL in Settings."),
    408: ("took too long", "Send the message again, or switch to the guided brain."),
    413: ("finds the conversation too long", "Start a new conversation; jobs and plans stay."),
    429: (
        "has no capacity for you now (rate limit or quota)",
        "Wait a minute and send the message again, or switch to the guided brain.",
    ),
}
_SERVER = ("has a fault of its own", "Send the message again later, or switch to the guided brain.")


class BrainError(Exception):
    """The brain failed in a way that a person can act on; carries what the faces show."""

    def __init__(self, failed: BrainFailed) -> None:
        super().__init__(failed.message)
        self.failed = failed


def explain_failure(error: Exception, brain: str) -> BrainFailed:
    """Return what went wrong with a provider, in words; keys in its message are masked."""
    if isinstance(error, ToolError):
        return BrainFailed(message=error.problem, hint=error.hint)
    status = _status(error)
    if status is not None:
        what, hint = _BY_STATUS.get(status, _SERVER)
        return BrainFailed(message=f"{brain} {what} ({status}).", hint=hint)
    names = " ".join(kind.__name__ for kind in type(error).__mro__)
    if re.search(r"Timeout", names):
        return BrainFailed(
            message=f"{brain} did not answer in time.",
            hint="Send the message again, or switch to the guided brain.",
        )
    if re.search(r"Connect|Network|URLError|ProtocolError|OSError", names):
        return BrainFailed(
            message=f"{brain} cannot be reached.",
            hint="Check the base URL and the connection, or switch to the guided brain.",
        )
    detail = _SECRET.sub("[hidden]", " ".join(str(error).split()))[:_MOST_DETAIL]
    return BrainFailed(
        message=f"{brain} could not answer: {type(error).__name__}: {detail}",
        hint="Send the message again, or switch to the guided brain.",
    )


def empty_answer(brain: str, *, malformed: bool) -> BrainFailed:
    """Return what is said where a brain answered with nothing that can be used."""
    what = "a tool call that is not valid JSON" if malformed else "nothing"
    return BrainFailed(
        message=f"{brain} answered with {what}.",
        hint="Send the message again; if it stays so, choose another model or the guided brain.",
    )


def _status(error: Exception) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int):
            return status
    return None
