"""One question to several models: which they are, and their answers as they stream in."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tools.catalog import find_capability
from tools.context import Context
from tools.history.jobs import JobRecord
from ui.web.words import number


@dataclass(frozen=True)
class Target:
    """A model that can answer. `key` is how `try_model` names it."""

    key: str
    title: str


@dataclass
class Answer:
    """What one model has said so far."""

    target: Target
    text: str = ""
    first_s: float | None = None
    tokens_per_s: float | None = None
    ended: bool = False

    @property
    def figures(self) -> str:
        """Time to the first token and speed, where measured."""
        parts = []
        if self.first_s is not None:
            parts.append(f"first token {self.first_s * 1000:.0f} ms")
        if self.tokens_per_s is not None:
            parts.append(f"{number(self.tokens_per_s, 0)} tokens/s")
        return ", ".join(parts)


@dataclass
class Trial:
    """A prompt, the models it goes to, and whether their names are hidden."""

    job_id: str
    prompt: str
    blind: bool
    answers: list[Answer] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)


def targets_of(job: JobRecord, exports: Sequence[JobRecord]) -> list[Target]:
    """Return base, tuned, and the newest export of each precision that is there."""
    found = [Target("base", f"base {job.training.model}"), Target("tuned", "tuned")]
    names = [name for export in exports for name in export.artifacts if name.startswith("onnx")]
    best = "onnx_int4" if "onnx_int4" in names else (names[0] if names else None)
    if best:
        found.append(Target(best, best.replace("onnx_", "ONNX ")))
    return found


def stream_answers(ctx: Context, trial: Trial) -> Iterator[None]:
    """Fill the answers; yields whenever there is something new to draw.

    Raises:
        ToolError: A model cannot be loaded.
    """
    report = find_capability("try_model").call(ctx, {"prompt": trial.prompt, "job": trial.job_id})
    answers = report.document().get("answers", [])
    by_target = {str(item.get("target")): item for item in answers}
    for answer in trial.answers:
        said = by_target.get(answer.target.key, {})
        answer.text, answer.ended = str(said.get("text") or ""), True
        answer.first_s, answer.tokens_per_s = said.get("first_token_s"), said.get("tokens_per_s")
        yield
