"""The capabilities of this room: recommend, estimate, models, hardware, explain."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tools.advise import answers, asking, sizing
from tools.advise.calibration import CalibrationReport, calibrate
from tools.advise.listings import AnswerReport, HardwareReport, ModelsReport
from tools.advise.machine_asked import machine_of
from tools.advise.reports import AccuracyReport, EstimateReport, RecommendationReport
from tools.advise.wanted import method_called
from tools.catalog import capability
from tools.context import Context
from tools.history.spec import Method

Target = Literal["onnx-cpu", "onnx-cuda", "gguf", "hf", "hosted"]
EngineName = Literal["single", "ddp", "zero1", "zero2", "zero3", "fsdp"]
PrecisionName = Literal["float32", "bfloat16", "float16", "fp32", "bf16", "fp16"]

Model_ = Annotated[
    str | None,
    Field(description="Base model: `starter`, a folder, a Hub name, or a short name such as "
          "`llama 3.1 8b`.", max_length=300),
]  # fmt: skip
MemoryGb_ = Annotated[
    float | None, Field(description="Memory of the graphics card in GB.", gt=0, le=10_000)
]
Hardware_ = Annotated[
    str | None,
    Field(description="Another machine in words, such as `2x24GB` or `an A10 in the cloud`; "
          "this machine if left out.", max_length=300),
]  # fmt: skip


def _reaches(arguments: Any, ctx: Context) -> str | None:
    return asking.model_destination(arguments.model, ctx)


@capability(effect="read", verb="recommend", positional=("path",), reaches=_reaches)
def recommend_method(
    path: Annotated[
        str | None, Field(description="Data file or prepared version to plan for.", max_length=1000)
    ] = None,
    described: Annotated[
        str | None,
        Field(description='The data in words of JSON instead of a file, such as {"format": '
              '"classification", "rows": 900, "p95_tokens": 120}.', max_length=4000),
    ] = None,
    goal: Annotated[
        str | None, Field(description="What the tuned model is for.", max_length=2000)
    ] = None,
    model: Model_ = None,
    memory_gb: MemoryGb_ = None,
    hardware: Hardware_ = None,
    target: Annotated[
        Target | None, Field(description="Where the tuned model will run.")
    ] = None,
    licence: Annotated[
        str | None,
        Field(description="What the model's licence must allow: `commercial`, `permissive`, or a "
              "licence's name.", max_length=100),
    ] = None,
    method: Annotated[
        Method | None, BeforeValidator(method_called),
        Field(description="Method the person would like."),
    ] = None,
    engine: Annotated[
        EngineName | None, Field(description="Engine the person would like.")
    ] = None,
    max_length: Annotated[
        int | None, Field(description="Tokens a row is cut at.", ge=8, le=10_000_000)
    ] = None,
    minutes: Annotated[
        float | None, Field(description="Time there is for training.", gt=0, le=100_000)
    ] = None,
    *,
    ctx: Context,
) -> RecommendationReport:  # fmt: skip
    """Recommend how to tune: ranked plans that fit, each choice with its source.

    Looks at the data, the goal, the machine, the deploy target and the licence; says what was
    rejected and why, and cites the scenario matrix in both editions. Read-only.
    """
    wishes = {"method": method, "engine": engine, "max_length": max_length}
    return asking.recommend_for(
        ctx,
        path=path,
        described=described,
        goal=goal,
        model=model,
        memory_gb=memory_gb,
        hardware=hardware,
        target=target,
        licence=licence,
        minutes=minutes,
        preferences={name: value for name, value in wishes.items() if value is not None},
    )


@capability(effect="read", verb="estimate", positional=("path",), reaches=_reaches)
def estimate_resources(
    path: Annotated[
        str | None, Field(description="Data file or prepared version, for time and lengths.",
                          max_length=1000),
    ] = None,
    model: Model_ = None,
    method: Annotated[
        Method, BeforeValidator(method_called), Field(description="Training method.")
    ] = "lora",
    max_length: Annotated[
        int | None, Field(description="Tokens of the longest row.", ge=8, le=10_000_000)
    ] = None,
    batch_size: Annotated[
        int | None,
        Field(description="Rows in one micro-batch; 8 if left out, 1 for the longest context and "
              "the biggest model.", ge=1, le=4096),
    ] = None,
    gradient_accumulation: Annotated[
        int, Field(description="Micro-batches per step.", ge=1, le=4096)
    ] = 1,
    rank: Annotated[int, Field(description="Rank of the adapter.", ge=1, le=1024)] = 16,
    target_modules: Annotated[
        str | None,
        Field(description="Matrices that get an adapter, comma-separated; all if left out.",
              max_length=500),
    ] = None,
    gradient_checkpointing: Annotated[
        Literal["on", "off"] | None,
        Field(description="Recompute activations; off if left out, on for what fits at most."),
    ] = None,
    precision: Annotated[
        PrecisionName | None, Field(description="Number format; the machine's best if left out.")
    ] = None,
    optimizer: Annotated[
        Literal["adamw", "adamw_8bit", "adafactor", "sgd"], Field(description="Optimiser.")
    ] = "adamw",
    quantization: Annotated[
        Literal["nf4", "nf4-dq", "int8", "none"] | None,
        Field(description="How the base is quantised; the method decides if left out."),
    ] = None,
    engine: Annotated[
        EngineName | None, Field(description="How several cards share the work.")
    ] = None,
    epochs: Annotated[float, Field(description="Passes over the data.", gt=0, le=1000)] = 3.0,
    memory_gb: MemoryGb_ = None,
    hardware: Hardware_ = None,
    solve: Annotated[
        Literal["longest_context", "largest_batch", "biggest_model"] | None,
        Field(description="What to find the largest of that still fits."),
    ] = None,
    price_per_hour: Annotated[
        float | None, Field(description="Price of the machine per hour.", gt=0, le=100_000)
    ] = None,
    exact: Annotated[
        bool,
        Field(description="Trace the real step on empty tensors: some seconds, a narrower band."),
    ] = False,
    accuracy: Annotated[
        bool, Field(description="Show predicted against measured on this machine instead.")
    ] = False,
    *,
    ctx: Context,
) -> EstimateReport | AccuracyReport:  # fmt: skip
    """Estimate memory by part, time, disk and cost of a training run, each with its band.

    Says whether it fits, judged by the high end, and finds the longest context, the largest batch
    or the biggest model that does. Read-only.
    """
    if accuracy:
        return sizing.accuracy(ctx)
    checkpointing = None if gradient_checkpointing is None else gradient_checkpointing == "on"
    wish = sizing.Wish(
        path=path,
        model=model,
        method=method,
        max_length=max_length,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        rank=rank,
        target_modules=target_modules,
        checkpointing=checkpointing,
        precision=precision,
        optimizer=optimizer,
        quantization=quantization,
        engine=engine,
        epochs=epochs,
        memory_gb=memory_gb,
        hardware=hardware,
        solve=solve,
        price_per_hour=price_per_hour,
        exact=exact,
    )
    return sizing.estimate_for(ctx, wish)


@capability(effect="read", verb="models")
def list_models(
    search: Annotated[
        str | None, Field(description="Part of a name or a licence.", max_length=200)
    ] = None,
    licence: Annotated[
        str | None,
        Field(description="What the licence must allow, such as `commercial`.", max_length=100),
    ] = None,
    target: Annotated[
        Target | None, Field(description="Where the tuned model will run.")
    ] = None,
    memory_gb: MemoryGb_ = None,
    hardware: Hardware_ = None,
    fits: Annotated[bool, Field(description="Only models that fit.")] = False,
    largest_b: Annotated[
        float | None,
        Field(description="Largest size, in billions of parameters.", gt=0, le=10_000),
    ] = None,
    limit: Annotated[int, Field(description="Most models to show.", ge=1, le=500)] = 20,
    *,
    ctx: Context,
) -> ModelsReport:  # fmt: skip
    """List base models with size, context, licence, ONNX support, and whether they fit. Read-only.

    Any other causal language model works by its Hub name or folder.
    """
    return answers.models_for(
        ctx,
        search=search,
        licence=licence,
        target=target,
        memory_gb=memory_gb,
        hardware=hardware,
        fits=fits,
        largest_b=largest_b,
        limit=limit,
    )


@capability(effect="read", verb="hardware")
def describe_hardware(
    hardware: Hardware_ = None,
    *,
    ctx: Context,
) -> HardwareReport:
    """Describe this machine: processor, memory, disk, every GPU, and what a run may use. Read-only.

    With words such as `two 24 GB cards` it says how Luthier understands them.
    """
    return HardwareReport.of(machine_of(ctx, hardware=hardware, memory_gb=None))


@capability(effect="write", verb="calibrate")
def calibrate_machine(*, ctx: Context) -> CalibrationReport:
    """Measure this processor's speed for two seconds, for better estimates of time. Keeps one file.

    Best done while nothing else works here.
    """
    return calibrate(ctx)


@capability(effect="read", verb="explain", positional=("question",))
def explain(
    question: Annotated[
        str, Field(description="A question about tuning, or `matrix`.", min_length=1,
                   max_length=1000),
    ],
    *,
    ctx: Context,
) -> AnswerReport:  # fmt: skip
    """Answer a question about tuning from the guide and the scenario matrix, with the place cited.

    Says so where the guide does not know. Read-only.
    """
    return answers.answer_to(question)
