"""A person's text template over columns, such as `### Question: {prompt}\\n### Answer: {response}`.

The last placeholder is the answer: what stands before it is the prompt, what stands behind it is
dropped, because the model's own end token closes the answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tools.datasets.profile import text_of
from tools.datasets.row import Row
from tools.datasets.suggest import did_you_mean
from tools.errors import BadInput

_HOLE = re.compile(r"\{\s*([^{}]*?)\s*\}")
_MAX_CHARACTERS = 8_000


@dataclass(frozen=True)
class Template:
    """A checked template.

    Attributes:
        text: As the person wrote it, with `\\n` and `\\t` made real.
        inputs: Columns of the prompt; `answer` is the column of the answer.
    """

    text: str
    prompt: str
    inputs: tuple[str, ...]
    answer: str

    def fill(self, row: Row) -> str:
        """Return the prompt for a row. Values are inserted as they are, never re-scanned."""
        return _HOLE.sub(lambda hole: text_of(row.get(hole[1])).strip(), self.prompt).rstrip(" ")


def parse_template(text: str, columns: Sequence[str]) -> Template:
    """Check a template against the columns.

    Raises:
        BadInput: It has too few placeholders, or one that names no column.
    """
    real = text.replace("\\n", "\n").replace("\\t", "\t")
    if len(real) > _MAX_CHARACTERS:
        raise BadInput("The template is longer than 8,000 characters.", hint="Shorten it.")
    holes = [match[1] for match in _HOLE.finditer(real)]
    if len(set(holes)) < 2:
        raise BadInput(
            "The template needs at least two placeholders: the question and, last, the answer.",
            hint=f"Write it like {_example(columns)}.",
        )
    unknown = [hole for hole in holes if hole not in columns]
    if unknown:
        raise BadInput(
            f"The template names {unknown[0]!r}, which is no column of this file.",
            hint=did_you_mean(unknown[0], columns),
        )
    last = list(_HOLE.finditer(real))[-1]
    if last[1] in holes[:-1]:
        raise BadInput(
            f"The template shows the answer {last[1]!r} before its end.",
            hint="The last placeholder is the answer; it must not stand in the prompt as well.",
        )
    return Template(real, real[: last.start()], tuple(dict.fromkeys(holes[:-1])), last[1])


def _example(columns: Sequence[str]) -> str:
    first, last = (columns[0], columns[-1]) if len(columns) > 1 else ("question", "answer")
    return f"### Question: {{{first}}} ### Answer: {{{last}}}"
