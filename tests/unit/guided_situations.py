"""Situations in which something is said to the guided brain: what was done and said before."""

from __future__ import annotations

from tests.unit.guided_stage import Stage, job

FILES = ("reviews.csv", "tickets.jsonl", "old data.csv")
RUNS = (
    job("tickets-lora-7", rank=8),
    job("tickets-dora-6", method="dora", rank=16),
    job("reviews-lora-5", "failed", path="reviews.csv"),
)
_NEWEST = {
    "runs": (),
    "live": (job("tickets-lora-9", "running"),),
    "cut": (job("tickets-lora-8", "interrupted"),),
    "both": (
        job("reviews-lora-11", parent="reviews-tickets-adapters-9", path="reviews.csv"),
        job("tickets-lora-10", parent="reviews-tickets-adapters-9"),
        job("reviews-tickets-adapters-9", kind="adapters", path="reviews.csv"),
    ),
    "half": (
        job("reviews-lora-10", "running", parent="reviews-tickets-adapters-9", path="reviews.csv"),
        job("reviews-tickets-adapters-9", "running", kind="adapters", path="reviews.csv"),
    ),
    "sick": (job("reviews-lora-9", "failed", path="reviews.csv", error="CUDA out of memory."),),
}
_SAID = {
    "looked": ("look at reviews.csv",),
    "advised": ("look at reviews.csv", "what do you recommend for it?"),
    "planned": (
        "look at reviews.csv",
        "train on it with lora, rank 16, 4 epochs, batch size 8, learning rate 2e-4",
    ),
}


def stage(situation: str) -> Stage:
    """Return a conversation in one of the situations of the tables.

    `fresh` has files, `empty` nothing; `runs`, `live`, `cut`, `sick`, `both` (adapters)
    and `half` (adapters that train) have a history;
    `looked`, `advised` and `planned` come after the words that their names say.
    """
    if situation == "empty":
        return Stage()
    if situation in _NEWEST:
        return Stage(files=FILES, jobs=(*_NEWEST[situation], *RUNS))
    begun = Stage(files=FILES)
    for said in {"fresh": (), **_SAID}[situation]:
        begun.say(said)
    return begun
