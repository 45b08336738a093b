"""What the guided brain sees of a conversation: messages and the state block, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from assistant.brains.guided.wording import Utterance, read
from assistant.state import parse_state

MEMO = "guided"
_DATA_TOOLS = (
    "inspect_dataset",
    "prepare_dataset",
    "recommend_method",
    "estimate_resources",
    "start_training",
)
_GONE = ("not_found", "not_allowed")


@dataclass(frozen=True)
class Done:
    """A tool call and what it gave."""

    name: str
    args: dict[str, Any]
    turn: int
    ok: bool = True
    text: str = ""
    artifact: dict[str, Any] = field(default_factory=dict)

    @property
    def error_code(self) -> str | None:
        """Code of the error, or None."""
        return (self.artifact.get("error") or {}).get("code") if not self.ok else None

    @property
    def waits(self) -> bool:
        """Whether it stored a plan that needs consent."""
        return self.ok and self.artifact.get("state") == "waiting"


@dataclass(frozen=True)
class View:
    """A conversation at the moment the brain is asked.

    Attributes:
        state: The state block: waiting plans, jobs, files.
        typed: The person's last message.
        files: Paths that came with it.
        earlier: Calls of earlier turns; `now`: calls of this turn.
        memo: What the brain noted with its last answer before this message.
        plan: The calls it set out to make in this turn, once it has begun.
    """

    state: dict[str, Any]
    typed: str
    files: tuple[str, ...]
    earlier: tuple[Done, ...]
    now: tuple[Done, ...]
    memo: dict[str, Any]
    plan: dict[str, Any] | None

    @cached_property
    def said(self) -> Utterance:
        """The last message as plain words."""
        return read(self.typed, names=self.file_names, jobs=[j["id"] for j in self.jobs])

    @property
    def file_names(self) -> list[str]:
        """Names of data at hand: attached, in the folder, samples, prepared versions."""
        state = self.state
        prepared = [version["id"] for version in state.get("prepared", [])]
        return [*self.files, *state.get("files", []), *state.get("samples", []), *prepared]

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """Jobs, newest first."""
        return list(self.state.get("jobs", []))

    @property
    def trainings(self) -> list[dict[str, Any]]:
        """Runs, searches and jobs of several adapters, newest first; no trials of a search.

        Of several adapters each is a run of its own: it can be tried, judged and exported.
        """
        searches = {job["id"] for job in self.jobs if job["kind"] == "search"}
        return [
            job
            for job in self.jobs
            if job["kind"] in ("train", "search", "adapters") and job.get("parent") not in searches
        ]

    @property
    def waiting(self) -> list[dict[str, Any]]:
        """Plans that wait in this conversation."""
        return list(self.state.get("waiting", []))

    @cached_property
    def path(self) -> str | None:
        """The data that was last spoken of."""
        if self.files:
            return self.files[-1]
        for call in reversed(self.earlier):
            path = call.args.get("path")
            if call.name in _DATA_TOOLS and path and call.error_code not in _GONE:
                return str(path)
        return self.memo.get("path")

    @cached_property
    def plans(self) -> list[dict[str, Any]]:
        """Arguments of the plans asked for in this conversation, oldest first."""
        return [dict(call.args) for call in self.earlier if call.name == "start_training"]

    @property
    def last(self) -> Done | None:
        """The last call of an earlier turn."""
        return self.earlier[-1] if self.earlier else None

    @cached_property
    def focus(self) -> str | None:
        """The training run that was last spoken of in this conversation."""
        noted = self.memo.get("job")
        by_id = {job["id"]: job for job in self.jobs}
        if noted in by_id:
            job = by_id[noted]
            return str(job.get("job") or noted)
        return None


def view_of(messages: Sequence[BaseMessage]) -> View:
    """Read a conversation."""
    system = next((m for m in messages if isinstance(m, SystemMessage)), None)
    results = {m.tool_call_id: m for m in messages if isinstance(m, ToolMessage)}
    turn = 0
    calls: list[Done] = []
    memo: dict[str, Any] = {}
    plan: dict[str, Any] | None = None
    said: HumanMessage | None = None
    for message in messages:
        if isinstance(message, HumanMessage):
            memo = {**memo, **_told(message)}
            if not message.additional_kwargs.get("luthier"):
                turn, said, plan = turn + 1, message, None
        elif isinstance(message, AIMessage):
            noted = message.additional_kwargs.get(MEMO) or {}
            if message.tool_calls:
                plan = plan or noted.get("plan")
                calls += [_done(c, results.get(str(c["id"])), turn) for c in message.tool_calls]
                memo = {**memo, **_job_of(calls)}
            else:
                memo = {**({"job": memo["job"]} if "job" in memo else {}), **noted}
    extra = said.additional_kwargs if said else {}
    return View(
        state=parse_state(system.text) if system else {},
        typed=str(extra.get("text", said.text if said else "")),
        files=tuple(extra.get("files", ())),
        earlier=tuple(c for c in calls if c.turn < turn),
        now=tuple(c for c in calls if c.turn == turn),
        memo=memo,
        plan=plan,
    )


def _told(message: HumanMessage) -> dict[str, Any]:
    job = message.additional_kwargs.get("job")
    return {"job": job} if job else {}


def _job_of(calls: Sequence[Done]) -> dict[str, Any]:
    call = calls[-1]
    job = call.args.get("job")
    return {"job": job} if job and call.ok else {}


def _done(call: Any, result: ToolMessage | None, turn: int) -> Done:
    if result is None:
        return Done(call["name"], dict(call["args"]), turn, ok=False)
    artifact = result.artifact if isinstance(result.artifact, dict) else {}
    return Done(
        call["name"],
        dict(call["args"]),
        turn,
        ok=result.status != "error",
        text=result.text,
        artifact=artifact,
    )
