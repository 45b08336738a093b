"""Rows of both splits, sound and with the faults that live in the data."""

from __future__ import annotations

import random

from tests.sick.rows import Rows, answers, labelled, relabelled, row, texts

Splits = tuple[Rows, Rows]
"""Rows to train on, rows held out."""


def split(rows: Rows, held: int = 24) -> Splits:
    """The first rows are held out."""
    return rows[held:], rows[:held]


def kinds(count: int, seed: int, labels: int = 3) -> Splits:
    """Rows without a question that both splits share."""
    seen: dict[str, dict[str, object]] = {}
    for r in labelled(3 * count, seed, labels=labels):
        seen.setdefault(str(r["prompt"]), r)
    return split(list(seen.values())[: count + 24])


def said(count: int, seed: int, long: int = 1) -> Splits:
    """Questions and answers; both splits share no question."""
    seen = {str(r["prompt"]): r for r in answers(6 * count, seed, long=long)}
    return split(list(seen.values())[: count + 24])


def shuffled(count: int, seed: int, share: float) -> Splits:
    """Rows of which a share has the label of another."""
    train, held = kinds(count, seed)
    return relabelled(train, share, seed), relabelled(held, share, seed + 1)


def leaking(count: int, seed: int, share: float) -> Splits:
    """A share of the held-out rows was trained on."""
    train, held = kinds(count, seed)
    copied = int(share * len(held))
    return train, random.Random(seed).sample(train, copied) + held[copied:]


def telling(count: int, seed: int) -> Splits:
    """Inputs that name their label."""

    def told(rows: Rows) -> Rows:
        return [
            row(
                f"{r['prompt'][0]['content']} Kind: {r['label']}.", r["label"], r["row"], r["label"]
            )
            for r in rows
        ]

    train, held = kinds(count, seed)
    return told(train), told(held)


def shifted(count: int, seed: int, how: str) -> Splits:
    """Held-out rows unlike those trained on, in labels, words or lengths."""
    train, held = kinds(count, seed)
    if how == "labels":
        return train, [r for r in kinds(200, seed + 9)[0] if r["label"] == "pet"][:24]
    if how == "words":
        odd = ("kwaliteit", "uitstekend", "levering", "hond", "speelgoed", "soep", "bloem", "fiets")
        chooser = random.Random(seed)
        return train, [
            row(" ".join(chooser.choice(odd) for _ in range(8)), r["label"], r["row"], r["label"])
            for r in held
        ]
    return train, [
        row((r["prompt"][0]["content"] + " ") * 4, r["label"], r["row"], r["label"]) for r in held
    ]


def lopsided(count: int, seed: int, share: float, *, even: bool) -> Splits:
    """Most rows carry one label; `even` holds out equal shares."""
    chooser = random.Random(seed)
    rare = [r for r in kinds(300, seed)[0] if r["label"] != "toy"]
    often = [r for r in kinds(400, seed + 3)[0] if r["label"] == "toy"]
    mixed = often[: int(share * count)] + rare[: count - int(share * count)]
    chooser.shuffle(mixed)
    if not even:
        # Held-out rows like the others: one label is right for most of them.
        return mixed, often[-37:] + rare[-3:]
    # Held-out rows come in equal shares, so that saying one label is seen for what it is.
    held = often[-12:] + rare[-12:]
    return mixed, held


def plain(count: int, seed: int) -> Splits:
    """Plain sentences."""
    return split(texts(count + 24, seed))
