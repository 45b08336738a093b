"""The capabilities of this room: look at a dataset, prepare a dataset."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tools.catalog import capability
from tools.context import Context
from tools.datasets.augment import Augmentation
from tools.datasets.cures import Fix
from tools.datasets.hub import cached, destination
from tools.datasets.inspect import inspect_file
from tools.datasets.locate import wanted_from_hub
from tools.datasets.prepare import PrepareOptions, prepare
from tools.datasets.report import DatasetReport, PreparedReport

_PATH = (
    "Data file (CSV, TSV, JSON, JSON Lines, Parquet, Arrow, Excel, text), a folder of splits, "
    "a prepared version, or a Hub name such as org/name:train[:4096]."
)
_TEMPLATE = (
    "Text template over columns, such as '### Question: {prompt} ### Answer: {response}'; the "
    "last placeholder is the answer."
)

Path_ = Annotated[str, Field(description=_PATH, min_length=1, max_length=1000)]
Column_ = Annotated[
    str | None, Field(description="Column that holds this; found by itself if left out.",
                      max_length=200)
]  # fmt: skip
Template_ = Annotated[str | None, Field(description=_TEMPLATE, max_length=8000)]


def _reaches(arguments: Any, ctx: Context) -> str | None:
    name = wanted_from_hub(ctx, arguments.path)
    if name is None or cached(ctx.settings, name):
        return None
    return destination(ctx.settings, name)


@capability(effect="read", verb="inspect", positional=("path",), reaches=_reaches)
def inspect_dataset(
    path: Path_,
    model: Annotated[
        str | None,
        Field(description="Model whose tokenizer counts; the starter if left out.",
              max_length=300),
    ] = None,
    template: Template_ = None,
    input_column: Column_ = None,
    output_column: Column_ = None,
    sample_rows: Annotated[int, Field(description="Mapped rows to show.", ge=0, le=50)] = 3,
    lens: Annotated[
        bool,
        Field(description="Show token by token what is trained and what is masked."),
    ] = False,
    *,
    ctx: Context,
) -> DatasetReport:  # fmt: skip
    """Say what a dataset is and what is wrong with it: format, columns, labels, lengths, problems.

    Reads a file, folder, prepared version or Hub dataset. Read-only.
    """
    return inspect_file(
        ctx,
        path,
        model=model,
        template=template,
        input_column=input_column,
        output_column=output_column,
        sample_rows=sample_rows,
        lens=lens,
    )


@capability(effect="write", verb="prepare", positional=("path",), reaches=_reaches)
def prepare_dataset(
    path: Path_,
    eval_fraction: Annotated[
        float | None,
        Field(description="Share of rows held out to judge by; 0.15 if left out.", gt=0, lt=1),
    ] = None,
    dedupe: Annotated[
        bool | None, Field(description="Remove rows equal to an earlier one; yes if left out.")
    ] = None,
    input_column: Column_ = None,
    output_column: Column_ = None,
    template: Template_ = None,
    fixes: Annotated[
        list[Fix] | None,
        Field(
            description="Cures to apply, named like the problems they cure; none if left out. "
            "Control tokens are always escaped. Of a version, they are added to its own.",
            max_length=40,
        ),
    ] = None,
    augment: Annotated[
        list[Augmentation] | None,
        Field(
            description="Ways to add changed copies of training rows, labelled as synthetic; "
            "none if left out.",
            max_length=10,
        ),
    ] = None,
    seed: Annotated[
        int | None, Field(description="Decides which rows are held out.", ge=0, le=2**31)
    ] = None,
    *,
    ctx: Context,
) -> PreparedReport:
    """Make a clean, split, versioned copy of a dataset that training can use.

    Maps the columns, leaves out empty rows, removes duplicates, holds out a stratified share, and
    writes Parquet with a fingerprint. The source is never changed; the same call gives the same
    version.
    """
    options = PrepareOptions(
        eval_fraction=eval_fraction,
        dedupe=dedupe,
        input_column=input_column,
        output_column=output_column,
        template=template,
        seed=seed,
        fixes=tuple(fixes) if fixes is not None else None,
        augment=tuple(augment) if augment is not None else None,
    )
    manifest = prepare(ctx, path, options)
    folder = ctx.settings.dataset_folder(manifest.id)
    report = inspect_file(ctx, manifest.id, sample_rows=0)
    serious = [p for p in report.problems if p.severity != "info"]
    return PreparedReport.of(manifest, str(folder), serious)
