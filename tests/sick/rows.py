"""Rows for tiny runs: labels, answers, texts, each with the faults that live in the data."""

from __future__ import annotations

import csv
import hashlib
import random
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tools.context import Context
from tools.datasets.manifest import Manifest
from tools.history.spec import Objective
from tools.shipped import shipped

Rows = list[dict[str, Any]]
_THINGS = {
    "toy": ("red ball", "small doll", "big box", "blue car", "little train", "soft bear"),
    "food": ("sweet cake", "hot soup", "apple pie", "warm milk", "big sandwich", "ripe pear"),
    "pet": ("happy dog", "little cat", "old bird", "brown bunny", "tiny mouse", "fat fish"),
    "plant": ("tall tree", "green bush", "pretty flower", "old oak", "wet grass", "pink rose"),
}
_NAMES = ("Tom", "Lily", "Ben", "Mia", "Sam", "Anna", "Max", "Sue")
_DID = ("saw", "found", "wanted", "talked about", "looked for", "liked", "dreamed of", "lost")
_WHERE = ("in the park", "at home", "near the lake", "after lunch", "with a friend", "one day")


def labelled(count: int, seed: int, *, labels: int = 3, share: float | None = None) -> Rows:
    """Sentences about a thing, and its kind. `share` is the first kind's, else all are equal."""
    chooser = random.Random(seed)
    kinds = list(_THINGS)[:labels]
    rows = []
    for i in range(count):
        first = share is not None and chooser.random() < share
        others = kinds[1:] if share is not None else kinds
        kind = kinds[0] if first else chooser.choice(others)
        text = (
            f"{chooser.choice(_NAMES)} {chooser.choice(_DID)} a {chooser.choice(_THINGS[kind])} "
            f"{chooser.choice(_WHERE)}."
        )
        rows.append(row(text, kind, i, label=kind))
    return rows


def tickets(count: int, seed: int) -> Rows:
    """Rows of the shipped support tickets."""
    with shipped("samples", "support_tickets.csv").open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    random.Random(seed).shuffle(found)
    text, label = list(found[0])[:2]
    for name in found[0]:
        if name in ("label", "category", "tone", "class"):
            label = name
        if name in ("text", "ticket", "message", "phrase"):
            text = name
    return [row(r[text], r[label], i, label=r[label]) for i, r in enumerate(found[:count])]


def answers(count: int, seed: int, *, long: int = 1) -> Rows:
    """Questions with an answer in words."""
    chooser = random.Random(seed)
    rows = []
    for i in range(count):
        kind = chooser.choice(list(_THINGS))
        thing, name = chooser.choice(_THINGS[kind]), chooser.choice(_NAMES)
        parts = [
            f"{name} {chooser.choice(_DID)} the {chooser.choice(_THINGS[kind])}"
            f" {chooser.choice(_WHERE)}."
            for _ in range(long)
        ]
        rows.append(row(f"What did {name} do with the {thing}?", " ".join(parts), i))
    return rows


def texts(count: int, seed: int) -> Rows:
    """Plain sentences."""
    return [
        {"text": f"{a['prompt'][0]['content']} It was a {a['label']}.", "row": i}
        for i, a in enumerate(labelled(count, seed, labels=4))
    ]


def chats(count: int, seed: int) -> Rows:
    """Conversations of two questions and two answers."""
    first, second = answers(count, seed), answers(count, seed + 1)
    return [
        {"messages": [*a["prompt"], *a["completion"], *b["prompt"], *b["completion"]], "row": i}
        for i, (a, b) in enumerate(zip(first, second, strict=True))
    ]


def preferred(count: int, seed: int) -> Rows:
    """Questions with an answer that keeps to them, and one that repeats itself."""
    return [
        {
            "prompt": a["prompt"],
            "chosen": a["completion"],
            "rejected": [{"role": "assistant", "content": "No no no no."}],
            "row": a["row"],
        }
        for a in _asked_once(count, answers(6 * count, seed))
    ]


def uneven(count: int, seed: int, *, every: int, long: int) -> Rows:
    """Questions with short answers, every so many of them with a long one."""
    found = _asked_once(count, answers(6 * count, seed))
    said = [str(r["completion"][0]["content"]) for r in found]
    for i in range(0, len(found), every):
        whole = " ".join((said + said)[i : i + long])
        found[i] = {**found[i], "completion": [{"role": "assistant", "content": whole}]}
    return found


def _asked_once(count: int, rows: Rows) -> Rows:
    return list({str(r["prompt"]): r for r in reversed(rows)}.values())[:count]


def row(question: str, answer: str, number: int, label: str | None = None) -> dict[str, Any]:
    """One row as `prepare_dataset` writes it."""
    found: dict[str, Any] = {
        "prompt": [{"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": answer}],
        "row": number,
    }
    return found | ({"label": label} if label is not None else {})


def relabelled(rows: Rows, share: float, seed: int) -> Rows:
    """Give a share of the rows the answer of another row."""
    chooser = random.Random(seed)
    pool = [r["label"] for r in rows]
    found = []
    for r in rows:
        new = chooser.choice(pool) if chooser.random() < share else r["label"]
        found.append(row(r["prompt"][0]["content"], new, r["row"], label=new))
    return found


def write(ctx: Context, name: str, train: Rows, held: Rows) -> Manifest:
    """Write a prepared version with exactly these splits."""
    fingerprint = hashlib.sha256(repr((train, held)).encode()).hexdigest()
    version = f"{name}@{fingerprint[:8]}"
    folder = ctx.settings.dataset_folder(version)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(train), folder / "train.parquet")
    pq.write_table(pa.Table.from_pylist(held), folder / "validation.parquet")
    source = ctx.settings.home / f"{name}.csv"
    source.write_text("made for a test\n", encoding="utf-8")
    labels = sorted({r["label"] for r in train if "label" in r})
    task, objective = _kind(train[0])
    manifest = Manifest(
        id=version,
        fingerprint=fingerprint,
        source=source.name,
        source_path=str(source),
        source_sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        format="csv",
        task=task,
        objective=objective,
        columns={},
        labels=tuple(labels),
        splits={"train": len(train), "validation": len(held)},
        characters_p95=80,
        steps=(),
        options={},
        created_at=datetime.now(UTC),
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json(), encoding="utf-8")
    ctx.store.save_dataset(
        version,
        fingerprint=fingerprint,
        source=source.name,
        manifest=manifest.model_dump(mode="json"),
    )
    return manifest


def _kind(first: dict[str, Any]) -> tuple[str, Objective]:
    """Return task and objective of rows like this one."""
    for column, task in (("text", "text"), ("messages", "chat")):
        if column in first:
            return task, "text" if column == "text" else "chat"
    if "chosen" in first:
        return "preference", "dpo"
    return "classification" if "label" in first else "qa", "prompt_completion"
