"""A scripted assistant for tests of the suite's runner: it does what each turn's script says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from assistant.events import (
    ApprovalAsked,
    BrainFailed,
    NoticeTold,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEvent,
)
from tools.context import Context
from tools.history.spec import ExportSpec, TrainingSpec, plan_hash
from tools.jobs.launch import submit
from tools.settings import Settings
from ui.suite import SuiteResult, run_suite

Script = Callable[["ScriptedAssistant"], Iterator[TurnEvent]]


class ScriptedAssistant:
    """Plays one script per turn."""

    def __init__(self, settings: Settings, scripts: list[Script]) -> None:
        self.settings = settings
        self.ctx = Context(settings, actor="suite")
        self._scripts = list(scripts)
        self._calls = 0
        self.thread = ""

    def turn(self, thread_id: str, text: str) -> Iterator[TurnEvent]:
        self.thread = thread_id
        self.said = text
        yield from self._scripts.pop(0)(self)

    def decide(
        self, thread_id: str, approval_id: str, granted: bool, by: str
    ) -> Iterator[TurnEvent]:
        self.grant(approval_id, by) if granted else self._decline(approval_id, by)
        yield TextDelta(text="Started." if granted else "Left as it is.")

    def notices(self, thread_id: str) -> list[NoticeTold]:
        return []

    def call(self, tool: str, *, fails: bool = False, **arguments: Any) -> Iterator[TurnEvent]:
        self._calls += 1
        key = f"{self.thread}/{self._calls}"
        yield ToolStarted(call_id=key, name=tool, title=tool, arguments=arguments)
        error = {"code": "x", "message": "No.", "hint": "Stop."} if fails else None
        yield ToolFinished(
            call_id=key,
            name=tool,
            title=tool,
            status="error" if fails else "done",
            duration_s=0.0,
            text="the report",
            error=error,
        )

    def ask_to_train(self, plan: dict[str, Any] | None = None, **arguments: Any) -> Any:
        """Call start_training and let its plan wait."""
        spec = spec_of(self.ctx, **(plan or {}))
        yield from self.call("start_training", **arguments)
        approval = self.ctx.store.approvals.request(
            "start_training",
            subject="Train",
            plan=spec.model_dump(mode="json"),
            card={"rank": str(spec.rank)},
            thread_id=self.thread,
            call_id=f"{self.thread}/{self._calls}",
            key=plan_hash(spec),
        )
        yield ApprovalAsked(approval_id=approval.id)

    def grant(self, approval_id: str, by: str) -> None:
        approval = self.ctx.store.approvals.decide(approval_id, "granted", by=by)
        if approval.action == "start_training":
            spec = TrainingSpec.model_validate(approval.plan)
            submit(self.ctx, spec, name="run", thread_id=self.thread, approval_id=approval.id)

    def _decline(self, approval_id: str, by: str) -> None:
        self.ctx.store.approvals.decide(approval_id, "declined", by=by)


def spec_of(ctx: Context, **changes: Any) -> TrainingSpec:
    values: dict[str, Any] = {
        "path": "data.csv",
        "dataset": "data@1",
        "dataset_fingerprint": "1",
        "task": "classification",
        "objective": "prompt_completion",
        "model": "starter",
        "method": "lora",
        "learning_rate": 1e-3,
    }
    return TrainingSpec(**(values | changes))


def export_spec(job: str) -> ExportSpec:
    return ExportSpec(job=job)


def say(text: str) -> Script:
    return lambda fake: iter([TextDelta(text=text)])


def call(tool: str, **arguments: Any) -> Script:
    return lambda fake: fake.call(tool, **arguments)


def fail_brain() -> Script:
    return lambda fake: iter([BrainFailed(message="No key.", hint="Set one.")])


def play(folder: Path, settings: Settings, yaml: str, *scripts: Script, **options: Any) -> Any:
    """Play YAML cases with the scripts and return the result."""
    file = folder / "suite.yaml"
    file.write_text(yaml, encoding="utf-8")
    result: SuiteResult = run_suite(
        [file],
        base=settings,
        make_assistant=lambda world: ScriptedAssistant(world, list(scripts)),
        **options,
    )
    return result
