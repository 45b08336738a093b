"""The preview of the label lens under a model's tokenizer and template."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from tools.context import Context
from tools.datasets.example import Example
from tools.datasets.gather import Gathered
from tools.datasets.labels import LensRow, check_rows, check_template, lens_row
from tools.datasets.model_files import read_model_text
from tools.datasets.problems import Problem, problem
from tools.datasets.templates import ModelText
from tools.datasets.tokens import tokenizer_folder
from tools.errors import BadInput

_CHECKED_ROWS = 64
_SHOWN_TOKENS = 300


class LensToken(BaseModel):
    """One token of a row; its text is untrusted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    trained: bool
    stop: bool


class LensShown(BaseModel):
    """One row as training sees it; its tokens are cut after 300.

    Attributes:
        note: What is trained of it, in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: int
    tokens: list[LensToken]
    note: str


class LensAbout(BaseModel):
    """Under which model the lens looked.

    Attributes:
        own_template: False where the model has no chat template and the fallback is used.
        trained_share: Share of tokens that are learnt, over the rows looked at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    own_template: bool
    trained_share: float


class LensPreview(BaseModel):
    """Rows as training sees them, and what is wrong with that."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: LensAbout
    rows: list[LensShown]
    problems: list[Problem]


def lens_lines(rows: Sequence[LensShown]) -> list[str]:
    """Return rows as text: what is trained stands between ⟦ and ⟧, a stop token as ■."""
    return [f"row {shown.row}: {_line(shown.tokens)}" for shown in rows]


def model_text(ctx: Context, model: str | None) -> ModelText | None:
    """Return how a model reads text, or None where its tokenizer is not on this machine."""
    folder = tokenizer_folder(ctx, model)
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    return read_model_text(folder, model or "starter")


def lens_preview(
    model: ModelText, examples: Sequence[tuple[int, Example]], shown: int
) -> LensPreview:
    """Render rows with the model's own template and look at what would be trained."""
    if examples and examples[0][1].tokens is not None:
        return _tagged(model, examples, shown)
    step = max(1, len(examples) // _CHECKED_ROWS)
    checked = list(examples[::step][:_CHECKED_ROWS])
    problems = check_template(model, checked)
    rows: list[LensRow] = []
    for number, example in checked:
        try:
            rows.append(lens_row(model, number, example))
        except BadInput:
            continue  # told by check_template
    is_text = bool(checked) and checked[0][1].text is not None
    is_chat = bool(checked) and checked[0][1].messages is not None
    problems += check_rows(rows, model, answers_only=not is_text)
    if is_chat and not model.marks_answers:
        problems.append(_last_answers_only(model))
    tokens = sum(len(row.ids) for row in rows) or 1
    stops = set(model.stops)
    return LensPreview(
        about=LensAbout(
            model=model.name,
            own_template=model.own_template,
            trained_share=round(sum(row.trained for row in rows) / tokens, 4),
        ),
        rows=[
            LensShown(row=row.row, tokens=_tokens(row, stops), note=_note(row, stops))
            for row in rows[: max(shown, 1)]
        ],
        problems=problems,
    )


def _tagged(model: ModelText, examples: Sequence[tuple[int, Example]], shown: int) -> LensPreview:
    """Show words with their tags: each word is trained to its tag, and none is masked."""
    rows = [
        LensShown(
            row=number,
            tokens=[
                LensToken(text=f"{word}/{tag} ", trained=True, stop=False)
                for word, tag in list(zip(e.tokens or (), e.tags or (), strict=True))[
                    :_SHOWN_TOKENS
                ]
            ],
            note="every word is trained to the tag behind it, at its first token",
        )
        for number, e in examples[: max(shown, 1)]
    ]
    about = LensAbout(model=model.name, own_template=model.own_template, trained_share=1.0)
    return LensPreview(about=about, rows=rows, problems=[])


def _note(row: LensRow, stops: set[int]) -> str:
    count = len(row.ids)
    stop = any(label in stops for label in row.labels)
    ends = "its end token is trained" if stop else "no end token is trained"
    cut = f"; the first {_SHOWN_TOKENS} are shown" if count > _SHOWN_TOKENS else ""
    return f"{row.trained:,} of {count:,} tokens are trained, {ends}{cut}"


def _last_answers_only(model: ModelText) -> Problem:
    return problem(
        "no_generation_marks",
        "warning",
        f"The chat template of {model.name} does not mark what the assistant wrote, so only the "
        "last answer of each conversation is trained.",
        "Choose a model whose template has generation marks, or split the conversations.",
        count=1,
    )


def _tokens(row: LensRow, stops: set[int]) -> list[LensToken]:
    joined = zip(row.ids, row.labels, row.pieces, strict=True)
    return [
        LensToken(text=piece, trained=label >= 0, stop=number in stops)
        for number, label, piece in list(joined)[:_SHOWN_TOKENS]
    ]


def _line(tokens: Sequence[LensToken]) -> str:
    parts: list[str] = []
    inside = False
    for token in tokens:
        if token.trained != inside:
            parts.append("⟦" if token.trained else "⟧")
            inside = token.trained
        text = token.text.replace("⟦", "(").replace("⟧", ")")
        parts.append(f"{text}■" if token.stop and token.trained else text)
    return "".join(parts) + ("⟧" if inside else "")


def lens_or_reason(
    model: ModelText | None, name: str | None, found: Gathered, shown: int
) -> LensPreview:
    """Return the lens.

    Raises:
        ToolError: The model's tokenizer is not here, or there is no row to look at.
    """
    if model is None:
        raise BadInput(
            f"The tokenizer of {name or 'the starter model'} is not on this machine.",
            hint="Choose a model that is here, or fetch it first by training with it once.",
        )
    if not found.kept:
        raise BadInput(
            "There is no usable row to look at through the lens.",
            hint="Name the input and the output column.",
        )
    return lens_preview(model, found.kept, shown)
