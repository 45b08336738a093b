"""The label lens: what of a row is trained and what is masked, token by token.

The rules are those of training: the prompt is rendered with the opening of the answer, prompt
and answer together without it; what the two share is masked, and the answer ends with its stop
token. Conversations under a template with generation marks train every answer; otherwise the
last one. The worker's gate looks at the very batches; a test holds both equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tools.datasets.example import Example, Message
from tools.datasets.problems import Problem, problem
from tools.datasets.templates import ModelText
from tools.errors import BadInput

MASKED = -100
"""Label of a token that no loss counts."""


@dataclass(frozen=True)
class LensRow:
    """One row as training sees it.

    Attributes:
        labels: As long as `ids`; `MASKED` where nothing is learnt.
        pieces: The text of each token.
    """

    row: int
    ids: tuple[int, ...]
    labels: tuple[int, ...]
    pieces: tuple[str, ...]

    @property
    def trained(self) -> int:
        """Tokens that count in the loss; the first position predicts nothing."""
        return sum(label != MASKED for label in self.labels[1:])


def lens_row(model: ModelText, row: int, example: Example) -> LensRow:
    """Return a row's tokens and labels.

    Raises:
        BadInput: The chat template refuses the conversation.
    """
    if example.text is not None:
        return _text(model, row, example.text)
    if example.messages is not None and model.marks_answers:
        return _marked(model, row, example.messages)
    prompt, completion = _pair(example)
    whole = model.encode(model.render([*prompt, *completion]))
    before = model.encode(model.render(prompt, waits=True))
    start = 0
    while start < min(len(before.ids), len(whole.ids)) and before.ids[start] == whole.ids[start]:
        start += 1
    ids, pieces = list(whole.ids), _pieces(model.render([*prompt, *completion]), whole)
    ids, pieces = _ended(model, ids, pieces, start)
    labels = [MASKED] * start + ids[start:]
    return LensRow(row, tuple(ids), tuple(labels[: len(ids)]), tuple(pieces))


def _pair(example: Example) -> tuple[list[Message], list[Message]]:
    if example.prompt is not None and example.completion is not None:
        return example.prompt, example.completion
    messages = example.messages or []
    last = max((i for i, m in enumerate(messages) if m["role"] == "assistant"), default=-1)
    return messages[: max(last, 0)], messages[last : last + 1] if last >= 0 else []


def _text(model: ModelText, row: int, text: str) -> LensRow:
    encoded = model.tokenizer.encode(text)
    ids, pieces = list(encoded.ids), _pieces(text, encoded)
    end = model.id_of("eos_token")
    if end is not None and ids[-1:] != [end]:
        ids, pieces = [*ids, end], [*pieces, model.special["eos_token"]]
    return LensRow(row, tuple(ids), tuple(ids), tuple(pieces))


def _marked(model: ModelText, row: int, messages: Sequence[Message]) -> LensRow:
    text, ranges = model.render_marked(messages)
    encoded = model.encode(text)
    ids, pieces = list(encoded.ids), _pieces(text, encoded)
    mask = [False] * len(ids)
    for start, end in ranges:
        first = next((t for t in (encoded.char_to_token(c) for c in range(start, end))
                      if t is not None), None)  # fmt: skip
        last = next((t for t in (encoded.char_to_token(c) for c in range(end - 1, start - 1, -1))
                     if t is not None), None)  # fmt: skip
        if first is not None and last is not None:
            mask[first : last + 1] = [True] * (last + 1 - first)
    stops = set(model.stops)
    for i in range(1, len(ids)):
        # Some templates mark the answer but not the token that ends it.
        if mask[i - 1] and not mask[i] and ids[i] in stops and ids[i - 1] not in stops:
            mask[i] = True
    end = max((i for i, learnt in enumerate(mask) if learnt), default=len(ids) - 1) + 1
    labels = [number if learnt else MASKED for number, learnt in zip(ids, mask, strict=True)]
    return LensRow(row, tuple(ids[:end]), tuple(labels[:end]), tuple(pieces[:end]))


def _ended(
    model: ModelText, ids: list[int], pieces: list[str], start: int
) -> tuple[list[int], list[str]]:
    """Cut after the answer's stop token; add one where the template writes none."""
    stops = set(model.stops)
    for i in range(len(ids) - 1, start - 1, -1):
        if ids[i] in stops:
            return ids[: i + 1], pieces[: i + 1]
    end = model.id_of("eos_token")
    if end is None:
        return ids, pieces
    return [*ids, end], [*pieces, model.special["eos_token"]]


def _pieces(text: str, encoded: object) -> list[str]:
    """Return each token's text; tokens inside one character show it once."""
    pieces: list[str] = []
    shown = 0
    for start, end in encoded.offsets:  # type: ignore[attr-defined]
        begin = max(start, shown)
        pieces.append(text[begin:end])
        shown = max(shown, end)
    return pieces


def check_rows(
    rows: Sequence[LensRow],
    model: ModelText,
    *,
    answers_only: bool = True,
    wants_marks: bool = False,
) -> list[Problem]:
    """Return what is wrong with the labels of a batch.

    Args:
        answers_only: Questions are meant to be masked (not so for plain text).
        wants_marks: The loss is meant to count every answer of a conversation.
    """
    problems: list[Problem] = []

    def add(code: str, where: Iterable[int], message: str, fix: str) -> None:
        listed = list(where)
        if listed:
            problems.append(problem(code, "error", f"{len(listed):,} row(s): {message}", fix,
                                    listed))  # fmt: skip

    stops, bos = set(model.stops), model.id_of("bos_token")
    add("all_masked", (r.row for r in rows if not r.trained),
        "every token is masked, so nothing is learnt.",
        "Check that answers are not empty, and raise the maximum length.")  # fmt: skip
    if answers_only:
        add("nothing_masked", (r.row for r in rows if r.trained >= len(r.ids) - 1 > 0),
            "nothing is masked, so the questions are learnt as well.",
            "The question must be the input and the answer the output.")  # fmt: skip
        add("stop_not_trained",
            (r.row for r in rows if r.trained and not _learns_to_stop(r, stops)),
            "the answer's end token is never trained, so the model would not stop.",
            "Do not mask by the padding token; end every answer with the end token.")  # fmt: skip
    add("double_bos",
        (r.row for r in rows if bos is not None and list(r.ids[:2]) == [bos, bos]),
        "the text begins with two begin-of-text tokens.",
        "Remove the token from the rows, or tokenize without special tokens.")  # fmt: skip
    if wants_marks and not model.marks_answers:
        message = "the chat template does not mark what the assistant wrote."
        add("no_generation_marks", [r.row for r in rows][:1], message,
            "Only the last answer can be trained; choose a template with generation marks to "
            "train all.")  # fmt: skip
    return problems


def _learns_to_stop(row: LensRow, stops: set[int]) -> bool:
    learnt = [label for label in row.labels if label != MASKED]
    return bool(learnt) and any(label in stops for label in learnt[-2:])


def check_template(model: ModelText, examples: Sequence[tuple[int, Example]]) -> list[Problem]:
    """Return what a chat template does to conversations that it should not.

    A template that leaves out the system message, or alters what was said, trains something
    else than the rows say.
    """
    lost: list[int] = []
    refused: list[int] = []
    altered: list[int] = []
    said = ""
    for row, example in examples:
        prompt, completion = _pair(example)
        messages = [*prompt, *completion]
        if not messages:
            continue
        try:
            text = model.render(messages)
        except BadInput as error:
            refused.append(row)
            said = error.problem
            continue
        for message in messages:
            if message["content"].strip() not in text:
                (lost if message["role"] == "system" else altered).append(row)
                break
    problems: list[Problem] = []
    if lost:
        problems.append(problem(
            "system_dropped", "error",
            f"The chat template of {model.name} silently drops the system message.",
            "Put its words into the first user message, or choose another model.", lost,
        ))  # fmt: skip
    if altered:
        problems.append(problem(
            "text_altered", "error",
            f"The chat template of {model.name} leaves out or changes what was said.",
            "Choose a model whose template keeps every turn.", altered,
        ))  # fmt: skip
    if refused:
        problems.append(problem(
            "template_refuses", "error", said,
            "Change the order of the turns, leave out the system message, or choose another model.",
            refused,
        ))  # fmt: skip
    return problems
