"""Finds settings that a person takes back: `never mind the focal loss`, `without the seed`."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from assistant.brains.guided.choices import choices_crossed_out
from assistant.brains.guided.patterns import phrase

_NAMES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("loss", "loss_weight"), r"(?:special |other |custom )?loss(?: function)?|label smoothing|smoothing|gamma|margin"),
    (("early_stopping_patience",), r"early stopping|patience|stopping early"),
    (("eval_steps",), r"eval\w* steps|eval\w* every \d+(?: steps)?"),
    (("warmup_ratio",), r"warm ?up"),
    (("weight_decay",), r"weight decay"),
    (("dropout",), r"dropout"),
    (("seed",), r"(?:random )?seed"),
    (("trials", "sampler", "vary"), r"search|sweep|trials|variants|hyperparameter \w+"),
    (("minutes",), r"(?:time |minutes? )?(?:limit|budget|cap)|deadline"),
    (("engine", "processes", "nodes", "offload"), r"(?:\d+|several|many|extra|second) (?:processes|process|workers|gpus|cards|nodes)|distribut\w+|deepspeed|sharding|engine"),
    (("quantization",), r"quantization|4bit|8bit"),
    (("initialisation",), r"(?:special )?initiali[sz]ation|init"),
    (("modules_to_save",), r"(?:whole |full |extra )?modules to save|lm_head|embed_tokens|(?:\w+ )?embeddings?|(?:lm |output )head|saved modules"),
    (("target_modules",), r"target modules|targets"),
    (("template",), r"template"),
    (("rewards",), r"rewards?"),
    (("max_steps",), r"(?:max(?:imum)? )?steps?(?: limit)?"),
    (("gradient_accumulation",), r"(?:gradient )?accumulation"),
    (("learning_rate",), r"(?:own |custom )?learning rate"),
    (("lr_scheduler",), r"schedul\w+"),
)  # fmt: skip
_TOGETHER = {names[0]: names for names, _ in _NAMES if len(names) > 1}


def find_dropped(plain: str, plan: Mapping[str, Any]) -> set[str]:
    """Return the arguments of a plan that are taken back, with those that hang on them."""
    found: set[str] = set()
    for names, words in _NAMES:
        if not set(names) & plan.keys():
            continue
        for match in re.finditer(rf"\b(?:{words})\b", plain):
            before, after = plain[: match.start()], plain[match.end() :]
            if phrase("TAKEN_BACK").search(before) or phrase("SWITCHED_OFF").match(after):
                found |= set(names)
    if re.search(r"\b(?:all|every) (?:the )?linear\b", plain):
        found.add("target_modules")
    for name, value in choices_crossed_out(plain):
        if str(plan.get(name)) == value:
            found |= {name, *_TOGETHER.get(name, ())}
    return found & plan.keys()
