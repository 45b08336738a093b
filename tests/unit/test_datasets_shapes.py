"""Files in the shapes that people bring: every one is read, recognised and counted rightly."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest

from tools.context import Context
from tools.datasets.inspect import inspect_file
from tools.datasets.report import DatasetReport

ROWS = 48
NOUNS = ["lamp", "chair", "table", "clock", "phone", "cable", "mirror", "carpet", "kettle", "radio"]
VERBS = ["arrived broken", "works well", "is too small", "came late", "makes noise", "fell apart"]
PLACES = ["in Lyon", "at home", "near the harbour", "on the third floor", "by the old mill"]
LABELS = ["praise", "damage", "delivery"]


def sentence(n: int) -> str:
    chance = random.Random(n)
    return (
        f"The {chance.choice(NOUNS)} number {n} {chance.choice(VERBS)} {chance.choice(PLACES)}, "
        f"said {chance.choice(['Ada', 'Bo', 'Cy', 'Di'])}"
    )


def passage(n: int, sentences: int = 5) -> str:
    return ". ".join(sentence(100 * n + k) for k in range(sentences)) + "."


def rows_of(make: Callable[[int], Any]) -> list[Any]:
    return [make(n) for n in range(ROWS)]


def labelled(n: int) -> dict[str, Any]:
    return {"text": sentence(n), "label": LABELS[n % 3]}


def jsonl(make: Callable[[int], Any]) -> bytes:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows_of(make)).encode()


def table(make: Callable[[int], list[Any]], header: list[str] | None, **style: Any) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, **style)
    if header:
        writer.writerow(header)
    writer.writerows(rows_of(make))
    return out.getvalue().encode()


def zipped(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def workbook(**sheets: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)  # type: ignore[arg-type]
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def arrow(make: Callable[[int], dict[str, Any]], kind: str) -> bytes:
    data = pa.Table.from_pylist(rows_of(make))
    out = io.BytesIO()
    if kind == "parquet":
        pq.write_table(data, out)
    else:
        open_writer = ipc.new_file if kind == "file" else ipc.new_stream
        with open_writer(out, data.schema) as writer:
            writer.write_table(data)
    return out.getvalue()


def conll(make: Callable[[str, int], str], top: str = "") -> bytes:
    def block(n: int) -> str:
        return "\n".join(make(word, k) for k, word in enumerate(sentence(n).split()))

    return (top + "\n\n".join(rows_of(block)) + "\n").encode()


def tag(word: str, k: int) -> str:
    return "B-PER" if word in ("Ada", "Bo", "Cy", "Di") else "B-LOC" if word == "Lyon" else "O"


def turns(*said: str, keys: tuple[str, str] = ("role", "content")) -> list[dict[str, str]]:
    names = ["system", "human", "gpt", "human", "gpt"] if keys[0] == "from" else [
        "system", "user", "assistant", "user", "assistant"
    ]  # fmt: skip
    return [{keys[0]: names[k], keys[1]: text} for k, text in enumerate(said)]


def squad(n: int) -> dict[str, Any]:
    return {"title": f"t{n}", "paragraphs": [{"context": passage(n), "qas": [
        {"id": f"q{n}", "question": f"What arrived as number {n}?",
         "answers": [{"text": "The lamp", "answer_start": 0}]}]}]}  # fmt: skip


def german(n: int) -> str:
    chance = random.Random(n)
    return f"Die {chance.choice(['Lampe', 'Uhr', 'Tasse'])} Nummer {n} ist nicht gut und zu klein"


CLASS, TAGS, CHAT = "classification", "token_classification", "chat"
SHAPES: dict[str, tuple[str, int, Callable[[], bytes]]] = {
    "quoted-text-bare-label.csv": (CLASS, ROWS, lambda: (
        "Nachricht;Stimmung\n" + "".join(
            f'"{sentence(n)}; sagt sie, Größe {n}";{LABELS[n % 3]}\n' for n in range(ROWS)
        )
    ).encode("latin-1")),
    "no-header-text-and-label.txt": (CLASS, ROWS, lambda: "".join(
        f"{sentence(n).replace(',', '')};{LABELS[n % 3]}\n" for n in range(ROWS)).encode()),
    "semicolons.csv": (CLASS, ROWS, lambda: table(
        lambda n: [sentence(n), LABELS[n % 3]], ["text", "label"], delimiter=";")),
    "pipes.txt": (CLASS, ROWS, lambda: table(
        lambda n: [sentence(n).replace(",", ""), LABELS[n % 3]], ["text", "label"],
        delimiter="|")),
    "quoted_newlines.csv": (CLASS, ROWS, lambda: table(
        lambda n: [f'{sentence(n)}\nHe said "no", then\n\nleft', LABELS[n % 3]],
        ["text", "label"])),
    "tabs_without_header.txt": (CLASS, ROWS, lambda: table(
        lambda n: [sentence(n), LABELS[n % 3]], None, delimiter="\t")),
    "label_first.csv": (CLASS, ROWS, lambda: table(
        lambda n: [n % 3, sentence(n)], None)),
    "meaningless_names.csv": (CLASS, ROWS, lambda: table(
        lambda n: [n, LABELS[n % 3], sentence(n), f"2024-01-{n % 28 + 1:02d}"],
        ["c0", "c1", "c2", "c3"])),
    "german_names.csv": (CLASS, ROWS, lambda: table(
        lambda n: [german(n), ["gut", "schlecht"][n % 2]], ["Nachricht", "Kategorie"],
        delimiter=";")),
    "japanese_names.csv": (CLASS, ROWS, lambda: table(
        lambda n: [f"商品{n}番は壊れていましたので返品したいです", ["返品", "質問"][n % 2]],
        ["本文", "分類"])),
    "utf16.tsv": (CLASS, ROWS, lambda: table(
        lambda n: [f"{sentence(n)} é", LABELS[n % 3]], ["text", "label"],
        delimiter="\t").decode().encode("utf-16")),
    "latin1_crlf.csv": (CLASS, ROWS, lambda: table(
        lambda n: [f"{sentence(n)} à côté du café", LABELS[n % 3]], ["text", "label"]
        ).decode().encode("latin-1")),
    "index_column.csv": (CLASS, ROWS, lambda: table(
        lambda n: [n, sentence(n), LABELS[n % 3]], ["", "text", "label"])),
    "true_false.jsonl": (CLASS, ROWS, lambda: jsonl(
        lambda n: {"comment": sentence(n), "is_toxic": n % 3 == 0})),
    "multi_label.jsonl": (CLASS, ROWS, lambda: jsonl(
        lambda n: {"text": sentence(n), "labels": [LABELS[n % 3], LABELS[(n + 1) % 3]][: n % 2 + 1]}
        )),
    "nested.json": (CLASS, ROWS, lambda: json.dumps({"data": rows_of(labelled)}).encode()),
    "versioned.json": (CLASS, ROWS, lambda: json.dumps(
        {"version": "1.0", "licence": "x", "examples": rows_of(labelled)}).encode()),
    "splits.json": (CLASS, 2 * ROWS, lambda: json.dumps(
        {"train": rows_of(labelled), "test": rows_of(lambda n: labelled(n + 500))}).encode()),
    "columns.json": (CLASS, ROWS, lambda: json.dumps(
        {"text": rows_of(sentence), "label": rows_of(lambda n: LABELS[n % 3])}).encode()),
    "lines.json": (CLASS, ROWS, lambda: jsonl(labelled)),
    "pretty.json": (CLASS, ROWS, lambda: json.dumps(rows_of(labelled), indent=2).encode()),
    "packed.jsonl.gz": (CLASS, ROWS, lambda: gzip.compress(jsonl(labelled))),
    "packed.json.gz": (CLASS, ROWS, lambda: gzip.compress(
        json.dumps({"data": rows_of(labelled)}).encode())),
    "table.zip": (CLASS, ROWS, lambda: zipped("x/y.tsv", table(
        lambda n: [sentence(n), LABELS[n % 3]], ["text", "label"], delimiter="\t"))),
    "chat.zip": (CHAT, ROWS, lambda: zipped("chat.jsonl", jsonl(
        lambda n: {"messages": turns("Be kind", sentence(n), passage(n, 1))}))),
    "parquet.zip": (CLASS, ROWS, lambda: zipped("a.parquet", arrow(labelled, "parquet"))),
    "nested.parquet": (CHAT, ROWS, lambda: arrow(
        lambda n: {"id": f"a{n}", "messages": turns("", sentence(n), passage(n, 1))[1:]},
        "parquet")),
    "answers.parquet": ("qa", ROWS, lambda: arrow(
        lambda n: {"id": str(n), "context": passage(n), "question": f"What is number {n}?",
                   "answers": {"text": ["The lamp"], "answer_start": [0]}}, "parquet")),
    "file.arrow": (CLASS, ROWS, lambda: arrow(labelled, "file")),
    "stream.arrow": (CLASS, ROWS, lambda: arrow(labelled, "stream")),
    "sheets.xlsx": (CLASS, ROWS, lambda: workbook(
        Notes=[["Read me"], ["This book holds reviews"]],
        Data=[["text", "label"], *rows_of(lambda n: [sentence(n), LABELS[n % 3]])],
        Empty=[])),
    "titled.xlsx": (CLASS, ROWS, lambda: workbook(
        Reviews=[["Reviews of 2024"], [], ["Text", "Label"],
                 *rows_of(lambda n: [sentence(n), LABELS[n % 3]])])),
    "two.conll": (TAGS, ROWS, lambda: conll(lambda w, k: f"{w} {tag(w, k)}")),
    "tabbed.txt": (TAGS, ROWS, lambda: conll(lambda w, k: f"{w}\t{tag(w, k)}")),
    "three.txt": (TAGS, ROWS, lambda: conll(lambda w, k: f"{w} NN {tag(w, k)}")),
    "four.txt": (TAGS, ROWS, lambda: conll(
        lambda w, k: f"{w} NN B-NP {tag(w, k)}", "-DOCSTART- -X- -X- O\n\n")),
    "tag_lists.jsonl": (TAGS, ROWS, lambda: jsonl(
        lambda n: {"id": n, "tokens": sentence(n).split(),
                   "ner_tags": [int(tag(w, 0) != "O") for w in sentence(n).split()]})),
    "tag_text.csv": (TAGS, ROWS, lambda: table(
        lambda n: [str(sentence(n).split()), str([tag(w, 0) for w in sentence(n).split()])],
        ["tokens", "tags"])),
    "sharegpt.json": ("sharegpt", ROWS, lambda: json.dumps(rows_of(
        lambda n: {"id": str(n), "conversations": turns(
            "Be kind", sentence(n), passage(n, 1), keys=("from", "value"))})).encode()),
    "sharegpt_tools.jsonl": ("sharegpt", ROWS, lambda: jsonl(
        lambda n: {"conversations": [
            *turns("Be kind", sentence(n), keys=("from", "value")),
            {"from": "function_call", "value": '{"name": "find", "arguments": {}}'},
            {"from": "tool", "value": "42"}, {"from": "gpt", "value": passage(n, 1)}]})),
    "alpaca.json": ("alpaca", ROWS, lambda: json.dumps(rows_of(
        lambda n: {"instruction": f"Repeat: {sentence(n)}", "input": "",
                   "output": passage(n, 2)})).encode()),
    "alpaca_text.jsonl": ("alpaca", ROWS, lambda: jsonl(
        lambda n: {"instruction": f"Repeat: {sentence(n)}", "input": "", "output": passage(n, 2),
                   "text": f"Below is an instruction. {sentence(n)} {passage(n, 2)}"})),
    "kto.jsonl": ("kto", ROWS, lambda: jsonl(
        lambda n: {"prompt": sentence(n), "completion": passage(n, 1), "label": n % 2 == 0})),
    "kto_chat.jsonl": ("kto", ROWS, lambda: jsonl(
        lambda n: {"prompt": turns("", sentence(n))[1:],
                   "completion": [{"role": "assistant", "content": passage(n, 1)}],
                   "label": n % 2 == 0})),
    "pairs.jsonl": ("preference", ROWS, lambda: jsonl(
        lambda n: {"prompt": turns("", sentence(n))[1:],
                   "chosen": [{"role": "assistant", "content": passage(n, 1)}],
                   "rejected": [{"role": "assistant", "content": "No."}]})),
    "calls.jsonl": ("tool_calls", ROWS, lambda: jsonl(
        lambda n: {"messages": [
            {"role": "user", "content": sentence(n)},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "1", "type": "function",
                 "function": {"name": "find", "arguments": '{"x": 1}'}}]},
            {"role": "tool", "tool_call_id": "1", "content": "42"},
            {"role": "assistant", "content": passage(n, 1)}],
            "tools": [{"type": "function", "function": {"name": "find"}}]})),
    "calls_without_tools.jsonl": ("tool_calls", ROWS, lambda: jsonl(
        lambda n: {"messages": [
            {"role": "user", "content": sentence(n)},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "1", "type": "function",
                 "function": {"name": "find", "arguments": '{"x": 1}'}}]},
            {"role": "tool", "tool_call_id": "1", "content": "42"},
            {"role": "assistant", "content": passage(n, 1)}]})),
    "bare_lists.jsonl": (CHAT, ROWS, lambda: jsonl(
        lambda n: turns("Be kind", sentence(n), passage(n, 1)))),
    "squad.json": ("qa", ROWS, lambda: json.dumps(
        {"version": "1.1", "data": rows_of(squad)}).encode()),
    "flat.csv": ("qa", ROWS, lambda: table(
        lambda n: [passage(n), f"What is number {n}?", "the lamp" if n % 2 else f"the clock {n}"],
        ["context", "question", "answer"])),
    "wmt.json": ("translation", ROWS, lambda: json.dumps(rows_of(
        lambda n: {"translation": {"en": sentence(n), "de": german(n)}})).encode()),
    "languages.csv": ("translation", ROWS, lambda: table(
        lambda n: [sentence(n), german(n)], ["English", "German"])),
    "source_target.tsv": ("translation", ROWS, lambda: table(
        lambda n: [f"The {n} chairs are in the house and it is not for you", german(n)],
        ["source", "target"], delimiter="\t")),
    "news.csv": ("summarization", ROWS, lambda: table(
        lambda n: [f"{n:040x}", passage(n, 12), sentence(n)], ["id", "article", "highlights"])),
    "titles.jsonl": ("summarization", ROWS, lambda: jsonl(
        lambda n: {"document": passage(n, 12), "summary": sentence(n)})),
    "request_reply.csv": ("prompt_completion", ROWS, lambda: table(
        lambda n: [sentence(n), passage(n, 2)], ["user", "assistant"])),
    "nameless_pairs.csv": ("prompt_completion", ROWS, lambda: table(
        lambda n: [f"{sentence(n)}?", passage(n, 2)], ["a1", "b2"])),
    "pages.txt": ("text", 95, lambda: "\n\n".join(rows_of(passage)).encode()),
}  # fmt: skip


def look(ctx: Context, path: Path) -> DatasetReport:
    return inspect_file(ctx, str(path))


@pytest.mark.parametrize("name", list(SHAPES))
def test_a_shape_is_read_and_recognised(ctx: Context, tmp_path: Path, name: str) -> None:
    form, rows, content = SHAPES[name]
    path = tmp_path / name
    path.write_bytes(content())
    report = look(ctx, path)
    assert (report.format, report.rows) == (form, rows), report.reason
    assert report.usable_rows or form == "text"
    assert report.objective is not None


FOLDERS: dict[str, tuple[str, dict[str, int], dict[str, Callable[[], bytes]]]] = {
    "hub": (CLASS, {"train": ROWS, "validation": ROWS, "test": ROWS}, {
        "data/train-00000-of-00001.parquet": lambda: arrow(labelled, "parquet"),
        "data/validation-00000-of-00001.parquet": lambda: arrow(labelled, "parquet"),
        "data/test-00000-of-00001.parquet": lambda: arrow(labelled, "parquet"),
        "README.md": lambda: b"# words"}),
    "shards": (CLASS, {"train": 2 * ROWS}, {
        "train-00000-of-00002.jsonl": lambda: jsonl(labelled),
        "train-00001-of-00002.jsonl": lambda: jsonl(lambda n: labelled(n + 900))}),
    "dev": (CLASS, {"train": ROWS, "validation": ROWS}, {
        "sst_train.tsv": lambda: table(
            lambda n: [sentence(n), n % 2], ["sentence", "label"], delimiter="\t"),
        "sst_dev.tsv": lambda: table(
            lambda n: [sentence(n), n % 2], ["sentence", "label"], delimiter="\t")}),
    "by_folder": (CLASS, {"train": ROWS, "test": ROWS}, {
        "train/part.csv": lambda: table(
            lambda n: [sentence(n), LABELS[n % 3]], ["text", "label"]),
        "test/part.csv": lambda: table(
            lambda n: [sentence(n), LABELS[n % 3]], ["text", "label"])}),
    "parallel": (CLASS, {"train": ROWS, "test": ROWS}, {
        "train_text.txt": lambda: "\n".join(rows_of(sentence)).encode(),
        "train_labels.txt": lambda: "\n".join(str(n % 3) for n in range(ROWS)).encode(),
        "test_text.txt": lambda: "\n".join(rows_of(sentence)).encode(),
        "test_labels.txt": lambda: "\n".join(str(n % 3) for n in range(ROWS)).encode()}),
    "conll": (TAGS, {"train": ROWS, "validation": ROWS}, {
        "eng.train": lambda: conll(lambda w, k: f"{w} NN {tag(w, k)}"),
        "eng.valid": lambda: conll(lambda w, k: f"{w} NN {tag(w, k)}")}),
    "packed": (CLASS, {"train": ROWS, "test": ROWS}, {
        "train.jsonl.gz": lambda: gzip.compress(jsonl(labelled)),
        "test.jsonl.gz": lambda: gzip.compress(jsonl(labelled))}),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FOLDERS))
@pytest.mark.parametrize("as_zip", [False, True])
def test_a_folder_or_a_zip_of_splits_is_one_dataset(
    ctx: Context, tmp_path: Path, name: str, as_zip: bool
) -> None:
    form, splits, files = FOLDERS[name]
    folder = tmp_path / "set"
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content())
    if as_zip:
        folder = tmp_path / "set.zip"
        with zipfile.ZipFile(folder, "w") as archive:
            for file, content in files.items():
                archive.writestr(f"set/{file}", content())
    report = look(ctx, folder)
    assert (report.format, report.splits) == (form, splits)


def test_names_of_numbered_labels_that_stand_beside_them_are_used(
    ctx: Context, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_bytes(jsonl(lambda n: {"text": sentence(n), "label": n % 3}))
    (folder / "labels.txt").write_text("\n".join(LABELS))
    assert set(look(ctx, folder).label_counts) == set(LABELS)
    numbered = tmp_path / "numbered.jsonl"
    numbered.write_bytes(
        jsonl(lambda n: {"text": sentence(n), "label": n % 3, "label_text": LABELS[n % 3]})
    )
    assert set(look(ctx, numbered).label_counts) == set(LABELS)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("pictures.csv", lambda n: {"image": f"img_{n}.png", "width": n * 7}),
        ("numbers.csv", lambda n: {"x": n * 1.5, "y": n * n}),
        ("keys.csv", lambda n: {"id": f"a{n}f3", "when": f"2024-01-{n % 28 + 1:02d}"}),
    ],
)
def test_what_holds_no_text_is_unusable_and_the_nearest_form_is_named(
    ctx: Context, tmp_path: Path, name: str, make: Callable[[int], dict[str, Any]]
) -> None:
    path = tmp_path / name
    rows = rows_of(make)
    path.write_bytes(table(lambda n: list(rows[n].values()), list(rows[0])))
    report = look(ctx, path)
    assert report.format == "unknown"
    found = {p.code: p for p in report.problems}
    assert found["unusable"].severity == "error"
    assert "column" in found["unusable"].fix
