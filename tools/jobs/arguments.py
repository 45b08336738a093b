"""The arguments of `start_training`: each described and bounded once, for all faces."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from tools.history.spec import (
    Batching,
    Device,
    Engine,
    Loss,
    Method,
    Objective,
    Offload,
    Optimizer,
    Quantization,
)
from tools.methods import methods

_NAMED_DATA = re.compile(r"([A-Za-z0-9][\w-]{0,39})\s*=\s*(.+)", re.DOTALL)
_NAME = Annotated[str, Field(max_length=200)]

Data = Annotated[
    str,
    Field(
        description="The data: a file, folder, prepared version or Hub name.",
        min_length=1,
        max_length=1000,
    ),
]
Goal = Annotated[
    str | None, Field(description="What the person wants, in their words.", max_length=2000)
]
Model = Annotated[
    str | None,
    Field(
        description="Base model: `starter`, a folder, or a Hub name; chosen if left out.",
        max_length=300,
    ),
]
MethodName = Annotated[
    Method | None,
    Field(description=f"How to tune: {', '.join(methods())}; chosen if left out."),
]
Task = Annotated[
    Objective | None,
    Field(description="What is learned from the rows; follows from the data if left out."),
]
Rank = Annotated[int | None, Field(description="Rank of the adapter.", ge=1, le=1024)]
Alpha = Annotated[int | None, Field(description="Adapter scale.", ge=1, le=4096)]
Dropout = Annotated[float | None, Field(description="Dropout in the adapter.", ge=0, le=0.9)]
TargetModules = Annotated[
    tuple[_NAME, ...],
    Field(description="Modules that get an adapter; `all-linear` if left out.", max_length=100),
]
ModulesToSave = Annotated[
    tuple[_NAME, ...],
    Field(description="Modules trained whole beside the adapter.", max_length=20),
]
Initialisation = Annotated[
    str | None,
    Field(description="How a new adapter starts, such as `pissa`.", max_length=40),
]
Quantised = Annotated[
    Quantization | None, Field(description="How the frozen base is stored, such as `nf4`.")
]
Epochs = Annotated[float | None, Field(description="Passes over the data.", gt=0, le=1000)]
MaxSteps = Annotated[
    int | None, Field(description="Optimiser steps, instead of epochs.", ge=1, le=10_000_000)
]
LearningRate = Annotated[float | None, Field(description="Highest learning rate.", gt=0, le=1)]
Scheduler = Annotated[
    Literal["cosine", "linear", "constant"] | None,
    Field(description="How the learning rate falls."),
]
Warmup = Annotated[
    float | None,
    Field(description="Share of the steps in which the learning rate rises.", ge=0, le=1),
]
WeightDecay = Annotated[float | None, Field(description="Weight decay.", ge=0, le=1)]
OptimizerName = Annotated[
    Optimizer | None, Field(description="Optimiser; the 8-bit and paged ones save memory.")
]
BatchSize = Annotated[
    int | None, Field(description="Rows in a batch on the device.", ge=1, le=4096)
]
Accumulation = Annotated[
    int | None, Field(description="Batches per optimiser step.", ge=1, le=4096)
]
BatchingWay = Annotated[
    Batching | None,
    Field(description="Rows share a batch by similar length, packed end to end, or as they come."),
]
MaxLength = Annotated[int | None, Field(description="Longest row in tokens.", ge=8, le=1_000_000)]
Checkpointing = Annotated[
    bool | None,
    Field(description="Recompute activations instead of keeping them, to save memory."),
]
LossName = Annotated[
    Loss | None, Field(description="What is minimised; cross-entropy if left out.")
]
LossWeight = Annotated[
    float | None,
    Field(description="Strength of that loss: smoothing, focal gamma or margin.", ge=0, le=100),
]
LossEntryPoint = Annotated[
    str | None,
    Field(description="Name of an installed `luthier.losses` entry point.", max_length=200),
]
Beta = Annotated[
    float | None,
    Field(description="How far a preference objective may move from the base.", gt=0, le=100),
]
Rewards = Annotated[
    tuple[_NAME, ...], Field(description="Shipped reward functions, for `grpo`.", max_length=10)
]
EvalFraction = Annotated[
    float | None, Field(description="Share of rows held out, such as 0.2.", gt=0, lt=1)
]
Dedupe = Annotated[
    bool | None, Field(description="Remove rows equal to an earlier one; yes if left out.")
]
InputColumn = Annotated[
    str | None, Field(description="Column that holds the input.", max_length=200)
]
OutputColumn = Annotated[
    str | None, Field(description="Column that holds the answer or label.", max_length=200)
]
Template = Annotated[str | None, Field(description="Text template over columns.", max_length=8000)]
Minutes = Annotated[
    float | None,
    Field(
        description="Stop after so many minutes, with the best state; of a search, all trials.",
        gt=0,
        le=100_000,
    ),
]
Trials = Annotated[
    int | None,
    Field(description="Try so many variants and name the best, instead of one run.", ge=2, le=1000),
]
Sampler = Annotated[
    Literal["tpe", "random"] | None, Field(description="How a search chooses its next variant.")
]
Vary = Annotated[
    tuple[_NAME, ...],
    Field(
        description="What a search varies: `learning_rate=1e-5..1e-3`, `rank=8,16,32`; learning "
        "rate, rank and rows per step if left out.",
        max_length=20,
    ),
]
Adapters = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...],
    Field(
        description="More data, each for another adapter on the same base in the same job: "
        "`tone=tone.csv` or just the file. Column names and template are those of `path` only.",
        max_length=20,
    ),
]
DeviceName = Annotated[Device | None, Field(description="Where to train.")]
EngineName = Annotated[
    Engine | None, Field(description="How work is spread over devices or processes.")
]
Processes = Annotated[
    int | None, Field(description="Processes on this machine; one a device.", ge=1, le=1024)
]
Nodes = Annotated[int | None, Field(description="Machines that train together.", ge=1, le=1024)]
OffloadWhat = Annotated[
    Offload | None, Field(description="What ZeRO or FSDP keeps in the machine's own memory.")
]
Probe = Annotated[
    bool | None,
    Field(description="Try a few real steps before the run; yes if left out, and recorded."),
]
Target = Annotated[
    str | None,
    Field(
        description="Where the result will run: `onnx-cpu`, `onnx-cuda`, `gguf` or `hf`.",
        max_length=40,
    ),
]
Patience = Annotated[
    int | None,
    Field(description="Stop after so many evaluations without a gain.", ge=1, le=1000),
]
EvalSteps = Annotated[
    int | None, Field(description="Evaluate every so many steps.", ge=1, le=10_000_000)
]
Seed = Annotated[int | None, Field(description="Seed of every random choice.", ge=0, le=2**31 - 1)]
Continues = Annotated[
    str | None,
    Field(
        description="A finished job whose tuned weights are the start, to learn from new data.",
        max_length=100,
    ),
]
Cures = Annotated[
    str | None,
    Field(description="An earlier job whose trouble this run is meant to cure.", max_length=100),
]
Attention = Annotated[
    Literal["auto", "eager", "sdpa", "flash"] | None,
    Field(description="How attention is computed; the best there is if left out."),
]
ActivationOffload = Annotated[
    bool | None, Field(description="Keep activations in the machine's own memory.")
]


def named_data(text: str) -> tuple[str, str]:
    """Return the name (empty where none was given) and the data of `NAME=DATA` or `DATA`."""
    match = _NAMED_DATA.fullmatch(text.strip())
    return (match[1], match[2].strip()) if match else ("", text.strip())
