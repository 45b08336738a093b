"""`luthier demo`: the whole main job by conversation, on a shipped sample, with a table at the end.

The consent is recorded as `granted_by=demo` and is given only to plans over the shipped samples
and the starter model. The demo passes only if every gate passed.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from assistant.agent import Assistant
from assistant.events import ApprovalAsked, TextDelta, ToolFinished
from tools.context import Context
from tools.errors import NotAllowed, Refused
from tools.history.jobs import JobRecord
from tools.shipped import data_folder, shipped
from ui.progress import wait_with_progress
from ui.text import format_answers, format_duration, format_table

TICKETS = "data/samples/support_tickets.csv"
HELD_OUT = "data/samples/support_tickets_heldout.csv"
STARTER = "starter"


@dataclass(frozen=True)
class DemoResult:
    """What the demo found: the JSON document, the table, and whether every gate passed."""

    document: dict[str, Any]
    text: str
    passed: bool


def run_demo(ctx: Context, *, quiet: bool = False) -> DemoResult:
    """Play the main job to its end.

    Raises:
        Refused: A gate said no; the reason is the gate's.
    """
    demo = _Demo(ctx, quiet=quiet)
    with demo.step("look, plan, tune"):
        training = demo.say(f"Tune a model to sort my support tickets. The data is {TICKETS}.")
    with demo.step("judge"):
        judged = demo.say(f"Was it worth it? Evaluate it on {HELD_OUT}.")
    with demo.step("export and verify"):
        exported = demo.say("Export it to ONNX.")
    with demo.step("try"):
        demo.say("Try it: my card was charged twice", expects_job=False)
    document = _document(ctx, training, judged, exported, demo.seconds)
    return DemoResult(document, _table(document), bool(document["parity"]["passed"]))


@dataclass
class _Demo:
    ctx: Context
    quiet: bool
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.assistant = Assistant(self.ctx.settings, actor="demo")
        self.thread = f"demo-{secrets.token_hex(4)}"

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one part of the job."""
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)

    def say(self, message: str, *, expects_job: bool = True) -> JobRecord:
        """Play one turn, consent to the demo's own plan, and wait for the job it leads to."""
        known = {job.id for job in self.ctx.store.jobs.find()}
        self._print(f"\nyou> {message}")
        for event in self.assistant.turn(self.thread, message):
            self._show(event)
            if isinstance(event, ApprovalAsked):
                self._consent(event.approval_id)
        self._print("")
        newest = self.ctx.store.jobs.find(limit=1)[0]
        if not expects_job:
            return newest
        if newest.id in known:
            raise RuntimeError(f"the conversation started no job after: {message}")
        job = wait_with_progress(self.ctx, newest.id, quiet=self.quiet)
        if job.state != "succeeded":
            error = job.error or {}
            raise Refused(
                f"{job.id} is {job.state}: {error.get('message', 'no reason was recorded')}",
                hint=error.get("hint") or f"Look at it with `luthier show {job.id}`.",
                refused_by=error.get("refused_by") or "demo",
            )
        for notice in self.assistant.notices(self.thread):
            self._print(f"  [{notice.text}]")
        return job

    def _consent(self, approval_id: str) -> None:
        plan = self.ctx.store.approvals.get(approval_id)
        source = shipped("samples", plan.plan["path"].rsplit("/", 1)[-1])
        mine = source.is_relative_to(data_folder()) and source.is_file()
        if not mine or plan.plan["model"] != STARTER or plan.action != "start_training":
            raise NotAllowed(
                "The demo consents only to the shipped sample and starter model.",
                hint="Run your own data with `luthier train`.",
            )
        self._print("\n")
        for label, text in plan.card.items():
            self._print(f"  | {label}: {text}")
        self._print("  | consent: given by the demo for its own sample\n")
        for event in self.assistant.decide(self.thread, approval_id, True, "demo"):
            self._show(event)

    def _show(self, event: object) -> None:
        if isinstance(event, ToolFinished):
            self._print(f"  * {event.title}  {event.status}  {event.duration_s:.1f} s")
            for line in format_answers(event.report):
                self._print(line)
        elif isinstance(event, TextDelta):
            self._print(event.text, end="")

    def _print(self, text: str, end: str = "\n") -> None:
        if not self.quiet:
            print(text, end=end, file=sys.stdout, flush=True)


def _document(
    ctx: Context,
    training: JobRecord,
    judged: JobRecord,
    exported: JobRecord,
    seconds: dict[str, float],
) -> dict[str, Any]:
    figures, halves = judged.metrics, judged.metrics.get("slices", {})
    card = json.loads(shipped("starter-model", "card.json").read_text(encoding="utf-8"))
    home = ctx.settings.home
    parity = exported.metrics["parity"]
    return {
        "accuracy": {
            "base": figures["base_accuracy"],
            "base_low": figures["base_accuracy_low"],
            "base_high": figures["base_accuracy_high"],
            "tuned": figures["accuracy"],
            "low": figures["accuracy_low"],
            "high": figures["accuracy_high"],
            "n": figures["n"],
            "majority": figures["majority_share"],
            "seen": halves["seen"]["tuned"],
            "unseen": halves["unseen"]["tuned"],
            "control": card["control"],
            "tfidf": {
                "accuracy": figures["tfidf_accuracy"],
                "seen": halves["seen"]["tfidf"],
                "unseen": halves["unseen"]["tfidf"],
            },
        },
        "verdict": figures["verdict"],
        "verdict_text": figures["verdict_text"],
        "memory_gib": {
            "expected": training.predicted.get("memory_gib"),
            "measured": training.measured.get("memory_gib"),
        },
        "parity": {
            "passed": parity["passed"],
            "measures": parity["measures"],
        },
        "artifacts": {
            name: str(home / path)
            for job in (training, exported)
            for name, path in job.artifacts.items()
        },
        "tokens_per_second": exported.metrics.get("tokens_per_second", {}),
        "jobs": {"training": training.id, "evaluation": judged.id, "export": exported.id},
        "seconds": seconds | {"total": round(sum(seconds.values()), 1)},
    }


def _table(document: dict[str, Any]) -> str:
    a, control = document["accuracy"], document["accuracy"]["control"]
    rows = [
        ["base (untouched)", a["base"], f"{a['base_low']:.2f}-{a['base_high']:.2f}", None, None],
        ["tuned", a["tuned"], f"{a['low']:.2f}-{a['high']:.2f}", a["seen"], a["unseen"]],
        ["TF-IDF + logistic", a["tfidf"]["accuracy"], "", a["tfidf"]["seen"], a["tfidf"]["unseen"]],
        ["same tuning, random start", control["accuracy"], "", control["seen"], control["unseen"]],
        ["majority label", a["majority"], "", None, None],
    ]
    header = ["model", "accuracy", "95 % interval", "seen wordings", "never-trained phrases"]
    memory, speed = document["memory_gib"], document["tokens_per_second"]
    lines = [
        "",
        f"Held-out rows: {a['n']}. The random start's figures are from the starter's card.",
        "",
        format_table(header, rows),
        "",
        f"Verdict: {document['verdict']}. {document['verdict_text']}",
        f"Memory: {memory['expected']:.2f} GiB predicted, {memory['measured']:.2f} GiB measured.",
        "Tokens per second: " + ", ".join(f"{k} {v:,.0f}" for k, v in speed.items()) + ".",
        _parity_line(document["parity"]),
        *(f"{name}: {path}" for name, path in document["artifacts"].items()),
        "Time: " + ", ".join(f"{k} {format_duration(v)}" for k, v in document["seconds"].items()),
    ]
    return "\n".join(lines)


def _parity_line(parity: dict[str, Any]) -> str:
    """Return how often each step of the export says what the tuned model says."""
    measures = parity["measures"]
    steps = [name.removesuffix("_agreement") for name in measures if name.endswith("_agreement")]
    same = [
        f"{step} {measures[f'{step}_agreement']:.0%}".replace("%", " %")
        for step in steps
        if step != "base" and not step.endswith("_token")
    ]
    word = "passed" if parity["passed"] else "failed"
    return f"Parity {word}: of {measures['prompts']} answers the same as tuned: {', '.join(same)}."
