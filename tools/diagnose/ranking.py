"""From suspicions to a ranking: root causes before what they bring about.

Several rules may suspect one cause; their evidence is put together and the strongest counts. Then
each root cause explains its symptoms away: a symptom stays in the list, below its root. The order
of NaN, divergence and the rate, where all three are seen: a rate far above what is usual comes
first, because changing it cures the other two; where the rate is usual or unknown, what was
measured comes first. What is wrong with the data comes before too little training, as in the table
of troubles that the cures follow.
"""

from __future__ import annotations

from collections.abc import Iterable

from tools.diagnose.report import SICK_FROM, Code, Evidence
from tools.diagnose.suspicion import Suspicion

EXPLAINS: dict[Code, tuple[Code, ...]] = {
    "empty_mask": ("zero_loss", "nan_loss", "constant_loss", "underfitting", "untrained_stop",
                   "class_collapse", "wrong_mask"),
    "wrong_mask": (
        "untrained_stop",
        "pad_eos_confusion",
        "template_mismatch",
        "forgetting",
        "underfitting",
        "class_collapse",
    ),
    "lr_too_high": ("class_collapse", "underfitting", "overfitting", "forgetting",
                    "label_noise", "template_mismatch", "tiny_batch", "eval_shift"),
    "lr_too_low": ("underfitting", "class_collapse"),
    "divergence": ("class_collapse", "overfitting"),
    "nan_loss": ("divergence", "class_collapse", "zero_loss", "constant_loss",
                 "adapter_not_applied"),
    "constant_loss": ("underfitting", "lr_too_low", "adapter_not_applied", "class_collapse"),
    "label_noise": ("overfitting", "underfitting", "class_collapse", "eval_shift"),
    "eval_shift": ("overfitting", "template_mismatch", "underfitting"),
    "leakage": ("overfitting", "underfitting"),
    "truncation": ("untrained_stop", "underfitting", "pad_eos_confusion", "wrong_mask"),
    "pad_eos_confusion": ("untrained_stop",),
    "template_mismatch": ("untrained_stop", "class_collapse"),
    "adapter_not_applied": ("template_mismatch", "merge_loss", "underfitting", "class_collapse"),
    "fragmentation": ("oom_gpu",),
    "memory_growth": ("oom_gpu", "oom_ram"),
    "oom_eval": ("oom_gpu", "oom_ram"),
    "oom_checkpoint": ("oom_gpu", "oom_ram"),
    "disk_full": ("bad_checkpoint",),
    "tokenizer_bound": ("loader_bound",),
    "gated_model": ("bad_checkpoint",),
    "tiny_batch": ("class_collapse", "underfitting", "forgetting"),
    "underfitting": ("class_collapse",),
}  # fmt: skip
_BELOW = 0.82
"""A symptom's confidence beside its root's."""
_WEAK = 0.35
"""What is suspected less than this is not worth a line."""
_MOST = 5


def ranked(suspicions: Iterable[Suspicion]) -> list[Suspicion]:
    """Return the causes worth naming, most likely first; empty where none is likely enough."""
    causes = _together(suspicions)
    for root, symptoms in EXPLAINS.items():
        if root not in causes or causes[root].confidence < SICK_FROM:
            continue
        limit = causes[root].confidence * _BELOW
        for code in symptoms:
            if code in causes and causes[code].confidence <= causes[root].confidence + 0.12:
                held = causes[code]
                causes[code] = Suspicion(code, min(held.confidence, limit), held.evidence)
    found = sorted(causes.values(), key=lambda s: -s.confidence)
    if not found or found[0].confidence < SICK_FROM:
        return []
    return [s for s in found if s.confidence >= _WEAK][:_MOST]


def _together(suspicions: Iterable[Suspicion]) -> dict[Code, Suspicion]:
    causes: dict[Code, Suspicion] = {}
    for suspicion in suspicions:
        held = causes.get(suspicion.code)
        if held is None:
            causes[suspicion.code] = suspicion
            continue
        strong, weak = sorted((held, suspicion), key=lambda s: -s.confidence)
        evidence: list[Evidence] = [*strong.evidence]
        evidence += [e for e in weak.evidence if e.text not in {x.text for x in evidence}]
        both = strong.confidence + 0.15 * weak.confidence * (1 - strong.confidence)
        causes[suspicion.code] = Suspicion(suspicion.code, min(0.99, both), tuple(evidence))
    return causes
