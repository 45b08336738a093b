"""The capability of this room: say what went wrong in a run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tools.catalog import capability
from tools.context import Context
from tools.diagnose.report import DiagnosisReport


@capability(effect="read", verb="diagnose", positional=("job",))
def diagnose_run(
    job: Annotated[
        str | None,
        Field(
            description="The run: its id, its number, or `latest`; left out for files or words.",
            max_length=100,
        ),
    ] = None,
    events: Annotated[
        str | None,
        Field(
            description="File of events (docs/events.md), or a trainer_state.json of another tool.",
            max_length=1000,
        ),
    ] = None,
    spec: Annotated[
        str | None,
        Field(description="File with the settings of the run, as JSON.", max_length=1000),
    ] = None,
    log: Annotated[
        str | None,
        Field(description="A log: a file, or its text pasted here.", max_length=200_000),
    ] = None,
    data: Annotated[
        str | None,
        Field(description="Report of `luthier inspect --json` on its data.", max_length=1000),
    ] = None,
    question: Annotated[
        str | None,
        Field(
            description="What the person noticed, in their words, such as `it is so slow`.",
            max_length=4000,
        ),
    ] = None,
    *,
    ctx: Context,
) -> DiagnosisReport:
    """Name what is wrong with a run, with evidence and a cure, or say that it is healthy.

    Reads a job of the history, or files or a pasted log of a run made elsewhere. Gives ranked
    causes with the figures that speak for them, and for each a change of the plan with its
    predicted effect. Says so where the evidence does not suffice. Read-only.
    """
    # Late: the store imports pandas, and `luthier --help` needs none of it.
    from tools.diagnose.diagnose import diagnose  # noqa: PLC0415

    return diagnose(ctx, job=job, events=events, spec=spec, log=log, data=data, question=question)
