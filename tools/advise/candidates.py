"""Which base models come into question for a task, a licence and a deploy target."""

from __future__ import annotations

from tools.advise.compatibility import reaches_target
from tools.advise.models import ModelInfo, catalogue, from_catalogue
from tools.advise.situation import Situation

PERMISSIVE = frozenset({"apache-2.0", "mit", "bsd-3-clause"})
_IDEAL_BILLIONS = {
    "classification": 1.5, "sentiment": 1.5, "token_classification": 1.5, "ner": 1.5,
    "extraction": 1.5, "qa": 7.6, "translation": 7.6, "summarization": 4.0, "chat": 7.6,
}  # fmt: skip
"""Sizes that tuning is usually enough with: choosing a label needs less than writing."""
_LABEL_BILLIONS = 1.5
_BEST_BILLIONS = 14.8
"""Where quality counts most; larger ones gain little on one task and cost much."""
_CPU_BILLIONS = 0.5
"""On a processor, what can be tuned within hours."""
_CPU_SERVED_BILLIONS = 4.0
"""What answers at reading speed on a processor: each token reads all weights, 2 GB at 4 bits."""
_EDGE_BILLIONS = 1.5
"""What a phone or a small board holds at 4 bits beside its other programs."""
_HOSTED = ("Phi-3", "Phi-3.5", "Phi-4", "phi-4")


def licence_problem(model: ModelInfo, need: str) -> str | None:
    """Say why a model's licence does not meet the need, or None where it does.

    Args:
        need: `commercial`, `permissive` (or `open`), `research`, or a licence's name.
    """
    wanted = need.strip().lower()
    if wanted in {"", "any", "none", "research", "non-commercial", "personal"}:
        return None
    if wanted in {"commercial", "business", "commercial use"}:
        if model.source == "starter" or model.commercial.startswith("yes"):
            return None
        if model.licence.lower() in PERMISSIVE:
            return None
        return f"its licence ({model.licence}) does not clearly allow commercial use"
    if wanted in {"permissive", "open", "open source", "open-source", "osi", "free"}:
        if model.licence.lower() in PERMISSIVE:
            return None
        return f"its licence ({model.licence}) is not a permissive open-source one"
    if wanted.replace(" ", "-") in model.licence.lower().replace(" ", "-"):
        return None
    return f"its licence is {model.licence}, not {need}"


def target_problem(model: ModelInfo, target: str) -> str | None:
    """Say why a model cannot be brought to a deploy target, or None where it can."""
    if target == "hosted":
        if any(name in model.name for name in _HOSTED):
            return None
        return "hosted fine-tuning is offered for the Phi-3, Phi-3.5 and Phi-4 families, not for it"
    return reaches_target(model.architecture, target)


def model_problem(model: ModelInfo, situation: Situation) -> str | None:
    """Say why a model cannot be taken at all, or None where it can."""
    return licence_problem(model, situation.licence) or target_problem(model, situation.target)


def suggested(situation: Situation) -> list[ModelInfo]:
    """Return models to propose, the ideal size first; none that the needs rule out.

    Those that read no whole row come last, however well their size fits.
    """
    ideal = ideal_billions(situation)
    entries = [entry for entry in catalogue() if entry.get("suggest")]
    if not any(model_problem(from_catalogue(e), situation) is None for e in entries):
        entries = list(catalogue())
    models = [from_catalogue(entry) for entry in entries]
    models = [model for model in models if model_problem(model, situation) is None]
    talks = situation.data.kind == "chat"

    def distance(model: ModelInfo) -> tuple[bool, bool, bool, float]:
        ratio = model.billions / ideal
        return (
            reads_too_little(model, situation),
            talks and not model.has_chat_template,
            ratio > 1.25,
            abs(ratio - 1.0),
        )

    return sorted(models, key=distance)


def ideal_billions(situation: Situation) -> float:
    """Return the size that the task, the goal and the place of use ask for."""
    kind, aims = situation.data.kind, situation.aims
    ideal = _IDEAL_BILLIONS.get(kind, 7.6)
    if "quality" in aims:
        ideal = _BEST_BILLIONS if ideal > _LABEL_BILLIONS else 7.6
    if aims & {"cost", "speed"}:
        ideal *= 0.5
    if situation.target == "onnx-cpu":
        ideal = min(ideal, _CPU_SERVED_BILLIONS)
    if "edge" in aims:
        ideal = min(ideal, _EDGE_BILLIONS)
    if not situation.machine.gpus and situation.target != "hosted":
        ideal = min(ideal, _CPU_BILLIONS)
    return ideal


def reads_too_little(model: ModelInfo, situation: Situation) -> bool:
    """Whether the model's context is shorter than 19 of 20 rows, or than the wished length."""
    data, wished = situation.data, situation.preferences.get("max_length")
    needed = min(data.p95_tokens, data.row_tokens)
    return model.context_length < int(wished or needed)
