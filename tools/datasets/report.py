"""What `inspect_dataset` and `prepare_dataset` return."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from tools.datasets.lengths import LengthBin, TokenLengths
from tools.datasets.lens import LensAbout, LensShown, lens_lines
from tools.datasets.manifest import Manifest, Step
from tools.datasets.mapping import Mapping
from tools.datasets.problems import Problem
from tools.datasets.quarantine import disarm, name_list, shorten, untrusted_block
from tools.reports import Report

_SHOWN_PROBLEMS = 6


class Preview(BaseModel):
    """One mapped row. All of it is text from the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: int
    asked: str
    answer: str


class DatasetReport(Report):
    """What a dataset is, how sure that is, and what is wrong with it.

    Attributes:
        file: Kind of file in words, such as `CSV`.
        format_confidence: 0 to 1, with the `reason`.
        columns: Source column → role.
        alternatives: Other readings, where it is not certain.
        version: Id of the prepared version, if this is one.
        length_histogram: Usable rows by tokens; `cut_shares` length → share of rows that it cuts.
        lens: Where asked: real rows token by token; `lens_about` under which model.
        sampled: True where not every row was looked at. With `looked_at` set, that many rows,
            evenly over the file, were, and counts are exact; else the first ones in the time
            allowed.
    """

    path: str
    name: str
    file: str
    rows: int
    usable_rows: int
    format: str
    format_confidence: float
    reason: str
    task: str
    objective: str | None
    columns: dict[str, str]
    label_counts: dict[str, int]
    token_lengths: TokenLengths | None
    splits: dict[str, int]
    languages: list[str]
    problems: list[Problem]
    preview: list[Preview]
    alternatives: list[Mapping]
    mapping: Mapping
    template: str | None
    length_histogram: list[LengthBin]
    cut_shares: dict[str, float]
    lens: list[LensShown] | None = None
    lens_about: LensAbout | None = None
    version: str | None = None
    sampled: bool = False
    looked_at: int | None = None
    next_step: str = ""

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        document = self.model_dump(mode="json", exclude={"mapping", "alternatives"})
        document["alternatives"] = [
            {"format": m.format, "confidence": m.confidence, "columns": dict(m.columns)}
            for m in self.alternatives
        ]
        return document

    def text(self) -> str:
        """Return the result in plain words."""
        parts = [self._headline(), self._roles()]
        if self.label_counts:
            parts.append(self._labels())
        if self.token_lengths:
            parts.append(self._tokens())
        if self.sampled:
            parts.append(self._sampling())
        parts.append(self._problems())
        if self.preview:
            parts.append(untrusted_block("rows as they would be trained", self._shown(), 1200))
        if self.lens and self.lens_about:
            parts.append(self._lens(self.lens, self.lens_about))
        if self.next_step:
            parts.append(self.next_step)
        return "\n".join(part for part in parts if part)

    def _headline(self) -> str:
        about = "at least " if self.sampled and self.looked_at is None else ""
        sure = f"confidence {self.format_confidence:.2f}"
        name = shorten(disarm(self.name), 80)
        form = self.format.replace("_", " ")
        task = "" if self.task == self.format else f" ({self.task.replace('_', ' ')})"
        splits = ", ".join(f"{name} {count:,}" for name, count in self.splits.items())
        split = f" · {splits}" if len(self.splits) > 1 else ""
        return f"{name}: {about}{self.rows:,} rows · {self.file} · {form}{task}, {sure}{split}"

    def _sampling(self) -> str:
        if self.looked_at is None:
            return f"The file is long: its first {self.rows:,} rows were read in the time allowed."
        return (
            "Rows, duplicates, labels and lengths were counted over the whole file; an even "
            f"sample of {self.looked_at:,} rows was looked at one by one."
        )

    def _roles(self) -> str:
        used = [
            f"{name_list([name])} = {role}"
            for name, role in self.columns.items()
            if role not in ("ignored", "id")
        ]
        unused = [name for name, role in self.columns.items() if role in ("ignored", "id")]
        rest = f"; not used: {name_list(unused, 6)}" if unused else ""
        return f"Columns: {', '.join(used[:8]) or 'none of use'}{rest}. {self._because()}"

    def _because(self) -> str:
        return f"Why: {shorten(disarm(self.reason), 160)}." if self.reason else ""

    def _labels(self) -> str:
        total = sum(self.label_counts.values()) or 1
        shown = [
            f"{name_list([label], max_chars=30)} {count:,} ({count / total:.0%})"
            for label, count in list(self.label_counts.items())[:8]
        ]
        more = len(self.label_counts) - 8
        return f"{len(self.label_counts)} labels: {', '.join(shown)}" + (
            f" and {more} more" if more > 0 else ""
        )

    def _tokens(self) -> str:
        t = self.token_lengths
        assert t is not None
        return (
            f"Length in tokens ({disarm(t.basis)}): half of the rows up to {t.p50:,}, 95 % up to "
            f"{t.p95:,}, longest {t.max:,}; about {t.per_epoch:,} tokens per epoch."
        )

    def _problems(self) -> str:
        if not self.problems:
            return "No problems found."
        lines = ["Problems:"]
        for p in self.problems[:_SHOWN_PROBLEMS]:
            rows = f" Rows {', '.join(map(str, p.rows[:3]))}…" if p.count > 3 and p.rows else ""
            rows = rows or (f" Row {', '.join(map(str, p.rows))}." if p.rows else "")
            lines.append(f"- {p.severity} {p.code}: {disarm(p.message)}{rows} {disarm(p.fix)}")
        more = len(self.problems) - _SHOWN_PROBLEMS
        return "\n".join(lines + ([f"- and {more} more"] if more > 0 else []))

    @staticmethod
    def _lens(rows: list[LensShown], about: LensAbout) -> str:
        own = "its own chat template" if about.own_template else "a plain template (it has none)"
        model = shorten(disarm(about.model), 80)
        said = (
            f"Label lens: under {model} with {own}, {about.trained_share:.0%} of the tokens are "
            "trained; the rest is masked. Trained text stands in double brackets, ■ is the end."
        )
        return said + "\n" + untrusted_block("tokens as trained", lens_lines(rows), 1500)

    def _shown(self) -> list[str]:
        lines = []
        for row in self.preview:
            asked, answer = shorten(row.asked, 240), shorten(row.answer, 160)
            lines.append(
                f"row {row.row}: {asked} → {answer}" if asked else f"row {row.row}: {answer}"
            )
        return lines


class PreparedReport(Report):
    """A prepared version: what it holds, and every step that led to it."""

    version: str
    fingerprint: str
    folder: str
    source: str
    format: str
    task: str
    objective: str
    columns: dict[str, str]
    labels: list[str]
    rows: int
    splits: dict[str, int]
    steps: list[Step]
    parent: str | None = None
    synthetic: int = 0
    problems: list[Problem]

    @classmethod
    def of(cls, manifest: Manifest, folder: str, problems: list[Problem]) -> PreparedReport:
        """Return the report on a version."""
        return cls(
            version=manifest.id,
            fingerprint=manifest.fingerprint,
            folder=folder,
            source=manifest.source,
            format=manifest.format,
            task=manifest.task,
            objective=manifest.objective,
            columns=manifest.columns,
            labels=list(manifest.labels),
            rows=sum(manifest.splits.values()),
            splits={str(name): count for name, count in manifest.splits.items()},
            steps=list(manifest.steps),
            parent=manifest.parent,
            synthetic=manifest.synthetic,
            problems=problems,
        )

    def text(self) -> str:
        """Return the result in plain words."""
        splits = ", ".join(f"{name} {count:,}" for name, count in self.splits.items())
        lines = [
            f"Prepared {self.version}: {self.rows:,} rows ({splits}), "
            f"{self.format.replace('_', ' ')}."
            + (f" Made from {self.parent}." if self.parent else "")
        ]
        for step in self.steps:
            change = f"{step.rows_before:,} → {step.rows_after:,} rows"
            if step.rows_before == step.rows_after:
                change = f"{step.rows_after:,} rows"
            lines.append(f"- {step.name.replace('_', ' ')}: {change}. {disarm(step.note)}".rstrip())
        if self.labels:
            lines.append(f"{len(self.labels)} labels: {name_list(self.labels)}.")
        for p in self.problems[:4]:
            lines.append(f"Still there, {p.severity} {p.code}: {disarm(p.message)} {disarm(p.fix)}")
        lines.append("The source was not changed. Next: train on it, or ask for a recommendation.")
        return "\n".join(lines)
