"""The parity gate: does what was exported say what was tuned? Rules and bounds only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from tools.errors import Refused

MERGE_LOGIT_ERROR = 1e-3
"""Largest difference of logits between adapter and merged model, relative to their spread."""
FP32_LOGIT_ERROR = 1e-2
"""The same between the merged model and ONNX in fp32, whose kernels sum in another order."""
FP16_LOGIT_ERROR = 1e-1
NEAR_TIE = 1e-3
"""Where torch's two best tokens are closer than this (relative), either counts as the same."""
INT4_AGREEMENT = 0.9
"""Share of answers, or of the tokens of the expected answers, that int4 must keep."""
INT4_LOSS_RISE = 0.25
"""Nats per answer token that int4 may lose."""
INT4_CORRECT_FALL = 0.05
"""Share of answers that may be right before and wrong in int4, all in all."""
MOVED = 1e-6
"""A tuned model whose logits differ from its base's by less was not changed at all."""


class Fidelity(BaseModel):
    """How close a model comes to its reference on the same prompts.

    Attributes:
        name: What was compared, such as `merged` or `onnx_int4`.
        logit_error: Largest difference of logits over the spread of the reference's logits.
        agreement: Share of prompts whose answer is the same, near ties counted as the same.
        token_agreement: Share of answer tokens that both find likeliest, the reference's answer
            being given.
        loss, reference_loss: Nats per token on the expected answers.
        correct, reference_correct: Share of answers that are exactly what the data expects.
        near_ties: Answers that differ only where the reference itself hardly prefers one token.
        stopped: Share of answers that ended by themselves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    prompts: int
    logit_error: float
    agreement: float
    token_agreement: float
    loss: float
    reference_loss: float
    correct: float = 0.0
    reference_correct: float = 0.0
    near_ties: int = 0
    stopped: float | None = None
    size_mb: float | None = None

    @property
    def passes(self) -> bool:
        """Whether the gate lets it through."""
        return not _problems(self)


class Parity(BaseModel):
    """Everything the gate looked at.

    Attributes:
        base_moved: Largest relative difference of logits between base and tuned model.
        trained: The adapter's weights are not all zero.
        base_agreement: Share of prompts that base and tuned model answer alike.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: int
    base_moved: float
    base_agreement: float
    trained: bool
    compared: tuple[Fidelity, ...] = ()
    tokenizer_same: bool | None = None
    passed: bool = False

    def measures(self) -> dict[str, Any]:
        """Return the figures as one flat document."""
        values: dict[str, Any] = {
            "prompts": self.prompts,
            "base_moved": self.base_moved,
            "base_agreement": self.base_agreement,
        }
        for fidelity in self.compared:
            for key, value in fidelity.model_dump(exclude={"name", "prompts"}).items():
                if value is not None:
                    values[f"{fidelity.name}_{key}"] = value
        return values


def check_tuned(parity: Parity) -> None:
    """Refuse a tuned model that says exactly what its base says.

    Raises:
        Refused: Trained weights are there, and yet nothing changed.
    """
    if parity.base_moved <= MOVED and parity.trained:
        raise _refusal(
            "The tuned model says exactly what its base says: the adapter has no effect.",
            "Train again; if it stays so, the adapter does not match the base model.",
        )


def check_fidelity(fidelity: Fidelity) -> None:
    """Refuse an exported model that strays further from the tuned one than its kind may.

    Raises:
        Refused: Naming the measure, its value and its bound.
    """
    problems = list(_problems(fidelity))
    if problems:
        raise _refusal(
            f"{fidelity.name} does not say what the tuned model says: {'; '.join(problems)}.",
            _NEXT.get(fidelity.name, "Nothing was kept. Train again, or report this as a bug."),
        )


_NEXT = {
    "onnx_int4": "Nothing was kept. Export in fp32, or tune a larger model: small ones lose most "
    "in four bits.",
}


def _problems(fidelity: Fidelity) -> Sequence[str]:
    def too_far(bound: float) -> list[str]:
        # Written so that a NaN is a problem too.
        if not fidelity.logit_error <= bound:
            return [f"logits differ by {fidelity.logit_error:.2g} (bound {bound:g})"]
        return []

    if fidelity.name == "onnx_int4":
        return list(_int4_problems(fidelity))
    bounds = {"onnx_fp32": FP32_LOGIT_ERROR, "onnx_fp16": FP16_LOGIT_ERROR}
    problems = too_far(bounds.get(fidelity.name, MERGE_LOGIT_ERROR))
    if fidelity.name != "onnx_fp16" and not fidelity.agreement >= 1.0:
        problems.append(f"only {fidelity.agreement:.0%} of the answers are the same (bound 100 %)")
    return problems


def _int4_problems(fidelity: Fidelity) -> Iterator[str]:
    kept = max(fidelity.agreement, fidelity.token_agreement)
    if not kept >= INT4_AGREEMENT:
        yield f"it keeps {kept:.0%} of what was said (bound {INT4_AGREEMENT:.0%})"
    rise = fidelity.loss - fidelity.reference_loss
    if not rise <= INT4_LOSS_RISE:
        yield f"the loss rises by {rise:.2f} (bound {INT4_LOSS_RISE:.2f})"
    fall = fidelity.reference_correct - fidelity.correct
    if not fall <= INT4_CORRECT_FALL:
        yield f"{fall:.0%} fewer answers are right (bound {INT4_CORRECT_FALL:.0%})"


def _refusal(problem: str, hint: str) -> Refused:
    return Refused(problem, hint=hint, refused_by="parity")
