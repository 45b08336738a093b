"""Large files are counted whole and looked at evenly, and the report says which is which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tools.context import Context
from tools.datasets.detect import look
from tools.datasets.inspect import inspect_file
from tools.datasets.json_rows import json_lines
from tools.datasets.languages import language_of_text, languages_of
from tools.datasets.row import NUMBER, ReadLog
from tools.datasets.sampled import EvenSample
from tools.datasets.scan import connect

ROWS = 6_000


@pytest.fixture(autouse=True)
def small_files_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.datasets.scan.LARGE_BYTES", 1000)
    monkeypatch.setattr("tools.datasets.large.LOOK_ROWS", 600)


def row(n: int) -> dict[str, Any]:
    word = ("lamp", "chair", "clock", "kettle", "mirror")[n % 5]
    return {"text": f"Parcel {n} with the {word} came {'late' * (n % 3)} on day {n % 97}",
            "label": "ab"[n % 2]}  # fmt: skip


def lines(count: int = ROWS, first: int = 0) -> str:
    return "\n".join(json.dumps(row(first + n)) for n in range(count))


def test_all_rows_are_counted_and_a_sample_of_all_parts_is_looked_at(
    ctx: Context, tmp_path: Path
) -> None:
    path = tmp_path / "large.jsonl"
    path.write_text(f"{lines()}\n{json.dumps(row(3))}\n")
    report = inspect_file(ctx, str(path))
    assert report.rows == ROWS + 1
    assert report.sampled
    assert 500 <= (report.looked_at or 0) <= 800
    assert sum(report.label_counts.values()) == ROWS + 1
    assert abs(sum(b.rows for b in report.length_histogram) - report.usable_rows) < 10
    counted = next(p for p in report.problems if p.code == "exact_duplicates")
    assert counted.count == 1
    assert report.preview[-1].row > ROWS // 2
    assert "even sample" in report.text()


def test_what_is_found_in_the_sample_has_its_row_in_the_file(ctx: Context, tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    rows = [row(n) for n in range(ROWS)]
    for n in range(0, ROWS, 10):
        rows[n]["text"] += " write to mia@post.net"
    path.write_text("\n".join(map(json.dumps, rows)))
    found = {p.code: p for p in inspect_file(ctx, str(path)).problems}["personal_data"]
    assert found.rows
    assert all(n % 10 == 0 for n in found.rows)
    assert found.message.startswith("Among the ")


def test_splits_of_a_large_folder_are_counted_whole(ctx: Context, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text(lines())
    (folder / "test.jsonl").write_text(lines(2000, first=90_000))
    report = inspect_file(ctx, str(folder))
    assert (report.rows, report.splits) == (ROWS + 2000, {"train": ROWS, "test": 2000})


@pytest.mark.parametrize("name", ["large.csv", "large.parquet"])
def test_other_large_forms_give_the_same(ctx: Context, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = [row(n) for n in range(ROWS)]
    if name.endswith("csv"):
        path.write_text("text,label\n" + "\n".join(f'"{r["text"]}",{r["label"]}' for r in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    report = inspect_file(ctx, str(path))
    assert (report.rows, report.format) == (ROWS, "classification")
    assert report.label_counts == {"a": ROWS // 2, "b": ROWS // 2}
    assert 500 <= (report.looked_at or 0) <= 800


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("gap", [0, 7, 400])
def test_a_sample_numbers_rows_as_the_reader_of_all_does(
    tmp_path: Path, end: str, gap: int
) -> None:
    path = tmp_path / "rows.jsonl"
    parts = [json.dumps({**row(n), "text": "word " * (n % 60)}) for n in range(9_000)]
    if gap:
        parts = [f"{line}{end}" if n % gap == 0 else line for n, line in enumerate(parts)]
    path.write_bytes(end.join(parts).encode())
    opened, wanted = look(path), EvenSample(100, 13, base=250)
    everything = list(json_lines(opened, ReadLog()))
    log = ReadLog()
    some = list(json_lines(opened, log, wanted))
    assert some == [r for r in everything if wanted(r[NUMBER])]
    assert log.seen == len(everything) == 9_000


def test_the_progress_of_a_scan_is_not_printed(tmp_path: Path) -> None:
    with connect(str(tmp_path)) as db:
        shown = db.execute("SELECT current_setting('enable_progress_bar')").fetchone()
    assert shown == (False,)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The parcel came late and the lamp in it was broken, so I sent it back to you", "en"),
        ("Das Paket kam zu spät und die Lampe ist nicht ganz, ich habe es zurück geschickt", "de"),
        ("Le colis est arrivé en retard et la lampe qui est dans la boîte ne marche pas", "fr"),
        ("El paquete llegó tarde y la lámpara que está en la caja no funciona para mí", "es"),
        ("Посылка пришла поздно, и эта лампа была разбита, мы её вернули", "ru"),
        ("Посилка прийшла пізно, і лампа в ній була розбита, її повернули", "uk"),
        ("荷物が遅れて届き、ランプが壊れていました", "ja"),
        ("包裹来得很晚，里面的灯坏了", "zh"),
        ("소포가 늦게 왔고 램프가 깨졌습니다", "ko"),
        ("وصل الطرد متأخرا وكان المصباح مكسورا", "ar"),
        ("बहुत देर से पार्सल आया और दीपक टूटा हुआ था", "hi"),
        ("x = 1; y = 2", None),
    ],
)
def test_a_language_is_told_or_left_open(text: str, code: str | None) -> None:
    assert language_of_text(text, least_words=8) == code


def test_several_languages_are_named_by_their_share() -> None:
    english = "The parcel came late and the lamp in it was broken, so I sent it back"
    german = "Das Paket kam zu spät und die Lampe ist nicht ganz, ich habe es zurück geschickt"
    assert languages_of([english] * 7 + [german] * 3) == ["en", "de"]
    assert languages_of([english] * 30 + [german]) == ["en"]
