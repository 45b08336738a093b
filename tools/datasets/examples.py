"""From a source row to a training example in the canonical form of the manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tools.datasets.conversations import conversation
from tools.datasets.example import EMPTY_INPUT, Example, answered
from tools.datasets.mapping import Mapping
from tools.datasets.preferences import compared, judged
from tools.datasets.profile import decoded, is_blank, plain_list, text_of
from tools.datasets.row import Row
from tools.datasets.template import parse_template

Builder = Callable[[Row], Example | str]


def builder(mapping: Mapping) -> Builder:
    """Return the function that makes an example of a row, or says why it cannot."""
    if mapping.template:
        return _templated(mapping)
    if mapping.objective == "text":
        return _texts(mapping)
    if mapping.objective is None:
        return lambda row: NOT_READ
    by_objective: dict[str, Callable[[Mapping], Builder]] = {
        "dpo": compared,
        "kto": judged,
        "chat": _chats,
        "token_classification": _tagged,
    }
    if mapping.objective in by_objective:
        return by_objective[mapping.objective](mapping)
    makers: dict[str, Callable[[Mapping], Builder]] = {
        "translation": _translations,
        "alpaca": _instructions,
    }
    return makers.get(mapping.format, _pairs)(mapping)


def _cell(row: Row, name: str | None) -> str:
    value = None if name is None else row.get(name)
    if isinstance(value, list) and value and isinstance(value[0], str):
        value = value[0]  # several wordings of one question: the first stands for all
    return "" if is_blank(value) else text_of(value).strip()


def _pairs(mapping: Mapping) -> Builder:
    """Classification, prompt and completion, question and answer, summaries."""
    inputs, output = mapping.having("input"), mapping.one("output")
    context, choices, system = (mapping.one(r) for r in ("context", "choices", "system"))
    is_label = mapping.format == "classification"

    def make(row: Row) -> Example | str:
        value = row.get(output or "")
        if mapping.task == "multi_label_classification":
            value = _label_set(value, mapping.label_names)
        answer = _answer(value, row.get(choices or ""))
        if is_label and mapping.label_names and answer.isdigit():
            number = int(answer)
            answer = mapping.label_names[number] if number < len(mapping.label_names) else answer
        cells = [_cell(row, name) for name in inputs]
        if any(not cell for cell in cells):
            return EMPTY_INPUT
        asked = (
            cells[0]
            if len(cells) == 1
            else "\n".join(f"{name}: {cell}" for name, cell in zip(inputs, cells, strict=True))
        )
        offered = _choices(row.get(choices or ""))
        if offered:
            asked += "\n" + "\n".join(f"{chr(65 + n)}. {text}" for n, text in enumerate(offered))
        return answered(
            asked, answer, label=is_label, system=_cell(row, system), passage=_cell(row, context)
        )

    return make


def _label_set(value: Any, names: Sequence[str]) -> str:
    """Return several labels as one answer, in a fixed order."""
    return ", ".join(sorted(_tag(label, names) for label in listed(value))) or "none"


def _answer(value: Any, choices: Any = None) -> str:
    """Return an answer's text: plain, SQuAD's `{text: […]}`, a list, or a choice's number."""
    value = decoded(value)
    offered = _choices(choices)
    if offered and isinstance(value, int) and 0 <= value < len(offered):
        return f"{chr(65 + value)}. {offered[value]}"
    keys = choices.get("label") if isinstance(choices, dict) else list("ABCDEFGHIJ")
    if offered and isinstance(keys, list) and value in keys[: len(offered)]:
        number = keys.index(value)
        return f"{chr(65 + number)}. {offered[number]}"
    if isinstance(value, dict):
        value = value.get("text", value.get("value", value.get("content", value)))
    if isinstance(value, list):
        if not value:
            return ""
        if all(isinstance(item, dict) and "content" in item for item in value):
            return text_of(value[-1]["content"]).strip()
        return _answer(value[0])
    return "" if is_blank(value) else text_of(value).strip()


def _choices(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = value.get("text")
    if not isinstance(value, list):
        return []
    return [text_of(item.get("text", item) if isinstance(item, dict) else item) for item in value]


def _instructions(mapping: Mapping) -> Builder:
    instruction, extra = mapping.one("instruction"), mapping.one("input")
    output, system = mapping.one("output"), mapping.one("system")

    def make(row: Row) -> Example | str:
        asked, more = _cell(row, instruction), _cell(row, extra)
        value = decoded(row.get(output or ""))
        if isinstance(value, list) and value and isinstance(value[0], dict):  # seed tasks
            more = text_of(value[0].get("input") or "").strip()
            value = value[0].get("output")
        if more and asked:
            asked = f"{asked}\n\n{more}"
        return answered(asked or more, _answer(value), system=_cell(row, system))

    return make


def _translations(mapping: Mapping) -> Builder:
    source, target = mapping.one("input"), mapping.one("output")
    first, second = mapping.languages or ("", "")

    def make(row: Row) -> Example | str:
        if target is None:
            pair = row.get(source or "")
            cells = pair if isinstance(pair, dict) else {}
            return answered(text_of(cells.get(first)), text_of(cells.get(second)))
        return answered(_cell(row, source), _cell(row, target))

    return make


def _tagged(mapping: Mapping) -> Builder:
    """Words with a tag each; numbered tags get the names that the file tells."""
    tokens, tags = mapping.one("tokens") or "", mapping.one("tags") or ""
    names = mapping.label_names

    def make(row: Row) -> Example | str:
        words = [text_of(word) for word in listed(row.get(tokens))]
        marks = [_tag(mark, names) for mark in listed(row.get(tags))]
        if not words:
            return EMPTY_INPUT
        if len(words) != len(marks):
            return "tokens and tags of different number"
        return Example(" ".join(words), entities(words, marks), tokens=words, tags=marks)

    return make


def listed(value: Any) -> list[Any]:
    """Return a list, also one written as JSON text, or words parted by spaces."""
    if isinstance(value, str):
        inner = plain_list(value)
        return value.split() if inner is None else inner
    return list(value) if isinstance(value, list | tuple) else []


def _tag(mark: Any, names: Sequence[str]) -> str:
    if isinstance(mark, int) and 0 <= mark < len(names):
        return names[mark]
    return text_of(mark).strip() or "O"


def entities(words: Sequence[str], marks: Sequence[str]) -> str:
    """Return the spans of BIO tags, one per line, such as `location: Sonmarg`."""
    spans: list[tuple[str, list[str]]] = []
    open_type = ""
    for word, mark in zip(words, marks, strict=True):
        prefix, _, kind = mark.partition("-")
        if not kind:
            prefix, kind = ("O", "") if mark in ("O", "0", "") else ("I", mark)
        if prefix == "O":
            open_type = ""
        elif prefix in ("B", "S", "U") or kind != open_type:
            spans.append((kind, [word]))
            open_type = kind
        else:
            spans[-1][1].append(word)
    return "\n".join(f"{kind}: {' '.join(run)}" for kind, run in spans) or "none"


def _texts(mapping: Mapping) -> Builder:
    column = mapping.one("text")

    def make(row: Row) -> Example | str:
        text = _cell(row, column)
        return Example(asked="", answer=text, text=text) if text else EMPTY_INPUT

    return make


def _templated(mapping: Mapping) -> Builder:
    template = parse_template(mapping.template or "", list(mapping.columns))
    is_label = mapping.format == "classification"

    def make(row: Row) -> Example | str:
        if any(not _cell(row, name) for name in template.inputs):
            return EMPTY_INPUT
        return answered(template.fill(row), _cell(row, template.answer), label=is_label)

    return make


NOT_READ = "not read"


def _chats(mapping: Mapping) -> Builder:
    column, tools = mapping.one("messages") or "", mapping.one("tools")
    system = mapping.one("system")

    def make(row: Row) -> Example | str:
        return conversation(row.get(column), row.get(tools or ""), _cell(row, system))

    return make
