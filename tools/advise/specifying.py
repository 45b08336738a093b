"""From the chosen way to run it to the complete spec, with a reason for what was left open."""

from __future__ import annotations

import math
from typing import Any, cast

from tools import methods
from tools.advise import defaults
from tools.advise.draft import Draft
from tools.advise.figures import Reason
from tools.advise.lengths import choose_max_length
from tools.advise.options import passed_on
from tools.advise.wishes import PlanRequest
from tools.advise.workload import Workload
from tools.history.spec import MAY_CHANGE, TrainingSpec

_SEED = 17


def spec_of(draft: Draft, work: Workload, accumulation: int) -> TrainingSpec:
    """Return the complete spec of a way to run that fits."""
    request, model, manifest = draft.request, draft.model, draft.manifest
    epochs = draft.pick("epochs", defaults.epochs(draft.rows, model, draft.objective))
    per_epoch = max(1, math.ceil(draft.rows / (work.batch * accumulation * work.gpus)))
    steps = request.max_steps or math.ceil(epochs * per_epoch)
    every = defaults.evaluation_every(steps, per_epoch)
    _explain_batch(draft, work, accumulation)
    return TrainingSpec(
        goal=request.goal or "",
        path=request.path,
        dataset=manifest.id,
        dataset_fingerprint=manifest.fingerprint,
        task=manifest.task,
        objective=work.objective,
        labels=manifest.labels,
        template=manifest.template,
        model=str(model.path) if model.source == "local" else model.name,
        model_revision=model.revision,
        method=work.method,
        engine=cast(Any, work.engine),
        processes=work.gpus,
        offload=work.offload,
        device=work.device,
        target_modules=work.targets,
        epochs=epochs,
        max_steps=request.max_steps,
        batch_size=work.batch,
        gradient_accumulation=accumulation,
        max_length=request.max_length
        or choose_max_length(
            draft.lengths, model.context_length, splits=manifest.objective == "text"
        ),
        precision=work.precision,
        gradient_checkpointing=work.checkpointing,
        eval_steps=request.eval_steps or every,
        save_steps=request.eval_steps or every,
        early_stopping_patience=_patience(draft),
        max_minutes=request.minutes,
        seed=_SEED if request.seed is None else request.seed,
        may_change=_may_change(request),
        **_data_options(draft),
        **_rates(draft, work),
        **passed_on(draft),
    )


def _rates(draft: Draft, work: Workload) -> dict[str, Any]:
    """The method's own settings: rates, decay, and of an adapter its rank, scale and dropout."""
    request, model, method = draft.request, draft.model, work.method
    values: dict[str, Any] = {
        "learning_rate": draft.pick(
            "learning_rate", defaults.learning_rate(method, model, work.objective)
        ),
        "weight_decay": draft.pick(
            "weight_decay", defaults.weight_decay(method, draft.rows, model)
        ),
    }
    takes = methods.method(method).takes
    if takes("dropout"):
        values["dropout"] = draft.pick("dropout", defaults.dropout(draft.rows, model))
    if takes("rank"):
        values["rank"] = work.rank
    if takes("alpha"):
        advised = None if request.rank else model.recommended.get("alpha")
        values["alpha"] = request.alpha or int(advised or defaults.alpha(method, work.rank))
    return values


def _data_options(draft: Draft) -> dict[str, Any]:
    """What the prepared version was made with; a wish that it was made otherwise is not lost."""
    options = draft.manifest.options
    names = ("eval_fraction", "dedupe")
    return {name: options[name] for name in names if options.get(name) is not None}


def _patience(draft: Draft) -> int | None:
    """Stop early only where the person left the length of the run open."""
    request = draft.request
    if request.early_stopping_patience:
        return request.early_stopping_patience
    if request.epochs or request.max_steps or draft.model.parameters < defaults.TINY:
        return None
    reason = "stops when the held-out loss has not improved for three evaluations"
    draft.because(Reason("early stopping", reason, defaults.PRACTICE))
    return 3


def _may_change(request: PlanRequest) -> tuple[str, ...]:
    """The ladder leaves alone what the person fixed."""
    return tuple(name for name in MAY_CHANGE if getattr(request, name) is None)


def _explain_batch(draft: Draft, work: Workload, accumulation: int) -> None:
    if draft.request.batch_size is None:
        text = f"batch {work.batch}" + (f" × {accumulation}" if accumulation > 1 else "")
        reason = f"{work.batch * accumulation} rows a step, as many at once as fit"
        draft.because(Reason(text, reason, defaults.PRACTICE))
    if work.checkpointing and draft.request.gradient_checkpointing is None:
        reason = "recomputes activations instead of keeping them, because memory is short"
        draft.because(Reason("gradient checkpointing", reason, defaults.PRACTICE))
