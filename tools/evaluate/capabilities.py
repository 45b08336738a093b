"""The capabilities of this room: judge a tuned model against its base; lay runs side by side."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tools.catalog import capability
from tools.context import Context
from tools.evaluate.comparing import ComparisonReport
from tools.evaluate.report import EvaluationReport


@capability(effect="write", verb="evaluate", positional=("job",), waits=True)
def evaluate_model(
    job: Annotated[
        str,
        Field(
            description="Training run to judge: id, number, or `latest`.",
            min_length=1,
            max_length=100,
        ),
    ] = "latest",
    path: Annotated[
        str | None,
        Field(
            description="Data file to judge on; the run's own held-out rows if left out.",
            max_length=1000,
        ),
    ] = None,
    slice_column: Annotated[
        str | None,
        Field(description="Column of that file whose values are reported apart.", max_length=200),
    ] = None,
    limit: Annotated[
        int | None, Field(description="Judge on at most so many rows.", ge=1, le=10_000_000)
    ] = None,
    against: Annotated[
        str | None,
        Field(
            description="Another run to compare with on the same rows; the base if left out.",
            max_length=100,
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        Field(description="Regular expression that a good answer contains.", max_length=1000),
    ] = None,
    metric: Annotated[
        str | None,
        Field(description="Name of an installed business metric.", max_length=200),
    ] = None,
    benchmark: Annotated[
        str | None,
        Field(
            description="Task file (YAML) of an established benchmark, run offline.",
            max_length=1000,
        ),
    ] = None,
    *,
    ctx: Context,
) -> EvaluationReport:
    """Say whether tuning was worth it: the tuned model against its base on held-out rows.

    Gives the measures of the task (accuracy and F1, exact match, BLEU, ROUGE, entity F1,
    preferences, perplexity) of both with intervals, a simple yardstick, what was forgotten, the
    rows that changed most, and one verdict: ship, promising, no gain, regressed, cannot tell.
    Rows that were trained on are left out and counted.
    """
    # Late: the store imports pandas, and `luthier --help` needs none of it.
    from tools.evaluate.request import Wish, evaluate  # noqa: PLC0415

    wish = Wish(path, slice_column, limit, against, pattern, metric, benchmark)
    return evaluate(ctx, job, wish)


@capability(effect="read", verb="compare", positional=("jobs",))
def compare_jobs(
    jobs: Annotated[
        tuple[str, ...],
        Field(description="Two to four training runs: ids or numbers.", max_length=4),
    ] = (),
    *,
    ctx: Context,
) -> ComparisonReport:
    """Lay training runs side by side: what differs in their plans, results, time and memory.

    Calls one better only where both were judged on the same rows and their intervals part.
    Read-only.
    """
    from tools.evaluate.comparing import compare  # noqa: PLC0415  # opens the store

    return compare(ctx, jobs)
