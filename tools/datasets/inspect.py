"""Looks at a dataset: what it is, how sure that is, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tools.context import Context
from tools.datasets.checks import RowChecks
from tools.datasets.choose import ASK_BELOW, Reading, choose, describe
from tools.datasets.example import Example
from tools.datasets.gather import Gathered, gather
from tools.datasets.languages import languages_of
from tools.datasets.large import LOOK_SECONDS, facts_of, sample_of, with_facts
from tools.datasets.lengths import TokenLengths, token_lengths, truncation
from tools.datasets.lens import LensPreview, lens_or_reason, model_text
from tools.datasets.limits import Deadline
from tools.datasets.locate import Located, find_source
from tools.datasets.mapping import Mapping
from tools.datasets.opening import open_source
from tools.datasets.problems import Problem, in_order, merged, problem
from tools.datasets.quality import find_problems
from tools.datasets.records import mapping_of
from tools.datasets.report import DatasetReport, Preview
from tools.datasets.row import every
from tools.datasets.source import Source

INSPECT_SECONDS = 60.0
"""A scan that takes longer stops there and says that it read only a part."""


_LANGUAGE_ROWS = 300


@dataclass(frozen=True)
class View:
    """What the caller wants to see: under which model, how many rows, with the label lens."""

    model: str | None
    rows: int
    lens: bool


@dataclass(frozen=True)
class Measured:
    """What a model's tokenizer and template say about the rows."""

    lengths: TokenLengths | None
    lens: LensPreview | None
    problems: list[Problem]

    def fields(self) -> dict[str, Any]:
        """Return the report's fields that hold this."""
        return {
            "token_lengths": self.lengths,
            "length_histogram": list(self.lengths.histogram) if self.lengths else [],
            "cut_shares": self.lengths.cut if self.lengths else {},
            "problems": self.problems,
            "lens": self.lens.rows if self.lens else None,
            "lens_about": self.lens.about if self.lens else None,
        }


def _measure(ctx: Context, found: Gathered, problems: Sequence[Problem], view: View) -> Measured:
    reader = model_text(ctx, view.model)
    lengths = token_lengths(reader, found)
    lens = lens_or_reason(reader, view.model, found, view.rows) if view.lens else None
    everything = [*problems, *truncation(reader, lengths, found), *(lens.problems if lens else ())]
    return Measured(lengths, lens, list(in_order(merged(everything))))


def inspect_file(
    ctx: Context,
    path: str,
    *,
    model: str | None = None,
    template: str | None = None,
    input_column: str | None = None,
    output_column: str | None = None,
    sample_rows: int = 3,
    lens: bool = False,
) -> DatasetReport:
    """Read a dataset and report on it. Read-only.

    Raises:
        ToolError: It is missing, outside what may be read, or holds no rows.
    """
    located = find_source(ctx, path)
    if located.manifest:
        return _inspect_version(ctx, located, View(model, sample_rows, lens))
    source = open_source(located.path, follow_links=ctx.trusts_arguments)
    reading = choose(
        source, template=template, input_column=input_column, output_column=output_column
    )
    reader = model_text(ctx, model)
    special = reader.control_tokens() if reader else ()
    checks = RowChecks(reading.mapping, reading.columns, special)
    facts = facts_of(source, reading)
    deadline = Deadline(LOOK_SECONDS if facts else INSPECT_SECONDS)
    wanted = sample_of(facts) if facts else every
    found = gather(source, reading.mapping, deadline, checks, wanted=wanted)
    problems = [
        *source.problems(),
        *checks.problems(),
        *find_problems(found, reading.mapping, reading.columns),
    ]
    view = View(model, sample_rows, lens)
    report = _report(ctx, located, source, reading, found, problems, view)
    return with_facts(report, facts, found, source) if facts and not found.complete else report


def _report(
    ctx: Context,
    located: Located,
    source: Source,
    reading: Reading,
    found: Gathered,
    problems: Sequence[Problem],
    view: View,
) -> DatasetReport:
    mapping = reading.mapping
    measured = _measure(ctx, found, problems, view)
    return DatasetReport(
        path=located.named,
        name=located.name,
        file=source.title,
        rows=found.rows,
        usable_rows=len(found.numbers),
        format=mapping.format,
        format_confidence=mapping.confidence,
        reason=mapping.reason,
        task=task_of(mapping, found),
        objective=mapping.objective,
        columns=dict(mapping.columns),
        label_counts=found.label_counts(),
        splits=dict(found.split_rows),
        languages=languages(found),
        **measured.fields(),
        preview=previews(found, view.rows),
        alternatives=list(reading.others),
        mapping=mapping,
        template=mapping.template,
        sampled=not found.complete,
        next_step=_next_step(reading),
    )


def _inspect_version(ctx: Context, located: Located, view: View) -> DatasetReport:
    """Report on a prepared version, whose rows are already in canonical form."""
    from tools.datasets.version import gather_version  # noqa: PLC0415 - brings pyarrow

    manifest = located.manifest
    assert manifest is not None
    mapping = mapping_of(manifest)
    reader = model_text(ctx, view.model)
    # A version holds what was asked and answered, whatever the source's columns were called.
    shown = mapping.model_copy(update={"columns": {"asked": "input", "answer": "output"}})
    checks = RowChecks(shown, {}, reader.control_tokens() if reader else ())
    found = gather_version(located.path, manifest, checks)
    problems = [*checks.problems(), *find_problems(found, mapping, {})]
    measured = _measure(ctx, found, problems, view)
    return DatasetReport(
        path=located.named,
        name=manifest.id,
        file="prepared version",
        rows=found.rows,
        usable_rows=len(found.numbers),
        format=manifest.format,
        format_confidence=1.0,
        reason="it was prepared by Luthier",
        task=manifest.task,
        objective=manifest.objective,
        columns=dict(manifest.columns),
        label_counts=found.label_counts(),
        splits={str(name): count for name, count in manifest.splits.items()},
        languages=languages(found),
        **measured.fields(),
        preview=previews(found, view.rows),
        alternatives=[],
        mapping=mapping,
        template=manifest.template,
        version=manifest.id,
        next_step="Next: train on it, or ask for a recommendation.",
    )


def task_of(mapping: Mapping, found: Gathered) -> str:
    """Return the task; for conversations by what the first turns ask."""
    if mapping.task == "chat" and found.kept:
        openings = [e.asked[:300].lower() for _, e in found.kept[:200]]
        asked = sum("summar" in text for text in openings)
        if asked > 0.8 * len(openings):
            return "summarization"
    return mapping.task


def languages(found: Gathered) -> list[str]:
    """Return the languages of the kept rows, those of the questions first."""
    step = max(1, len(found.kept) // _LANGUAGE_ROWS)
    sample = [example for _, example in found.kept[::step]]
    asked = languages_of(e.gist[:400] or e.asked[-400:] for e in sample)
    answers = [] if sample and sample[0].label else languages_of(e.answer[:400] for e in sample)
    return list(dict.fromkeys([*asked, *answers]))


def previews(found: Gathered, rows: int) -> list[Preview]:
    """Return mapped rows from the beginning, the middle and the end of those kept."""
    if rows <= 0 or not found.kept:
        return []
    step = max(1, len(found.kept) // rows)
    return [
        Preview(row=number, asked=_cut(example, "asked"), answer=_cut(example, "answer"))
        for number, example in found.kept[::step][:rows]
    ]


def _cut(example: Example, part: str) -> str:
    text: str = getattr(example, part)
    return text if len(text) <= 2000 else text[:2000] + "…"


def _next_step(reading: Reading) -> str:
    mapping = reading.mapping
    if mapping.objective is None:
        return mapping.advice
    if mapping.confidence < ASK_BELOW:
        options = " or ".join(describe(m) for m in (mapping, *reading.others)[:2])
        return f"This reading is not sure. Say which columns to use: {options}."
    return "Next: prepare it (remove duplicates, split), or ask for a recommendation."


def no_label(name: str) -> Problem:
    """Return the problem of a file whose answers are missing."""
    return problem(
        "missing_roles",
        "warning",
        f"{name} has text but no column with labels or answers.",
        "Add a column with the answers, or train on the plain text.",
        count=1,
    )
