"""A page for people who were not there, and a model card: what a run did, and what it is worth.

Everything comes from the history. What a dataset or a person named is shown as plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from tools.context import Context
from tools.datasets.quarantine import disarm
from tools.errors import Conflict
from tools.history.jobs import EventRecord, JobRecord
from tools.jobs.ending import write_durably
from tools.jobs.reports import WrittenReport
from tools.jobs.trials import validation_losses
from tools.jobs.words import clock

_FIGURES = (
    ("accuracy", "accuracy", "more is better"),
    ("macro_f1", "macro F1", "more is better"),
    ("token_f1", "token F1", "more is better"),
    ("entity_f1", "entity F1", "more is better"),
    ("bleu", "BLEU", "more is better"),
    ("chrf", "chrF", "more is better"),
    ("rougeL", "ROUGE-L", "more is better"),
    ("perplexity", "perplexity", "less is better"),
    ("eval_loss", "validation loss", "less is better"),
)
_SETTINGS = (
    *("method", "rank", "alpha", "dropout", "epochs", "max_steps", "learning_rate", "lr_scheduler"),
    *("batch_size", "gradient_accumulation", "max_length", "precision", "optimizer", "loss"),
    *("weight_decay", "engine", "processes", "seed"),
)
_WIDTH, _HEIGHT = 560, 180


def write_pages(ctx: Context, record: JobRecord) -> WrittenReport:
    """Write `report.md`, `report.html` and `model_card.md` into the job's folder.

    Raises:
        Conflict: The run has no result to report on.
    """
    spec = record.training
    if record.state != "succeeded" or record.forgotten_at:
        raise Conflict(
            f"{record.id} has no result to report on: it is {record.state}.",
            hint="Name a finished training run; `luthier jobs` lists them.",
        )
    events = ctx.store.jobs.events(record.id, kinds=["metrics", "attempt"])
    title = f"{record.id}: {disarm(spec.goal) or f'{spec.method} on {disarm(spec.dataset)}'}"
    sections = _sections(record, events)
    page = _markdown(title, sections)
    folder = ctx.settings.job_folder(record.id)
    files = {
        "report": (folder / "report.md", page),
        "report_html": (folder / "report.html", _html(title, sections, events)),
        "model_card": (folder / "model_card.md", _card(record, sections)),
    }
    for name, (path, text) in files.items():
        write_durably(path, text.encode())
        relative = path.resolve().relative_to(ctx.settings.home.resolve()).as_posix()
        ctx.store.jobs.record(record.id, artifacts={name: relative})
    return WrittenReport(
        job=record.id, files={name: str(path) for name, (path, _) in files.items()}, page=page
    )


def _sections(record: JobRecord, events: Sequence[EventRecord]) -> list[tuple[str, list[str]]]:
    spec, metrics = record.training, record.metrics
    changed = [f"{disarm(str(e.payload['reason']))}" for e in events if e.kind == "attempt"]
    verdict = str(metrics.get("verdict_text") or "It was not judged against its base.")
    sections = [
        ("Was it worth it?", [verdict, *_figures(metrics)]),
        (
            "What was done",
            [
                f"Base model: {disarm(spec.model)}.",
                f"Data: {disarm(spec.dataset)} for {spec.task}.",
                *_cost(record),
            ],
        ),
        ("What to keep in mind", _limits(metrics)),
    ]
    if changed:
        sections.insert(2, ("What happened on the way", changed))
    return sections


def _figures(metrics: dict[str, Any]) -> list[str]:
    lines = []
    for name, label, sense in _FIGURES:
        tuned, base = metrics.get(name), metrics.get(f"base_{name}")
        if not isinstance(tuned, int | float):
            continue
        low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
        band = f" (95 % between {low:.3f} and {high:.3f})" if low is not None else ""
        before = f", base {base:.3f}" if isinstance(base, int | float) else ""
        lines.append(f"{label}: {tuned:.3f}{band}{before}; {sense}.")
    if metrics.get("n"):
        lines.append(f"Judged on {metrics['n']:,} held-out rows.")
    return lines


def _cost(record: JobRecord) -> list[str]:
    lines = []
    for name, label, said in (
        ("duration_s", "Time", clock),
        ("memory_gib", "Memory at its peak", lambda value: f"{value:.2f} GiB"),
    ):
        if isinstance(record.measured.get(name), int | float):
            predicted = record.predicted.get(name)
            expected = f", predicted {said(predicted)}" if predicted else ""
            lines.append(f"{label}: {said(record.measured[name])}{expected}.")
    return lines


def _limits(metrics: dict[str, Any]) -> list[str]:
    lines = ["It was tuned for this task; what it says about other things was not judged."]
    if isinstance(metrics.get("majority_share"), int | float):
        share = metrics["majority_share"]
        lines.append(
            f"Always saying the commonest label would be right in {share:.0%} of the rows."
        )
    if isinstance(metrics.get("tfidf_accuracy"), int | float):
        lines.append(f"Counting words reaches {metrics['tfidf_accuracy']:.0%} on the same rows.")
    if metrics.get("near_duplicates"):
        lines.append(f"{metrics['near_duplicates']} judged rows nearly repeat one trained on.")
    worse = [row for row in metrics.get("regressions") or [] if isinstance(row, dict)]
    if worse:
        lines.append(f"{len(worse)} of the rows looked at got worse; `luthier show` lists them.")
    return lines


def _markdown(title: str, sections: Sequence[tuple[str, list[str]]]) -> str:
    parts = [f"# {title}"]
    for heading, lines in sections:
        parts += [f"## {heading}", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(parts) + "\n"


def _html(
    title: str, sections: Sequence[tuple[str, list[str]]], events: Sequence[EventRecord]
) -> str:
    body = [f"<h1>{escape(title)}</h1>"]
    for heading, lines in sections:
        items = "".join(f"<li>{escape(line)}</li>" for line in lines)
        body.append(f"<h2>{escape(heading)}</h2><ul>{items}</ul>")
    body.append(f"<h2>How it learned</h2>{_curve(events)}")
    style = "body{font:15px/1.5 sans-serif;max-width:42rem;margin:2rem auto;color:#222}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{style}</style>{''.join(body)}</html>\n"
    )


def _curve(events: Sequence[EventRecord]) -> str:
    """Return the losses as two lines of an SVG: training thin, validation strong."""
    metrics = [event for event in events if event.kind == "metrics"]
    trained = [
        (int(e.payload["step"]), float(e.payload["loss"]))
        for e in metrics
        if e.payload.get("loss") is not None
    ]
    held_out = validation_losses(metrics)
    points = trained + held_out
    if not points:
        return "<p>No losses were recorded.</p>"
    last, top = max(step for step, _ in points), max(loss for _, loss in points) or 1.0

    def line(values: Sequence[tuple[int, float]], colour: str, width: float) -> str:
        where = " ".join(
            f"{_WIDTH * step / max(1, last):.1f},{_HEIGHT * (1 - loss / top):.1f}"
            for step, loss in values
        )
        return f'<polyline fill="none" stroke="{colour}" stroke-width="{width}" points="{where}"/>'

    words = f"Loss from {points[0][1]:.2f} over {last} steps; strong: on held-out rows."
    return (
        f'<svg viewBox="0 -4 {_WIDTH} {_HEIGHT + 8}" role="img" aria-label="losses">'
        f"{line(trained, '#9ab', 1)}{line(held_out, '#1f6f8b', 2.5)}</svg><p>{words}</p>"
    )


def _card(record: JobRecord, sections: Sequence[tuple[str, list[str]]]) -> str:
    spec = record.training
    front = {
        "base_model": spec.model,
        "library_name": "peft" if "adapter" in record.artifacts else "transformers",
        "tags": ["luthier", spec.method, spec.task],
    }
    settings = [f"{name.replace('_', ' ')}: {getattr(spec, name)}" for name in _SETTINGS]
    use = [disarm(spec.goal) or f"{spec.task} on data like {disarm(Path(spec.path).name)}."]
    pages = [("Intended use", use), *sections, ("Settings", settings)]
    pages.append(("To repeat it", [f"Plan {record.plan_hash}", f"Seed {spec.seed}"]))
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{_markdown(f'Model card of {record.id}', pages)}"
