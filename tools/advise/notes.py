"""What a person should know beside the plans: what is cut, what is short, what was not done."""

from __future__ import annotations

import re

from tools.advise.ranked import RankedPlan, Recommendation
from tools.advise.situation import Situation

_DAY_S = 24 * 3600.0
_FEW = 50


def notes_on(situation: Situation, result: Recommendation) -> list[str]:
    """Return the notes on the first choice, and on what of the goal it leaves out."""
    first = result.plans[0] if result.plans else None
    notes = [*_of_data(situation), *_of_objective(situation)]
    if first:
        notes += [*_of_length(situation, first), *_of_time(situation, first)]
        if situation.offline and situation.own_machine and first.model.source == "catalogue":
            notes.append(
                f"The network is switched off: {first.model.name} must be fetched before it can be "
                "tuned here. The starter model is here already."
            )
        if situation.target == "hosted":
            notes.append("The service trains on its own machines; figures are for a card of 80 GB.")
        if "several" in situation.aims and first.method != "full":
            notes.append(
                "Train each task as an adapter of its own on this same base and leave them "
                "unmerged: they swap in place, and several travel in one export."
            )
    return notes


def _of_data(situation: Situation) -> list[str]:
    data = situation.data
    notes = []
    if not data.known and (data.format != "unknown" or data.task):
        notes.append(
            f"{(data.task or data.format)[:60]!r} is no task or format that Luthier knows; planned "
            "as prompts with answers."
        )
    if data.rows < _FEW:
        notes.append(
            f"{data.rows} rows are too few to learn from and to judge by: expect it to learn them "
            "by heart; some hundred are a start."
        )
    return notes


def _of_objective(situation: Situation) -> list[str]:
    """What was named and is not what these data are trained with."""
    words = f"{situation.data.task} {situation.goal}".lower()
    notes = []
    served = situation.target.partition("-")[0]
    if situation.data.kind == "token_classification" and served in {"onnx", "gguf"}:
        notes.append(
            f"Tags beside tokens are trained through a head, which {situation.target} cannot hold: "
            "give each row as a text with its entities as the answer. With the target hf the tags "
            "train as they are."
        )
    if re.search(r"\breward\b", words) and situation.data.kind == "preference":
        notes.append(
            "A reward model is not trained here; DPO learns from the same pairs directly and needs "
            "none (arXiv 2305.18290)."
        )
    if re.search(r"\b(?:grpo|ppo|rlhf|rlvr)\b", words) and situation.data.kind not in {
        "preference",
        "kto",
    }:
        notes.append(
            "Reinforcement was named: these data hold answers, and learning from them directly "
            "comes first, at a fraction of the cost. GRPO with a shipped reward can follow: "
            "`luthier train --objective grpo --rewards …`."
        )
    return notes


def _of_length(situation: Situation, first: RankedPlan) -> list[str]:
    length, p95 = int(first.spec["max_length"]), situation.data.p95_tokens
    if length >= p95 or situation.data.splits:
        return []
    wished = situation.preferences.get("max_length")
    if wished and length < int(wished):
        return [f"{first.model.name} reads {length:,} tokens at most, not the {wished:,} you set."]
    if wished:
        return [f"Rows are cut at the {length:,} tokens you set; one in twenty is over {p95:,}."]
    return [
        f"Rows are cut at {length:,} tokens, all that {first.model.name} reads; one in twenty has "
        f"more than {p95:,}. Split long rows, or name a model with a longer context."
    ]


def _of_time(situation: Situation, first: RankedPlan) -> list[str]:
    expected = first.duration.expected
    if situation.minutes and expected > 60 * situation.minutes:
        share = 60 * situation.minutes / expected
        rows = max(1, int(share * situation.data.rows))
        return [
            f"{situation.minutes:g} minutes are enough for about {share:.0%} of this: some "
            f"{rows:,} rows, or a smaller model."
        ]
    if expected > 2 * _DAY_S:
        return [
            f"This would take about {expected / _DAY_S:.0f} days here; a graphics card or a "
            "smaller model would make it hours."
        ]
    return []
