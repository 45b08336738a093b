"""What the capabilities of this room return."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tools.datasets.quarantine import disarm, untrusted_block
from tools.reports import Report


class ExportReport(Report):
    """An export that is being made, or was made.

    Attributes:
        job: The export job; `of_job` the training run it is made from.
        artifacts: Name → folder, absolute.
        parity: What the gate measured.
    """

    job: str
    of_job: str
    state: str
    format: str
    precisions: tuple[str, ...]
    device: str
    message: str
    artifacts: dict[str, str] = Field(default_factory=dict)
    parity: dict[str, Any] | None = None
    tokens_per_second: dict[str, float] | None = None

    def text(self) -> str:
        """Return what was written, where, and how close it is to the tuned model."""
        lines = [self.message]
        lines += [f"  {name}: {path}" for name, path in self.artifacts.items()]
        if self.parity:
            measures = self.parity.get("measures", {})
            lines += [
                f"  {key.removesuffix('_agreement').replace('_', ' ')}: "
                f"{value:.1%} of the answers are the same"
                for key, value in measures.items()
                if key.endswith("_agreement") and "token" not in key and "base" not in key
            ]
        if self.tokens_per_second:
            speeds = (f"{n.replace('_', ' ')} {v:,.0f}" for n, v in self.tokens_per_second.items())
            lines.append(f"  tokens per second: {', '.join(speeds)}")
        return "\n".join(lines)


class ModelAnswer(BaseModel):
    """What one model says, with how fast it says it. `text` is untrusted.

    Attributes:
        target: `base`, `tuned`, `onnx_int4`, `onnx_fp32`, `onnx_fp16`.
        first_token_s: Seconds from the question to the first token, loading apart.
        stopped: It ended by itself, and was not cut at the limit.
        error: Why there is no answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    model: str
    text: str = ""
    first_token_s: float | None = None
    tokens_per_s: float | None = None
    tokens: int = 0
    stopped: bool = True
    error: str | None = None


class TryReport(Report):
    """Answers of several models to the same prompt."""

    job: str | None
    prompt: str
    answers: tuple[ModelAnswer, ...]

    def text(self) -> str:
        """Return the answers side by side. They are model output: untrusted text."""
        about = f" of {self.job}" if self.job else ""
        lines = [f"Answers{about} to the same prompt:"]
        for answer in self.answers:
            lines.append(f"\n{answer.target} ({disarm(answer.model)[:80]}){_speed(answer)}")
            if answer.error:
                lines.append(disarm(answer.error))
            else:
                lines.append(untrusted_block(answer.target, [answer.text or "(an empty answer)"]))
        return "\n".join(lines)


def _speed(answer: ModelAnswer) -> str:
    if answer.first_token_s is None:
        return ""
    speed = f", {answer.tokens_per_s:,.0f} tokens/s" if answer.tokens_per_s else ""
    return f": first token {answer.first_token_s * 1000:.0f} ms{speed}"
