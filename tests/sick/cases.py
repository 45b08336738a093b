"""The seeded runs that are really trained: sick ones by cause, and healthy ones."""

from __future__ import annotations

import random

from tests.sick import patches
from tests.sick.rows import Rows, answers, labelled, relabelled, row, texts, tickets
from tests.sick.training import STARTER, Case


def _split(rows: Rows, held: int = 24) -> tuple[Rows, Rows]:
    return rows[held:], rows[:held]


def _kinds(count: int, seed: int, labels: int = 3) -> tuple[Rows, Rows]:
    """Rows without a question that both splits share."""
    seen: dict[str, dict[str, object]] = {}
    for r in labelled(3 * count, seed, labels=labels):
        seen.setdefault(str(r["prompt"]), r)
    return _split(list(seen.values())[: count + 24])


def _said(count: int, seed: int, long: int = 1) -> tuple[Rows, Rows]:
    seen = {str(r["prompt"]): r for r in answers(6 * count, seed, long=long)}
    return _split(list(seen.values())[: count + 24])


def _shuffled(count: int, seed: int, share: float) -> tuple[Rows, Rows]:
    train, held = _kinds(count, seed)
    return relabelled(train, share, seed), relabelled(held, share, seed + 1)


def _leaking(count: int, seed: int, share: float) -> tuple[Rows, Rows]:
    train, held = _kinds(count, seed)
    copied = int(share * len(held))
    return train, random.Random(seed).sample(train, copied) + held[copied:]


def _telling(count: int, seed: int) -> tuple[Rows, Rows]:
    """Inputs that name their label."""

    def told(rows: Rows) -> Rows:
        return [
            row(
                f"{r['prompt'][0]['content']} Kind: {r['label']}.", r["label"], r["row"], r["label"]
            )
            for r in rows
        ]

    train, held = _kinds(count, seed)
    return told(train), told(held)


def _shifted(count: int, seed: int, how: str) -> tuple[Rows, Rows]:
    train, held = _kinds(count, seed)
    if how == "labels":
        return train, [r for r in _kinds(200, seed + 9)[0] if r["label"] == "pet"][:24]
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


def _lopsided(count: int, seed: int, share: float, *, even: bool) -> tuple[Rows, Rows]:
    chooser = random.Random(seed)
    rare = [r for r in _kinds(300, seed)[0] if r["label"] != "toy"]
    often = [r for r in _kinds(400, seed + 3)[0] if r["label"] == "toy"]
    mixed = often[: int(share * count)] + rare[: count - int(share * count)]
    chooser.shuffle(mixed)
    if not even:
        # Held-out rows like the others: one label is right for most of them.
        return mixed, often[-37:] + rare[-3:]
    # Held-out rows come in equal shares, so that saying one label is seen for what it is.
    held = often[-12:] + rare[-12:]
    return mixed, held


def _plain(count: int, seed: int) -> tuple[Rows, Rows]:
    return _split(texts(count + 24, seed))


SICK: tuple[Case, ...] = (
    Case(
        "rate x100 lora", "lr_too_high", lambda: _kinds(96, 1), {"learning_rate": 1.0}, cured=True
    ),
    Case(
        "rate x60 lora answers",
        "lr_too_high",
        lambda: _said(96, 2),
        {"learning_rate": 0.6},
        cured=True,
    ),
    Case(
        "rate x100 full",
        "lr_too_high",
        lambda: _kinds(96, 3),
        {"method": "full", "learning_rate": 0.1},
        cured=True,
    ),
    Case("rate x100 text", "lr_too_high", lambda: _plain(96, 4), {"learning_rate": 0.9}),
    Case(
        "rate x80 starter",
        "lr_too_high",
        lambda: _split(tickets(120, 5)),
        {"learning_rate": 0.3, "max_steps": 30},
        model=STARTER,
    ),
    Case(
        "rate /1000 lora", "lr_too_low", lambda: _kinds(96, 6), {"learning_rate": 1e-5}, cured=True
    ),
    Case(
        "rate /200 full",
        "lr_too_low",
        lambda: _said(96, 7),
        {"method": "full", "learning_rate": 5e-6},
        cured=True,
    ),
    Case(
        "rate /300 starter",
        "lr_too_low",
        lambda: _split(tickets(120, 8)),
        {"learning_rate": 1e-5, "max_steps": 24},
        model=STARTER,
    ),
    Case(
        "rank 64 on 24 rows",
        "overfitting",
        lambda: _said(24, 9),
        {"rank": 64, "alpha": 128, "max_steps": 150, "eval_steps": 15},
        cured=True,
    ),
    Case(
        "full on 16 rows",
        "overfitting",
        lambda: _said(16, 10),
        {"method": "full", "learning_rate": 3e-3, "max_steps": 130, "eval_steps": 13},
        cured=True,
    ),
    Case(
        "rank 64 on 20 texts",
        "overfitting",
        lambda: _plain(20, 11),
        {
            "rank": 64,
            "alpha": 64,
            "learning_rate": 5e-3,
            "max_steps": 160,
            "eval_steps": 16,
        },
    ),
    Case(
        "starter on 16 tickets",
        "overfitting",
        lambda: _split(tickets(40, 12)),
        {"rank": 32, "alpha": 64, "learning_rate": 5e-3, "max_steps": 60, "eval_steps": 6},
        model=STARTER,
    ),
    Case(
        "eight steps",
        "underfitting",
        lambda: _kinds(96, 13),
        {"max_steps": 8, "eval_steps": 2, "learning_rate": 3e-3},
        cured=True,
    ),
    Case(
        "rank 1, ten steps",
        "underfitting",
        lambda: _said(96, 14),
        {"rank": 1, "alpha": 2, "max_steps": 10, "eval_steps": 2, "learning_rate": 3e-3},
        cured=True,
    ),
    Case(
        "six steps of text",
        "underfitting",
        lambda: _plain(96, 15),
        {"max_steps": 6, "eval_steps": 2, "learning_rate": 3e-3},
    ),
    Case("labels shuffled", "label_noise", lambda: _shuffled(120, 16, 1.0)),
    Case(
        "labels shuffled, starter",
        "label_noise",
        lambda: _split(relabelled(tickets(140, 17), 1.0, 17)),
        {"max_steps": 30},
        model=STARTER,
    ),
    Case("40 % of labels wrong", "label_noise", lambda: _shuffled(140, 18, 0.6)),
    Case("a third of labels wrong", "label_noise", lambda: _shuffled(160, 19, 0.5)),
    Case("train is test", "leakage", lambda: _leaking(72, 20, 1.0)),
    Case("half the test is train", "leakage", lambda: _leaking(72, 21, 0.5)),
    Case("the input tells", "leakage", lambda: _telling(72, 22)),
    Case(
        "all masked", "empty_mask", lambda: _kinds(64, 23), {"max_steps": 16}, patches.empty_mask()
    ),
    Case(
        "all masked, full",
        "empty_mask",
        lambda: _said(64, 24),
        {"method": "full", "learning_rate": 1e-3, "max_steps": 16},
        patches.empty_mask(),
    ),
    Case(
        "nothing masked", "wrong_mask", lambda: _said(64, 25), {"max_steps": 40}, patches.no_mask()
    ),
    Case(
        "questions trained",
        "wrong_mask",
        lambda: _said(64, 26),
        {"max_steps": 40},
        patches.half_answers(),
    ),
    Case(
        "end not trained",
        "untrained_stop",
        lambda: _split(tickets(90, 27)),
        {"max_steps": 24},
        patches.no_stop(),
        model=STARTER,
    ),
    Case(
        "end not trained, full",
        "untrained_stop",
        lambda: _split(tickets(80, 28)),
        {"method": "full", "learning_rate": 1e-3, "max_steps": 20},
        patches.no_stop(),
        model=STARTER,
    ),
    Case(
        "padding is the end",
        "pad_eos_confusion",
        lambda: _said(64, 29),
        {"max_steps": 40},
        patches.pad_is_end(),
    ),
    Case(
        "judged with another template",
        "template_mismatch",
        lambda: _said(64, 30),
        {},
        patches.other_template(),
    ),
    Case(
        "cut to 24 tokens",
        "truncation",
        lambda: _said(64, 31, long=3),
        {"max_length": 24, "max_steps": 40},
        cured=True,
    ),
    Case(
        "cut to 40 tokens",
        "truncation",
        lambda: _said(64, 32, long=2),
        {"max_length": 32, "max_steps": 40},
        cured=True,
    ),
    Case(
        "93 % one label",
        "class_collapse",
        lambda: _lopsided(120, 33, 0.93, even=False),
        {"max_steps": 40},
    ),
    Case("other labels held out", "eval_shift", lambda: _shifted(72, 35, "labels")),
    Case("other words held out", "eval_shift", lambda: _shifted(72, 36, "words")),
    Case("other lengths held out", "eval_shift", lambda: _shifted(72, 37, "lengths")),
    Case(
        "overflow at step 12",
        "nan_loss",
        lambda: _kinds(64, 38),
        {"max_steps": 24},
        patches.nan_from(12),
    ),
    Case(
        "overflow at step 3",
        "nan_loss",
        lambda: _said(64, 39),
        {"max_steps": 16},
        patches.nan_from(3),
    ),
    Case(
        "zero from step 4",
        "zero_loss",
        lambda: _kinds(64, 40),
        {"max_steps": 16},
        patches.zero_from(4),
    ),
    Case(
        "no weight moves",
        "constant_loss",
        lambda: _kinds(64, 41),
        {"max_steps": 40, "eval_steps": 8},
        patches.nothing_moves(),
    ),
    Case(
        "uphill from step 20",
        "divergence",
        lambda: _said(64, 42),
        {"max_steps": 60},
        patches.ascending_from(20),
    ),
    Case(
        "uphill from step 30",
        "divergence",
        lambda: _kinds(64, 43),
        {"max_steps": 60},
        patches.ascending_from(30),
    ),
    Case(
        "no memory in a step",
        "oom_ram",
        lambda: _kinds(48, 44),
        {"max_steps": 16},
        patches.out_of_memory("train"),
    ),
    Case(
        "no memory in evaluation",
        "oom_eval",
        lambda: _kinds(48, 45),
        {"max_steps": 16, "eval_steps": 4},
        patches.out_of_memory("evaluate"),
    ),
    Case(
        "no memory at a checkpoint",
        "oom_checkpoint",
        lambda: _kinds(48, 46),
        {"max_steps": 16, "eval_steps": 8, "save_steps": 8},
        patches.out_of_memory("save"),
    ),
    Case(
        "slow rows",
        "loader_bound",
        lambda: _kinds(64, 48),
        {"max_steps": 24, "eval_steps": 24},
        patches.slow_batches(0.03),
    ),
    Case(
        "slow tokens",
        "tokenizer_bound",
        lambda: _kinds(64, 49),
        {"max_steps": 20, "eval_steps": 20},
        patches.slow_tokens(6),
    ),
    Case(
        "judged at every step",
        "eval_dominates",
        lambda: _split(labelled(400, 50), 300),
        {"max_steps": 24, "eval_steps": 1, "batch_size": 4},
        cured=True,
    ),
    Case(
        "memory kept",
        "memory_growth",
        lambda: _kinds(64, 51),
        {"max_steps": 40},
        patches.leaking(12),
    ),
    Case(
        "one row a step",
        "tiny_batch",
        lambda: _kinds(96, 52),
        {"batch_size": 1, "max_steps": 90, "eval_steps": 15},
        cured=True,
    ),
    Case(
        "adapter lost",
        "adapter_not_applied",
        lambda: _said(64, 53),
        {"max_steps": 40},
        patches.no_effect(),
    ),
    Case(
        "disk full at the end",
        "disk_full",
        lambda: _kinds(48, 54),
        {"max_steps": 10},
        patches.disk_full(),
    ),
    Case(
        "full, high rate, narrow task",
        "forgetting",
        lambda: _split(tickets(140, 55)),
        {"method": "full", "learning_rate": 4e-3, "max_steps": 40, "eval_steps": 8},
        cured=True,
        model=STARTER,
    ),
)
HEALTHY: tuple[Case, ...] = (
    Case("usual lora", "", lambda: _kinds(120, 61)),
    Case("usual answers", "", lambda: _said(120, 62)),
    Case("usual full", "", lambda: _said(120, 63), {"method": "full", "learning_rate": 2e-3}),
    Case("usual dora", "", lambda: _kinds(120, 64), {"method": "dora"}),
    Case("usual text", "", lambda: _plain(160, 65)),
    Case("short, good", "", lambda: _kinds(120, 66), {"max_steps": 40, "eval_steps": 5}),
    Case("small batches", "", lambda: _said(120, 67), {"batch_size": 4, "max_steps": 100}),
    Case(
        "stopped early",
        "",
        lambda: _said(64, 68),
        {"max_steps": 140, "eval_steps": 7, "early_stopping_patience": 2, "rank": 16, "alpha": 32},
    ),
    Case(
        "starter, usual",
        "",
        lambda: _split(tickets(200, 69)),
        {"max_steps": 60, "eval_steps": 10},
        model=STARTER,
    ),
    Case("constant rate", "", lambda: _kinds(120, 70), {"lr_scheduler": "constant"}),
)
LATE = frozenset(
    {
        "rank 64 on 20 texts",
        "judged with another template",
        "cut to 40 tokens",
        "other words held out",
        "zero from step 4",
        "uphill from step 20",
        "no memory in a step",
        "slow rows",
        "slow tokens",
        "memory kept",
        "one row a step",
        "adapter lost",
        "disk full at the end",
        "full, high rate, narrow task",
        *(case.name for case in HEALTHY if case.name != "small batches"),
    }
)
"""Runs that were trained only after the rules were made, and changed no rule since."""
