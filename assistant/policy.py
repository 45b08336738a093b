"""What a brain may do. Every tool call of every brain, and every MCP call, passes here.

The policy checks arguments, where a path lies, and what reaches beyond this machine. Capabilities
that spend or destroy store their plan and answer `waiting` by themselves; the approvals table is
the only truth about consent, and `read_typed_answer` is the only way a typed word grants one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from assistant.assent import names_action, read_answer
from assistant.markup import quoted_name
from tools.catalog import Capability, find_capability
from tools.context import Context
from tools.errors import Conflict, NotAllowed, NotFound
from tools.history.approvals import Approval
from tools.paths import resolve_input
from tools.reports import Report

NETWORK_ACTION = "network"
_MOST_CALLS = 24
_SAME_CALL = 2
_SAME_LOOK = 2
_LOOKS = frozenset({"show_job", "list_jobs"})


class NetworkReport(Report):
    """A call that would reach beyond this machine waits for consent.

    Attributes:
        destination: What would be contacted, such as `huggingface.co/org/name`.
    """

    state: Literal["waiting"] = "waiting"
    approval_id: str
    plan_hash: str
    capability: str
    destination: str

    def text(self) -> str:
        """Return what waits, and for what."""
        return (
            f"This would contact {quoted_name(self.destination)}. Nothing was sent. "
            "It waits for the person's consent."
        )


def call_capability(ctx: Context, name: str, arguments: dict[str, Any]) -> Report:
    """Check a call by its arguments and effect, then run it or store what needs consent.

    Raises:
        ToolError: The call is not possible or not allowed.
    """
    capability = find_capability(name)
    checked = capability.validate(arguments)
    _check_path(ctx, getattr(checked, "path", None))
    destination = capability.destination(checked, ctx)
    if destination is None:
        return capability.call(ctx, arguments)
    if ctx.settings.network == "never":
        raise NotAllowed(
            f"This would contact {destination}, and the network is switched off.",
            hint="Name a model or file on this machine, or allow the network in Settings.",
        )
    if ctx.settings.network == "ask" and not ctx.network_granted:
        return _ask_for_network(ctx, capability, arguments, destination)
    return capability.call(ctx.with_(network_granted=True), arguments)


def effect_of(ctx: Context, name: str, arguments: dict[str, Any]) -> str:
    """Return the highest effect that a call with these arguments has."""
    capability = find_capability(name)
    return capability.effect_of(capability.validate(arguments), ctx)


def _check_path(ctx: Context, path: object) -> None:
    """Refuse a path outside the allowed folders, whatever the capability does with it."""
    if not isinstance(path, str) or not path.strip():
        return
    try:
        resolve_input(ctx, path)
    except NotFound:
        # It may be the id of a prepared version; the capability knows.
        return


def _ask_for_network(
    ctx: Context, capability: Capability, arguments: dict[str, Any], destination: str
) -> NetworkReport:
    approval = ctx.store.approvals.request(
        NETWORK_ACTION,
        subject=f"Contact {destination}",
        plan={"capability": capability.name, "arguments": arguments},
        card={
            "what": capability.summary,
            "contacts": destination,
            "sends": "the name of the model or file, nothing of yours",
        },
        thread_id=ctx.thread_id,
        call_id=ctx.call_id,
    )
    return NetworkReport(
        approval_id=approval.id,
        plan_hash=approval.plan_hash,
        capability=capability.name,
        destination=destination,
    )


@dataclass(frozen=True)
class TypedAnswer:
    """What a whole message says to the waiting plans of its conversation.

    Attributes:
        kind: `grant` exactly `approval`; `which` of several is unclear; `no` leaves all waiting.
    """

    kind: Literal["grant", "which", "no"]
    approval: Approval | None = None


def read_typed_answer(text: str, waiting: Sequence[Approval]) -> TypedAnswer | None:
    """Return what a message answers, or None where it is anything but an answer."""
    answers = {approval.id: read_answer(text, approval.action) for approval in waiting}
    agreed = [approval for approval in waiting if answers[approval.id] == "yes"]
    if agreed:
        if len(waiting) > 1:
            agreed = [a for a in agreed if names_action(text, a.action)]
        if len(agreed) == 1:
            return TypedAnswer("grant", agreed[0])
        return TypedAnswer("which")
    if waiting and all(answer == "no" for answer in answers.values()):
        return TypedAnswer("no")
    return None


@dataclass
class TurnGuard:
    """Counts the calls of one turn, so that a brain can neither loop nor act behind a card."""

    waiting: bool = False
    _calls: Counter[str] = field(default_factory=Counter)

    def check(self, ctx: Context, name: str, arguments: dict[str, Any]) -> None:
        """Count a call.

        Raises:
            Conflict: It repeats itself, polls, is one too many, or a plan waits already.
        """
        key = f"{name} {json.dumps(arguments, sort_keys=True, default=str)}"
        self._calls[key] += 1
        self._calls[name] += 1
        if self._calls[key] > _SAME_CALL:
            raise Conflict(
                f"{name} was called with the same arguments before; the result stands.",
                hint="Answer with what is known, or ask the person.",
            )
        if name in _LOOKS and self._calls[name] > _SAME_LOOK + 2:
            raise Conflict(
                "Jobs run by themselves; looking again does not speed them up.",
                hint="End the turn; the person is told when the job ends.",
            )
        if sum(count for call, count in self._calls.items() if " " not in call) > _MOST_CALLS:
            raise Conflict(
                f"This turn has used its {_MOST_CALLS} tool calls.",
                hint="Answer with what is known; the person can ask for more.",
            )
        if self.waiting and effect_of(ctx, name, arguments) != "read":
            raise Conflict(
                "A plan waits for the person's answer; nothing else is done before that.",
                hint="End the turn and let the person decide.",
            )
