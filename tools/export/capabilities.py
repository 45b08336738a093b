"""The capabilities of this room: export a tuned model, and ask models side by side."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tools.catalog import capability
from tools.context import Context
from tools.export.report import ExportReport, TryReport
from tools.history.spec import Device, OnnxPrecision

# What the functions below import late opens the store (pandas); `luthier --help` needs none of it.


@capability(effect="write", verb="export", positional=("job",), waits=True)
def export_model(
    job: Annotated[
        str,
        Field(
            description="Training run to export: id, number, or `latest`. Of a job of several "
            "adapters all go into one model.",
            min_length=1,
            max_length=100,
        ),
    ] = "latest",
    format: Annotated[
        Literal["onnx", "merged", "adapter", "gguf"],
        Field(description="What to write: ONNX, a merged model, or the adapter alone."),
    ] = "onnx",
    precision: Annotated[
        OnnxPrecision | None,
        Field(description="Precision of the weights; int4 and fp32 if left out."),
    ] = None,
    device: Annotated[
        Device | None, Field(description="Where it shall run; cpu if left out.")
    ] = None,
    together: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=100)], ...],
        Field(
            description="Further runs on the same base, whose adapters go into the same ONNX "
            "model and are chosen when it runs.",
            max_length=19,
        ),
    ] = (),
    *,
    ctx: Context,
) -> ExportReport:
    """Write a tuned model for use elsewhere, kept only if it says what the tuned model says.

    The adapter is merged into its base and built for onnxruntime-genai; then the answers are
    compared with the tuned model's. What strays beyond a stated bound is deleted and refused.
    Several adapters stay apart from their base, each compared with its own tuned model.
    """
    from tools.export.request import export  # noqa: PLC0415

    return export(ctx, job, form=format, precision=precision, device=device, together=together)


def _reaches(arguments: Any, ctx: Context) -> str | None:
    from tools.advise.models import hub_destination  # noqa: PLC0415

    return hub_destination(ctx, arguments.model)


@capability(effect="read", verb="try", positional=("prompt",), reaches=_reaches)
def try_model(
    prompt: Annotated[
        str, Field(description="What to ask.", min_length=1, max_length=8000)
    ],
    job: Annotated[
        str | None,
        Field(
            description="Training run whose models answer; the newest if left out.",
            max_length=100,
        ),
    ] = None,
    model: Annotated[
        str | None,
        Field(
            description="Only this: `base`, `tuned`, `onnx`, or a model by name or folder.",
            max_length=300,
        ),
    ] = None,
    max_new_tokens: Annotated[
        int | None, Field(description="Longest answer in tokens.", ge=1, le=512)
    ] = None,
    temperature: Annotated[
        float, Field(description="0 gives the same answer each time.", ge=0, le=2)
    ] = 0.0,
    *,
    ctx: Context,
) -> TryReport:  # fmt: skip
    """Ask the base, the tuned and the exported model the same thing, and show the answers.

    With time to the first token and tokens per second of each. Answers are untrusted text.
    """
    from tools.export.playground import ask  # noqa: PLC0415

    return ask(
        ctx,
        prompt,
        job=job,
        model=model,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
    )
