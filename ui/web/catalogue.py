"""Tables of what can be used here: base models with licence and fit, and tuning methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tools.advise.models import size_words
from tools.history.jobs import JobRecord
from tools.methods import Method, methods
from ui.web import tables
from ui.web.escape import h
from ui.web.words import DASH, gib

_FITS = {"fits": "good", "tight": "warn", "does not fit": "bad"}


def models_table(document: Mapping[str, Any]) -> str:
    """Return the models of a `list_models` report as a table that can be searched."""
    models = document.get("models") or []
    if not models:
        return tables.empty("No models listed", "Name a model folder or a Hub name in the chat.")
    header = ("model", "size", "context", "licence", "LoRA needs", "QLoRA needs", "fits here",
              "ONNX")  # fmt: skip
    rows = [(_model_row(model), str(model.get("fits"))) for model in models]
    fits = [word for word in _FITS if any(model.get("fits") == word for model in models)]
    return (
        f'<p class="quiet">For {h(document.get("hardware"))}. Any other model works by its Hub name'
        " or its folder.</p>"
        + tables.sieve(fits, "Search models and licences", every="all, fitting or not")
        + tables.table(header, rows, caption="Base models", css="stack")
        + '<p class="none quiet" hidden>No model matches.</p>'
    )


def _model_row(model: Mapping[str, Any]) -> list[tables.Cell]:
    notes = [word for word in ("gated", "here") if model.get(word)]
    note = h(", ".join(notes).replace("here", "on this machine"))
    permits = str(model.get("commercial") or "")
    fits = str(model.get("fits") or DASH)
    return [
        tables.Cell(
            f'<b class="name">{h(model.get("name"))}</b>'
            + (f'<small class="quiet">{note}</small>' if note else "")
        ),
        tables.figure(size_words(float(model.get("parameters_b") or 0))),
        tables.figure(f"{int(model.get('context_length') or 0):,}"),
        tables.Cell(
            h(model.get("licence"))
            + (f'<small class="quiet">commercial use: {h(permits)}</small>' if permits else "")
        ),
        tables.figure(gib(model.get("lora_gib"))),
        tables.figure(gib(model.get("qlora_gib"))),
        tables.Cell(f'<span class="fit {_FITS.get(fits, "")}">{h(fits)}</span>'),
        tables.text("yes" if model.get("onnx") else "no"),
    ]


def methods_table(jobs: Sequence[JobRecord]) -> str:
    """Return every method that trains here, with what its result can become and one's own runs."""
    used = Counter(job.training.method for job in jobs if job.kind == "train")
    header = ("method", "what is trained", "base can be 4-bit", "folds into the model", "your runs")
    rows = [(_method_row(method, used[method.name]), "") for method in methods().values()]
    return (
        '<p class="quiet">Name one in the chat: tune it with dora, rank 8. What folds into the'
        " model can be exported to ONNX.</p>"
        + tables.sieve((), "Search methods")
        + tables.table(header, rows, caption="Methods", css="stack")
        + '<p class="none quiet" hidden>No method matches.</p>'
    )


def _method_row(method: Method, runs: int) -> list[tables.Cell]:
    trained = "every weight" if not method.peft else f"an adapter ({method.peft})"
    if method.kind == "prompt":
        trained = f"a learnt prompt ({method.peft})"
    return [
        tables.Cell(
            f'<b class="name">{h(method.title)}</b><small class="quiet">{h(method.name)}</small>'
        ),
        tables.text(trained),
        tables.text("yes" if method.quantises or method.quantization != "none" else "no"),
        tables.text("yes" if method.merges else "no"),
        tables.figure(f"{runs:,}" if runs else DASH),
    ]
