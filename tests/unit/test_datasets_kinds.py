"""The forms that well-known public datasets come in are told apart by content."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.context import Context
from tools.datasets.inspect import inspect_file

CHANCE = random.Random(0)
WORDS = [
    "market", "shares", "profit", "year", "people", "city", "team", "game", "season", "player",
    "water", "energy", "climate", "report", "study", "price", "bank", "trade", "court", "police",
    "film", "music", "story", "book", "school", "student", "care", "drug", "phone", "network",
]  # fmt: skip
ROWS = 60


def some(few: int = 8, many: int = 20) -> str:
    return " ".join(CHANCE.choices(WORDS, k=CHANCE.randint(few, many))).capitalize() + "."


def long(sentences: int = 6) -> str:
    return " ".join(some() for _ in range(sentences))


def pick(*values: Any) -> Any:
    return CHANCE.choice(values)


def jsonl(make: Callable[[int], dict[str, Any]]) -> str:
    return "\n".join(json.dumps(make(n)) for n in range(ROWS))


def table(make: Callable[[int], list[Any]], header: str = "", delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    if header:
        writer.writerow(header.split(","))
    writer.writerows(make(n) for n in range(ROWS))
    return out.getvalue()


def turns(answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": some()}, {"role": "assistant", "content": answer}]


def conll(columns: str) -> str:
    def line(word: str) -> str:
        return f"{word}{columns}{pick('O', 'O', 'B-ORG', 'I-ORG')}"

    return "\n\n".join("\n".join(map(line, some().split())) for _ in range(ROWS))


def universal() -> str:
    def line(n: int, word: str) -> str:
        return f"{n + 1}\t{word}\t{word}\tNOUN\tNN\t_\t0\troot\t_\t_"

    return "\n\n".join(
        "\n".join(line(n, word) for n, word in enumerate(some().split())) for _ in range(ROWS)
    )


KINDS: dict[str, tuple[str, Callable[[], str]]] = {
    "agnews.csv": ("classification", lambda: table(lambda _: [pick(1, 2, 3), some(4, 8), long(2)])),
    "imdb.csv": ("classification", lambda: table(
        lambda _: [long(), pick("positive", "negative")], "review,sentiment")),
    "cola.tsv": ("classification", lambda: table(
        lambda _: ["gj04", pick(0, 1), pick("", "*"), some()], delimiter="\t")),
    "mnli.jsonl": ("classification", lambda: jsonl(
        lambda n: {"premise": some(), "hypothesis": some(), "label": pick(0, 1, 2), "idx": n})),
    "sms": ("classification", lambda: table(lambda _: [pick("ham", "spam"), some()],
                                            delimiter="\t")),
    "tweets.csv": ("classification", lambda: table(
        lambda n: [f"57{n}", pick("neutral", "positive"), pick("", "Late"), some()],
        "tweet_id,airline_sentiment,negativereason,text")),
    "fasttext.txt": ("classification", lambda: "\n".join(
        f"__label__{pick('a', 'b')} {some()}" for _ in range(ROWS))),
    "intents.json": ("classification", lambda: json.dumps({"intents": [
        {"tag": f"t{n}", "patterns": [some() for _ in range(4)], "responses": [some()]}
        for n in range(12)]})),
    "rasa.json": ("classification", lambda: json.dumps({"rasa_nlu_data": {"common_examples": [
        {"text": some(), "intent": pick("greet", "bye"), "entities": []} for _ in range(ROWS)]}})),
    "dolly.jsonl": ("alpaca", lambda: jsonl(
        lambda _: {"instruction": some(), "context": pick("", long()), "response": long(2),
                   "category": pick("open_qa", "brainstorming")})),
    "openai.jsonl": ("prompt_completion", lambda: jsonl(
        lambda _: {"prompt": some() + " ->", "completion": " " + some()})),
    "helpful.jsonl": ("preference", lambda: jsonl(
        lambda _: {"chosen": f"Human: {some()}\n\nAssistant: {some()}",
                   "rejected": f"Human: {some()}\n\nAssistant: {some()}"})),
    "ultra.jsonl": ("preference", lambda: jsonl(
        lambda n: {"prompt": some(), "prompt_id": f"a{n}", "chosen": turns(long(2)),
                   "rejected": turns(some()), "messages": turns(some())})),
    "kto.jsonl": ("kto", lambda: jsonl(
        lambda _: {"prompt": some(), "completion": some(), "label": pick(True, False)})),
    "news.jsonl": ("summarization", lambda: jsonl(
        lambda n: {"article": long(15), "highlights": long(2), "id": f"{n:040x}"})),
    "dialogues.csv": ("summarization", lambda: table(
        lambda n: [n, "\n".join("Amy: " + some() for _ in range(8)), some()],
        "id,dialogue,summary")),
    "wmt.jsonl": ("translation", lambda: jsonl(
        lambda _: {"translation": {"de": some(), "en": some()}})),
    "squad.jsonl": ("qa", lambda: jsonl(
        lambda n: {"id": f"56{n}", "title": some(1, 2), "context": long(), "question": some(),
                   "answers": {"text": [some(1, 3)], "answer_start": [3]}})),
    "arc.jsonl": ("qa", lambda: jsonl(
        lambda n: {"id": f"M{n}", "question": some(), "answerKey": pick("A", "B"),
                   "choices": {"text": [some(1, 3), some(1, 3)], "label": ["A", "B"]}})),
    "repr.csv": ("chat", lambda: table(lambda _: [str(turns("It's " + some()))], "messages")),
    "json.csv": ("chat", lambda: table(lambda n: [n, json.dumps(turns(some()))], "id,messages")),
    "tools.jsonl": ("tool_calls", lambda: jsonl(
        lambda _: {"messages": turns(some()), "tools": [{"function": {"name": "f"}}]})),
    "conll03.txt": ("token_classification", lambda: "-DOCSTART- -X- -X- O\n\n"
                    + conll(" NNP B-NP ")),
    "words.conllu": ("token_classification", universal),
    "pages.jsonl": ("text", lambda: jsonl(lambda _: {"text": long(), "meta": {"source": "x"}})),
    "book.md": ("text", lambda: "# Title\n\n" + "\n\n".join(long() for _ in range(ROWS))),
}  # fmt: skip


@pytest.mark.parametrize("name", list(KINDS))
def test_a_well_known_form_is_recognised(ctx: Context, tmp_path: Path, name: str) -> None:
    wanted, content = KINDS[name]
    path = tmp_path / name
    path.write_text(content(), encoding="utf-8")
    report = inspect_file(ctx, str(path))
    assert report.format == wanted
    assert report.format_confidence >= 0.6
