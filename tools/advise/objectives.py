"""Which objectives prepared data can be trained with, and what each costs in rows."""

from __future__ import annotations

from tools.datasets.manifest import Manifest
from tools.errors import Refused
from tools.history.spec import Objective

_TRAINABLE_AS: dict[str, tuple[Objective, ...]] = {
    "prompt_completion": ("prompt_completion", "sequence_classification", "grpo"),
    "chat": ("chat", "grpo"),
    "text": ("text",),
    "dpo": ("dpo", "orpo"),
    "kto": ("kto",),
    "token_classification": ("token_classification",),
}
_WANTS = {
    "dpo": "a prompt with a chosen and a rejected answer in every row",
    "orpo": "a prompt with a chosen and a rejected answer in every row",
    "kto": "a prompt, an answer and whether it is good in every row",
    "token_classification": "a list of tokens and a list of tags in every row",
    "sequence_classification": "a text and one of a fixed set of labels in every row",
    "grpo": "prompts",
    "chat": "conversations",
    "prompt_completion": "prompts and answers",
    "text": "plain texts",
}
HEADS = frozenset({"sequence_classification", "token_classification"})
"""Objectives that train a new head in place of the vocabulary's."""
PAIRED = frozenset({"dpo", "orpo"})
"""Objectives that see two answers for every row."""


def objective_of_kind(kind: str) -> Objective:
    """Return the objective that a kind of data is trained with when nothing else is said."""
    known: dict[str, Objective] = {
        "preference": "dpo", "kto": "kto", "ner": "prompt_completion", "chat": "chat",
        "token_classification": "token_classification", "text": "text",
    }  # fmt: skip
    return known.get(kind, "prompt_completion")


def choose_objective(wished: Objective | None, manifest: Manifest) -> tuple[Objective, int]:
    """Return the objective, and the number of classes of its head (0 where it has none).

    Raises:
        Refused: The data does not hold what the wished objective needs (`preflight`).
    """
    objective = wished or manifest.objective
    possible = _TRAINABLE_AS.get(manifest.objective, (manifest.objective,))
    labelled = bool(manifest.labels) or objective != "sequence_classification"
    if objective not in possible or not labelled:
        raise Refused(
            f"The objective {objective} needs {_WANTS[objective]}; this data holds "
            f"{_WANTS[manifest.objective]}.",
            hint=f"Leave the objective out: this data is trained as {manifest.objective}.",
            refused_by="preflight",
        )
    return objective, len(manifest.labels) if objective in HEADS else 0
