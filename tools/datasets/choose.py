"""From a source and a person's wishes to the mapping that is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tools.datasets.label_names import fits
from tools.datasets.limits import LIMITS
from tools.datasets.mapping import Format, Mapping, Role
from tools.datasets.profile import Column, profile
from tools.datasets.quarantine import name_list
from tools.datasets.reading import build
from tools.datasets.recognise import recognise
from tools.datasets.row import Row
from tools.datasets.source import Source
from tools.datasets.suggest import did_you_mean
from tools.datasets.template import parse_template
from tools.errors import BadInput

SAMPLE_ROWS = 4000
SAMPLE_CHARACTERS = 16_000_000
ASK_BELOW = 0.55
"""Below this confidence the two best readings are offered instead of one being taken."""


@dataclass(frozen=True)
class Reading:
    """What was found in a sample of the source.

    Attributes:
        mapping: The reading that is used; `others` the next best ones.
    """

    mapping: Mapping
    others: tuple[Mapping, ...]
    columns: dict[str, Column]
    sample: tuple[Row, ...]


def choose(
    source: Source,
    *,
    template: str | None = None,
    input_column: str | None = None,
    output_column: str | None = None,
) -> Reading:
    """Read a sample and decide what the columns are.

    Raises:
        BadInput: There are no rows, or a wish names a column that does not exist.
    """
    sample = _sample(source)
    width = len(set().union(*sample))
    if width > LIMITS.columns:
        raise BadInput(
            f"{source.title} with {width:,} columns is no table of texts to learn from.",
            hint=f"Keep the columns that matter; {LIMITS.columns:,} are the most.",
        )
    columns = profile(sample)
    if not sample or not any(column.values for column in columns.values()):
        if source.log.reason:
            raise BadInput(
                f"{source.title} was recognised, but no row can be read: {source.log.reason}.",
                hint="Repair the file where it breaks off, or write it anew.",
            )
        raise BadInput(
            f"{source.title} was recognised, but it holds no rows.",
            hint="Choose a file with rows below its header.",
        )
    found = recognise(columns)
    names = list(columns)
    for wish in (input_column, output_column):
        if wish is not None and wish not in columns:
            raise BadInput(
                f"There is no column {name_list([wish])!r}.", hint=did_you_mean(wish, names)
            )
    if template:
        mapping = _templated(columns, template, found)
    elif input_column or output_column:
        mapping = _wished(columns, found, input_column, output_column)
    else:
        mapping = found[0]
    numbered = mapping.one("output") or mapping.one("tags") or ""
    named = source.label_names().get(numbered)
    if named is None and numbered and fits(source.beside, list(columns[numbered].counts)):
        named = source.beside
    if named and mapping.format in ("classification", "token_classification"):
        mapping = mapping.model_copy(update={"label_names": named})
    others = tuple(m for m in found if m.format != mapping.format)[:2]
    return Reading(mapping, others, columns, tuple(sample))


def _sample(source: Source) -> list[Row]:
    rows: list[Row] = []
    budget = SAMPLE_CHARACTERS
    for _, _, row in islice(source.rows(), SAMPLE_ROWS):
        rows.append(row)
        budget -= sum(len(v) if isinstance(v, str) else 40 for v in row.values())
        if budget < 0:
            break
    return rows


def _templated(columns: dict[str, Column], text: str, found: Sequence[Mapping]) -> Mapping:
    template = parse_template(text, list(columns))
    labels = columns[template.answer].looks_like_labels or (
        found[0].format == "classification" and found[0].one("output") == template.answer
    )
    roles: dict[str, Role] = dict.fromkeys(template.inputs, "input")
    roles[template.answer] = "output"
    mapping = build(
        columns,
        "classification" if labels else "prompt_completion",
        roles,
        0.99,
        "the template names the columns",
    )
    return mapping.model_copy(update={"template": template.text, "confidence": 0.99})


def _wished(
    columns: dict[str, Column],
    found: Sequence[Mapping],
    input_column: str | None,
    output_column: str | None,
) -> Mapping:
    """Keep what was recognised where it agrees with the wish; otherwise build around the wish."""
    for mapping in found:
        asked = mapping.one("input") or mapping.one("instruction")
        agrees = input_column in (None, asked) and output_column in (None, mapping.one("output"))
        if agrees and mapping.one("output") and mapping.objective:
            return mapping.model_copy(update={"confidence": max(mapping.confidence, 0.95)})
    if output_column is None:
        return _only_input(columns, found, input_column or "")
    answer = columns[output_column]
    asked_column = columns[input_column] if input_column else _best_input(columns, answer)
    roles: dict[str, Role] = {asked_column.name: "input", output_column: "output"}
    labels = answer.looks_like_labels and answer.shape in ("text", "number", "bool")
    return build(
        columns,
        "classification" if labels else "prompt_completion",
        roles,
        0.95,
        f"{asked_column.name} and {output_column} were named",
    )


def _only_input(columns: dict[str, Column], found: Sequence[Mapping], wish: str) -> Mapping:
    for mapping in found:
        output = mapping.one("output")
        if output and output != wish and mapping.objective == "prompt_completion":
            roles: dict[str, Role] = {wish: "input", output: "output"}
            form: Format = (
                "classification" if mapping.format == "classification" else "prompt_completion"
            )
            return build(columns, form, roles, 0.9, f"{wish} was named as the input")
    return build(
        columns,
        "text",
        {wish: "text"},
        0.9,
        f"{wish} was named and nothing answers it",
        task="text",
        objective="text",
    )


def _best_input(columns: dict[str, Column], answer: Column) -> Column:
    texts = [c for c in columns.values() if c is not answer and c.values and not c.looks_like_id]
    if not texts:
        raise BadInput(
            f"Besides {name_list([answer.name])} there is no column to learn it from.",
            hint="Add a column with the text that the answer belongs to.",
        )
    return max(texts, key=lambda column: (column.is_text, column.characters))


def trainable(reading: Reading, path_name: str) -> Mapping:
    """Return the mapping, or say clearly why nothing can be trained on it as it is.

    Raises:
        BadInput: With the nearest thing that can be done.
    """
    mapping = reading.mapping
    if mapping.objective is None:
        raise BadInput(f"{path_name}: {mapping.obstacle}", hint=mapping.advice)
    columns = [c for c in reading.columns.values() if c.values]
    if mapping.confidence < ASK_BELOW and mapping.format in ("text", "prompt_completion"):
        options = "; ".join(describe(other) for other in (mapping, *reading.others)[:2])
        raise BadInput(
            f"{path_name}: it is not clear which of the {len(columns)} columns is the answer.",
            hint=f"Name the input column and the output column. Possible: {options}. "
            f"The columns are: {name_list([c.name for c in columns], 12)}.",
        )
    return mapping


def describe(mapping: Mapping) -> str:
    """Return a reading in a few words, such as `classification: text → label`."""
    outputs = mapping.having("output") or mapping.having("tags") or mapping.having("chosen")
    inputs = [
        name
        for name, role in mapping.columns.items()
        if role in ("instruction", "context", "input", "messages", "text", "tokens")
    ]
    arrow = f" → {name_list(outputs)}" if outputs else ""
    return f"{mapping.format}: {name_list(inputs, 4)}{arrow}"


def as_options(value: Any) -> dict[str, Any]:
    """Return a mapping's choices as they go into a fingerprint."""
    kept = {"format", "task", "objective", "columns", "template", "languages", "label_names"}
    chosen: dict[str, Any] = value.model_dump(mode="json", include=kept)
    return chosen
