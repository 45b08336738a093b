"""What a seeded run told while it lived: the events behind each named curve."""

from __future__ import annotations

from tools.history.events import (
    Event,
    Failed,
    PhaseStarted,
    Progress,
    SampleGenerated,
    StepMetrics,
    Warned,
)
from ui.suite.cases import Curve, SeedJob

STEPS = 60
_EVERY = 5
_HEALTHY_TOKENS_PER_S = 1800.0
_OOM_AT = 10
_NAN_AT = 25
_LOOP = "the answer is the answer is the answer is the answer is the answer is"


def events_of(job: SeedJob) -> list[Event]:
    """Return the events that a run with this curve, these samples and this error left."""
    if job.state == "queued":
        return []
    events: list[Event] = [PhaseStarted(phase="load"), PhaseStarted(phase="train")]
    last = _last_step(job)
    for step in range(_EVERY, last + 1, _EVERY):
        events += [_metrics(job, step), Progress(phase="train", done=step, total=STEPS)]
    events += _signs(job.curve)
    events += [SampleGenerated(**sample.model_dump()) for sample in job.samples]
    if job.state == "failed":
        message = error_text(job)
        hint = "Look at the log, change the plan, and start it again."
        events.append(Failed(message=message, hint=hint))
    return events


def error_text(job: SeedJob) -> str:
    """Return the message of a failed run: the given one, or what the curve stands for."""
    if job.error:
        return job.error
    known = {"oom": "CUDA out of memory.", "nan": "The loss is not a number since step 25."}
    return known.get(job.curve or "", "The training ended with an error.")


def final_eval_loss(job: SeedJob) -> float:
    """Return the validation loss the curve ends with."""
    return _evaluation_loss(job.curve, 1.0)


def _last_step(job: SeedJob) -> int:
    if job.curve == "oom":
        return _OOM_AT
    if job.curve == "nan":
        return 2 * _NAN_AT
    return STEPS if job.state == "succeeded" else STEPS // 2


def _metrics(job: SeedJob, step: int) -> StepMetrics:
    share = step / STEPS
    broken = job.curve == "nan" and step >= _NAN_AT
    speed = _HEALTHY_TOKENS_PER_S * (0.02 if job.curve == "slow" else 1.0)
    return StepMetrics(
        step=step,
        epoch=share * float(job.spec_fields.get("epochs", 3)),
        # A worker tells what is not a number as nothing, so that the history stays JSON.
        loss=None if broken else _training_loss(job.curve, share),
        eval_loss=None if broken or step % 10 else _evaluation_loss(job.curve, share),
        learning_rate=float(job.spec_fields.get("learning_rate", 2e-4)) * (1 - share),
        grad_norm=None if broken else 1.0,
        tokens_per_s=speed,
        memory_gib=0.8 + (6.0 * share if job.curve == "oom" else 0.0),
    )


def _training_loss(curve: Curve | None, share: float) -> float:
    if curve == "flat":
        return 2.41
    left = (1 - share) ** 2
    return 2.4 * left + (0.02 if curve == "overfit" else 0.45)


def _evaluation_loss(curve: Curve | None, share: float) -> float:
    if curve == "flat":
        return 2.43
    if curve == "overfit":
        return 1.2 - share if share < 0.4 else 0.8 + 1.6 * (share - 0.4)
    return 2.2 * (1 - share) ** 2 + 0.55


def _signs(curve: Curve | None) -> list[Event]:
    if curve == "repeats":
        return [
            SampleGenerated(prompt="Where is my parcel?", answer=_LOOP, stopped=False),
            SampleGenerated(prompt="I want a refund", answer=_LOOP, stopped=False),
        ]
    if curve == "nan":
        return [Warned(code="loss_not_finite", message="The loss is not a number since step 25.")]
    return []
