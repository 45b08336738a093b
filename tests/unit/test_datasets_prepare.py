"""Preparing: mapped, cleaned, split, versioned, and nothing half-made left behind."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tools.context import Context
from tools.datasets.manifest import Manifest
from tools.datasets.prepare import PrepareOptions, map_file, prepare
from tools.errors import BadInput, NotFound, Unavailable

WORDS = [
    "lamp",
    "chair",
    "table",
    "clock",
    "phone",
    "cable",
    "mirror",
    "carpet",
    "kettle",
    "radio",
    "pillow",
    "basket",
]


def rows_of(manifest: Manifest, ctx: Context, split: str) -> list[dict[str, Any]]:
    folder = ctx.settings.dataset_folder(manifest.id)
    rows: list[dict[str, Any]] = pq.read_table(folder / f"{split}.parquet").to_pylist()
    return rows


def texts() -> Iterator[str]:
    for one in WORDS:
        for two in WORDS:
            if one != two:
                yield f"My {one} came without the {two}"


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    """132 rows, three labels of very different size, four repeated rows, two empty ones."""
    rows = [
        {"text": text, "label": "rare" if n % 40 == 0 else "odd" if n % 5 == 0 else "common"}
        for n, text in enumerate(texts())
    ]
    rows += [*rows[:4], {"text": " ", "label": "odd"}, {"text": "No label here", "label": ""}]
    path = tmp_path / "tickets.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_a_version_holds_messages_labels_and_source_rows(ctx: Context, tickets: Path) -> None:
    manifest = prepare(ctx, str(tickets))
    row = rows_of(manifest, ctx, "train")[0]
    assert row["prompt"] == [{"role": "user", "content": row["prompt"][0]["content"]}]
    assert row["completion"] == [{"role": "assistant", "content": row["label"]}]
    assert manifest.labels == ("common", "odd", "rare")
    assert manifest.objective == "prompt_completion"
    assert sum(manifest.splits.values()) == 132


def test_every_label_stands_in_both_splits(ctx: Context, tickets: Path) -> None:
    manifest = prepare(ctx, str(tickets))
    for split in ("train", "validation"):
        labels = Counter(row["label"] for row in rows_of(manifest, ctx, split))
        assert set(labels) == {"common", "odd", "rare"}
    assert 0.1 < manifest.splits["validation"] / 132 < 0.2


def test_rows_that_say_the_same_never_straddle_the_split(ctx: Context, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"text": variant, "label": "ab"[n % 2]}
        for n, text in enumerate(texts())
        for variant in (text, text.upper() + "!", f"{text}.")
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    manifest = prepare(ctx, str(path), PrepareOptions(dedupe=False))
    seen = {
        split: {
            r["prompt"][0]["content"].strip(".!").lower() for r in rows_of(manifest, ctx, split)
        }
        for split in ("train", "validation")
    }
    assert len(seen["validation"]) > 10
    assert not seen["train"] & seen["validation"]


def test_the_same_call_gives_the_same_version_and_the_source_stays(
    ctx: Context, tickets: Path
) -> None:
    before = hashlib.sha256(tickets.read_bytes()).hexdigest()
    first = prepare(ctx, str(tickets))
    again = prepare(ctx, str(tickets))
    assert first == again
    assert hashlib.sha256(tickets.read_bytes()).hexdigest() == before == first.source_sha256
    assert [record.id for record in ctx.store.datasets()] == [first.id]


def test_other_options_or_bytes_give_another_version(ctx: Context, tickets: Path) -> None:
    first = prepare(ctx, str(tickets))
    second = prepare(ctx, str(tickets), PrepareOptions(eval_fraction=0.3))
    tickets.write_text(tickets.read_text() + '\n{"text": "One more", "label": "odd"}')
    third = prepare(ctx, str(tickets))
    assert len({first.fingerprint, second.fingerprint, third.fingerprint}) == 3
    assert second.splits["validation"] > first.splits["validation"]


def test_a_version_id_or_folder_is_accepted_where_a_dataset_is(ctx: Context, tickets: Path) -> None:
    first = prepare(ctx, str(tickets))
    assert prepare(ctx, first.id) == first
    assert prepare(ctx, str(ctx.settings.dataset_folder(first.id))) == first
    other = prepare(ctx, first.id, PrepareOptions(eval_fraction=0.3))
    assert other.source_sha256 == first.source_sha256
    assert other.id != first.id


def test_an_unknown_version_is_not_found(ctx: Context) -> None:
    with pytest.raises(NotFound):
        prepare(ctx, "tickets@0123abcd")


def test_three_rows_are_too_few(ctx: Context, tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("text,label\none thing,a\nother thing,b\nthird thing,a\n")
    with pytest.raises(BadInput, match="too few") as caught:
        prepare(ctx, str(path))
    assert "two rows for each" in caught.value.hint
    assert not list((ctx.settings.home / "datasets").glob("*"))


def test_one_column_with_rows_is_plain_text(ctx: Context, tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    path.write_text("text\n" + "\n".join(texts()))
    manifest = prepare(ctx, str(path))
    assert manifest.objective == "text"


def test_a_wish_for_a_missing_column_offers_the_nearest(ctx: Context, tickets: Path) -> None:
    with pytest.raises(BadInput) as caught:
        prepare(ctx, str(tickets), PrepareOptions(output_column="lable"))
    assert "Did you mean label?" in caught.value.hint


def test_pairs_of_answers_say_what_can_be_done(ctx: Context, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Why {t}?", "chosen": f"Since {t}.", "rejected": "No."} for t in texts()]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(BadInput) as caught:
        prepare(ctx, str(path))
    assert "chosen" in caught.value.hint
    manifest = prepare(ctx, str(path), PrepareOptions(output_column="chosen"))
    assert manifest.format == "prompt_completion"


def test_a_template_makes_the_prompt_and_its_last_hole_the_answer(
    ctx: Context, tickets: Path
) -> None:
    template = r"### Ticket: {text}\n### Label: {label}"
    manifest = prepare(ctx, str(tickets), PrepareOptions(template=template))
    row = rows_of(manifest, ctx, "train")[0]
    assert row["prompt"][0]["content"].startswith("### Ticket: My ")
    assert row["prompt"][0]["content"].endswith("\n### Label:")
    assert row["completion"][0]["content"] == row["label"]


def test_a_template_with_an_unknown_column_is_refused(ctx: Context, tickets: Path) -> None:
    with pytest.raises(BadInput) as caught:
        prepare(ctx, str(tickets), PrepareOptions(template="{txt} {label}"))
    assert "Did you mean text?" in caught.value.hint


def test_a_full_disk_leaves_nothing_behind(
    ctx: Context, tickets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tools.datasets.prepare._write_splits", full)
    with pytest.raises(Unavailable, match="disk is full"):
        prepare(ctx, str(tickets))
    assert not list((ctx.settings.home / "datasets").glob("*"))


def test_a_held_out_file_is_read_in_the_same_form(
    ctx: Context, tickets: Path, tmp_path: Path
) -> None:
    manifest = prepare(ctx, str(tickets))
    other = tmp_path / "heldout.csv"
    other.write_text("text,label,half\nMy sofa broke,odd,seen\nMy bed broke,rare,unseen\n")
    rows = list(map_file(other, manifest, columns=("half",)))
    assert [row["half"] for row in rows] == ["seen", "unseen"]
    assert rows[0]["prompt"] == [{"role": "user", "content": "My sofa broke"}]
    assert rows[1]["label"] == "rare"


def test_a_held_out_file_without_the_columns_is_refused(
    ctx: Context, tickets: Path, tmp_path: Path
) -> None:
    manifest = prepare(ctx, str(tickets))
    other = tmp_path / "other.csv"
    other.write_text("body,mark\nMy sofa broke badly today,1\nMy bed broke,2\n")
    with pytest.raises(BadInput, match="has no column"):
        list(map_file(other, manifest))


def test_given_splits_are_kept_and_leaks_leave_the_training(ctx: Context, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    rows = [json.dumps({"question": f"Where is it: {t}?", "answer": f"Here: {t}"}) for t in texts()]
    (folder / "train.jsonl").write_text("\n".join(rows[:100]))
    (folder / "test.jsonl").write_text("\n".join(rows[90:120]))
    manifest = prepare(ctx, str(folder))
    assert manifest.splits["test"] == 30
    assert manifest.splits["train"] + manifest.splits["validation"] == 90


def test_conversations_end_with_the_assistant(ctx: Context, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    rows = [
        {"conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": f"Hello {t}"},
            {"from": "gpt", "value": f"Good day {t}"},
            {"from": "human", "value": "Bye"},
        ]}
        for t in texts()
    ]  # fmt: skip
    path.write_text(json.dumps(rows))
    manifest = prepare(ctx, str(path))
    messages = rows_of(manifest, ctx, "train")[0]["messages"]
    assert manifest.objective == "chat"
    assert [m["role"] for m in messages] == ["system", "user", "assistant"]
