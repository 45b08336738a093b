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


def prepared_rows(ctx: Context, tmp_path: Path, rows: list[dict[str, Any]]) -> tuple[Manifest, Any]:
    path = tmp_path / "judged.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    manifest = prepare(ctx, str(path))
    return manifest, sorted(
        (row for split in manifest.splits for row in rows_of(manifest, ctx, split)),
        key=lambda row: row["row"],
    )


def said(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def pairs_in_every_shape() -> list[tuple[str, list[dict[str, Any]]]]:
    def shape(make: Any) -> list[dict[str, Any]]:
        return [make(f"Why is it: {t}?", f"Since {t}.", f"No idea about {t}.") for t in texts()]

    return [
        ("plain", shape(lambda q, a, b: {"prompt": q, "chosen": a, "rejected": b})),
        ("whole conversations", shape(lambda q, a, b: {
            "prompt": q, "prompt_id": q[::-1],
            "chosen": [said("user", q), said("assistant", a)],
            "rejected": [said("user", q), said("assistant", b)]})),
        ("answers as messages", shape(lambda q, a, b: {
            "prompt": [said("user", q)], "chosen": [said("assistant", a)],
            "rejected": [said("assistant", b)]})),
        ("one turn each", shape(lambda q, a, b: {
            "conversations": [{"from": "human", "value": q}],
            "chosen": {"from": "gpt", "value": a}, "rejected": {"from": "gpt", "value": b}})),
        ("transcripts", shape(lambda q, a, b: {
            "chosen": f"\n\nHuman: {q}\n\nAssistant: {a}",
            "rejected": f"\n\nHuman: {q}\n\nAssistant: {b}"})),
        ("other names", shape(lambda q, a, b: {
            "question": q, "preferred_answer": a, "rejected_answer": b})),
        ("instruction", shape(lambda q, a, b: {
            "instruction": q, "input": "", "chosen": a, "rejected": b})),
    ]  # fmt: skip


@pytest.mark.parametrize(("shape", "rows"), pairs_in_every_shape())
def test_pairs_of_answers_become_one_form(
    ctx: Context, tmp_path: Path, shape: str, rows: list[dict[str, Any]]
) -> None:
    manifest, out = prepared_rows(ctx, tmp_path, rows)
    first = next(texts())
    assert (manifest.format, manifest.objective, len(out)) == ("preference", "dpo", 132)
    assert out[0]["prompt"] == [said("user", f"Why is it: {first}?")]
    assert out[0]["chosen"] == [said("assistant", f"Since {first}.")]
    assert out[0]["rejected"] == [said("assistant", f"No idea about {first}.")]


def test_the_better_answers_alone_can_be_trained(ctx: Context, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, pairs_in_every_shape()[0][1])))
    manifest = prepare(ctx, str(path), PrepareOptions(output_column="chosen"))
    assert (manifest.format, manifest.objective) == ("prompt_completion", "prompt_completion")


@pytest.mark.parametrize("verdicts", [(True, False), ("true", "false"), (1, 0)])
def test_judged_answers_keep_their_verdict(
    ctx: Context, tmp_path: Path, verdicts: tuple[Any, Any]
) -> None:
    rows = [
        {"prompt": f"Why is it: {t}?", "completion": f"Since {t}.", "label": verdicts[n % 2]}
        for n, t in enumerate(texts())
    ]
    manifest, out = prepared_rows(ctx, tmp_path, rows)
    assert (manifest.format, manifest.objective) == ("kto", "kto")
    assert [row["label"] for row in out[:4]] == [True, False, True, False]
    assert out[0]["completion"] == [said("assistant", rows[0]["completion"])]


def test_judged_conversations_keep_what_was_said_before(ctx: Context, tmp_path: Path) -> None:
    rows = [
        {"messages": [said("user", "Hello"), said("assistant", "Yes?"), said("user", t),
                      said("assistant", f"Since {t}.")], "kto_tag": n % 2 == 0}
        for n, t in enumerate(texts())
    ]  # fmt: skip
    manifest, out = prepared_rows(ctx, tmp_path, rows)
    assert manifest.objective == "kto"
    assert [m["role"] for m in out[0]["prompt"]] == ["user", "assistant", "user"]
    assert out[0]["completion"][0]["content"].startswith("Since My lamp")


@pytest.mark.parametrize("as_text", [False, True])
def test_tagged_words_stay_words_and_tags(ctx: Context, tmp_path: Path, as_text: bool) -> None:
    rows = []
    for text in texts():
        words = text.split()
        tags = ["B-THING" if word in WORDS else "O" for word in words]
        rows.append({"tokens": words, "ner_tags": tags})
    if as_text:
        rows = [{key: json.dumps(value) for key, value in row.items()} for row in rows]  # type: ignore[misc]
    manifest, out = prepared_rows(ctx, tmp_path, rows)
    assert (manifest.objective, manifest.labels) == ("token_classification", ("O", "B-THING"))
    assert out[0]["tokens"] == next(texts()).split()
    assert len(out[0]["tags"]) == len(out[0]["tokens"])


def test_a_version_of_a_version_names_its_parent_and_keeps_its_fixes(
    ctx: Context, tickets: Path
) -> None:
    first = prepare(ctx, str(tickets), PrepareOptions(fixes=("personal_data",)))
    second = prepare(ctx, first.id, PrepareOptions(fixes=("label_variants",), eval_fraction=0.3))
    assert (first.parent, second.parent) == (None, first.id)
    assert set(second.options["fixes"]) == {"control_tokens", "personal_data", "label_variants"}
    again = prepare(ctx, first.id, PrepareOptions(fixes=("label_variants",), eval_fraction=0.3))
    assert again == second
    tickets.write_text(tickets.read_text() + "\n")
    with pytest.raises(BadInput, match="has changed"):
        prepare(ctx, first.id, PrepareOptions(eval_fraction=0.2))


def test_a_cure_that_preparing_does_anyway_gives_the_same_version(
    ctx: Context, tickets: Path
) -> None:
    plain = prepare(ctx, str(tickets))
    asked = prepare(ctx, str(tickets), PrepareOptions(fixes=("exact_duplicates", "empty_answers")))
    assert asked == plain


def test_added_rows_are_labelled_and_never_judged_by(ctx: Context, tickets: Path) -> None:
    plain = prepare(ctx, str(tickets))
    options = PrepareOptions(augment=("typos", "word_swap", "case"))
    more = prepare(ctx, str(tickets), options)
    train, held = rows_of(more, ctx, "train"), rows_of(more, ctx, "validation")
    added = [row for row in train if row["synthetic"]]
    assert len(added) == more.synthetic == more.splits["train"] - plain.splits["train"] > 200
    assert not any(row["synthetic"] for row in held)
    origin = {row["row"]: row for row in train if not row["synthetic"]}
    for row in added:
        assert row["label"] == origin[row["row"]]["label"]
        assert row["prompt"] != origin[row["row"]]["prompt"]
    step = more.steps[-1]
    assert (step.name, step.rows_after - step.rows_before) == ("augment", more.synthetic)
    assert prepare(ctx, more.id, PrepareOptions(augment=("case", "typos", "word_swap"))) == more


def test_conversations_are_not_augmented(ctx: Context, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    rows = [{"messages": [said("user", t), said("assistant", "Yes")]} for t in texts()]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(BadInput, match="augmented"):
        prepare(ctx, str(path), PrepareOptions(augment=("typos",)))


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

    monkeypatch.setattr("tools.datasets.records._write_splits", full)
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
