"""The preview of the label lens, and token lengths, under a model's tokenizer and template."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from tools.context import Context
from tools.datasets.example import Example
from tools.datasets.gather import Gathered
from tools.datasets.labels import LensRow, check_rows, check_template, lens_row
from tools.datasets.problems import Problem, problem
from tools.datasets.templates import ModelText, read_model_text
from tools.datasets.tokens import tokenizer_folder
from tools.errors import BadInput

CANDIDATE_LENGTHS = (128, 256, 512, 1024, 2048, 4096)
_COUNTED, _COUNTED_CHARACTERS = 1000, 500_000
"""Rows and characters that are tokenized; the rest is scaled from them."""
_CHARACTERS_PER_TOKEN = 4.0
"""For English under large vocabularies; only where no tokenizer is at hand, and said so."""
_CHECKED_ROWS = 64
_SHOWN_TOKENS = 300


class TokenLengths(BaseModel):
    """Tokens per row, as the model reads it: template, question and answer.

    Attributes:
        basis: Which tokenizer counted; without one an estimate from characters.
        sampled: Rows that were counted.
        cut: Length → share of rows that would be cut at it.
        per_epoch: Estimated tokens in one pass over all rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    p50: int
    p95: int
    p99: int
    max: int
    basis: str
    sampled: int
    cut: dict[str, float]
    per_epoch: int


class LensToken(BaseModel):
    """One token of a row; its text is untrusted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    trained: bool
    stop: bool


class LensPreview(BaseModel):
    """Rows as training sees them.

    Attributes:
        own_template: False where the model has no chat template and the fallback is used.
        rows: Source row number → tokens, cut after 300.
        trained_share: Share of tokens that are learnt, over the rows looked at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    own_template: bool
    rows: dict[int, list[LensToken]]
    trained_share: float
    problems: list[Problem]

    def lines(self) -> list[str]:
        """Return rows as text: what is trained stands between ⟦ and ⟧, a stop token as ■."""
        return [f"row {row}: {_line(tokens)}" for row, tokens in self.rows.items()]


def model_text(ctx: Context, model: str | None) -> ModelText | None:
    """Return how a model reads text, or None where its tokenizer is not on this machine."""
    folder = tokenizer_folder(ctx, model)
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    return read_model_text(folder, model or "starter")


def token_lengths(model: ModelText | None, found: Gathered) -> TokenLengths | None:
    """Return percentiles of tokens per row from an even sample of the kept rows."""
    if not found.kept:
        return None
    characters = sum(e.characters for _, e in found.kept)
    step = max(1, len(found.kept) // _COUNTED, -(-characters // _COUNTED_CHARACTERS))
    sample = [example for _, example in found.kept[::step]]
    counts = sorted(_count(model, sample))
    seen = sum(e.characters for e in sample)
    overhead = _overhead(model, sample, counts)
    per_character = max(sum(counts) - overhead * len(counts), 1) / max(seen, 1)
    longest = max(counts[-1], round(max(found.lengths) * per_character + overhead))
    return TokenLengths(
        p50=_at(counts, 0.5),
        p95=_at(counts, 0.95),
        p99=_at(counts, 0.99),
        max=longest,
        basis=f"tokenizer of {model.name}" if model else "characters / 4, an estimate",
        sampled=len(counts),
        cut={
            str(length): round(sum(c > length for c in counts) / len(counts), 4)
            for length in CANDIDATE_LENGTHS
        },
        per_epoch=round(sum(found.lengths) * per_character + overhead * len(found.lengths)),
    )


def _count(model: ModelText | None, sample: Sequence[Example]) -> list[int]:
    if model is None:
        return [max(1, round(e.characters / _CHARACTERS_PER_TOKEN)) for e in sample]
    texts = [_rendered(model, example) for example in sample]
    encoded = model.tokenizer.encode_batch(texts, add_special_tokens=False)
    return [len(item.ids) for item in encoded]


def _rendered(model: ModelText, example: Example) -> str:
    messages = example.messages or [*(example.prompt or []), *(example.completion or [])]
    if not messages:
        return example.text or example.answer
    try:
        return model.render(messages)
    except BadInput:
        return f"{example.asked}\n{example.answer}"  # the lens tells that the template refuses it


def _overhead(model: ModelText | None, sample: Sequence[Example], counts: Sequence[int]) -> float:
    """Return the tokens per row that the template adds."""
    if model is None or not sample or sample[0].text is not None:
        return 0.0
    bare = model.tokenizer.encode_batch(
        [f"{e.asked}{e.answer}" for e in sample[:100]], add_special_tokens=False
    )
    whole = sum(_count(model, sample[:100]))
    return max(0.0, (whole - sum(len(item.ids) for item in bare)) / min(len(counts), 100))


def _at(ordered: Sequence[int], share: float) -> int:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def truncation(
    model: ModelText | None, lengths: TokenLengths | None, found: Gathered
) -> list[Problem]:
    """Return the problem of rows that are longer than the model can read."""
    if model is None or model.context is None or lengths is None or lengths.max <= model.context:
        return []
    per_character = lengths.per_epoch / max(sum(found.lengths), 1)
    rows = [
        number
        for number, length in zip(found.numbers, found.lengths, strict=True)
        if length * per_character > model.context
    ]
    if not rows:
        return []
    return [
        problem(
            "truncation",
            "warning",
            f"{len(rows):,} rows are longer than the {model.context:,} tokens that {model.name} "
            "reads; their beginning would be cut.",
            "Shorten them, drop them with the fix `outlier_lengths`, or choose a model that reads "
            "more.",
            rows,
        )
    ]


def lens_preview(
    model: ModelText, examples: Sequence[tuple[int, Example]], shown: int
) -> LensPreview:
    """Render rows with the model's own template and look at what would be trained."""
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
        model=model.name,
        own_template=model.own_template,
        rows={row.row: _tokens(row, stops) for row in rows[: max(shown, 1)]},
        trained_share=round(sum(row.trained for row in rows) / tokens, 4),
        problems=problems,
    )


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
