"""Writes docs/events.md from the models of events: `python -m tests.events_page`."""

from __future__ import annotations

import inspect
import re
import typing
from pathlib import Path

from tools.diagnose.needs import GATES, READ_FROM
from tools.diagnose.titles import TITLES
from tools.history.events import AnyEvent, Event
from tools.history.spec import JobState, TrainingSpec

PAGE = Path(__file__).parent.parent / "docs" / "events.md"
_INTRO = """# Events

What a run tells while it lives, and what `luthier diagnose` reads. This page is written by
`python -m tests.events_page` from `tools/history/events.py`; a test fails when the two differ.

A stream is a file with one JSON document a line (or one list of them), in the order of time. Each
has a `kind` and the fields of that kind, flat or under `payload`; `at` (ISO 8601) may stand beside
them. Every field may be left out of a stream made elsewhere (`required` is what Luthier itself
always writes), null means not known, values of another type and fields that are not listed are
passed over, and shares are 0..1. What is not there is not guessed at: give what you have.

```
{"kind": "setup", "model": "org/model-1b", "parameters": 1240000000, "device": "cuda"}
{"kind": "metrics", "step": 10, "epoch": 0.2, "loss": 1.92, "learning_rate": 0.0002}
{"kind": "metrics", "step": 10, "epoch": 0.2, "eval_loss": 1.97}
```

    luthier diagnose --events run.jsonl --spec spec.json --log log.txt --json

Also read as events: the document of `luthier show JOB --json`, a `trainer_state.json` of
transformers, a list of its `log_history`, a `trainer_log.jsonl`, rows without a kind that hold
losses under names such as `train_loss`, `val_loss`, `train/loss`, `lr`, and a table of them (CSV).
A log is read for losses that it prints, as dictionaries, `name: value` or a table, and for errors;
of a long one the last 2 MB, of a long stream the first and last 60,000 events. The settings
(`--spec`) are the fields of a training spec (`spec.json` of a job), all of them optional here;
names of other tools, such as `per_device_train_batch_size`, are understood.

A loss that is no number is written as NaN, as text (`"nan"`), or named in `not_finite`. A run
counts as ended by a `state` of `succeeded`, or by `judged` or `timing`; while its last step lies
before `max_steps` or `epochs`, what is still falling is not held against it. A run that ended
badly tells why in `error`, in the `reason` of its `state`, or in the log, in the words of the
library or system that said it; the last `phase` (or `progress`) tells what it was doing.
"""
_STATES = ", ".join(f"`{state}`" for state in typing.get_args(JobState))
_PHASES = "`start`, `load`, `read`, `probe`, `train`, `evaluate`, `checkpoint`, `save`, `merge`"
_FREE = {
    "state": f"States: {_STATES}.",
    "phase": f"Phases that the diagnosis knows: {_PHASES}, `parity`; others are allowed.",
    "gate": "Measures of the gates:\n\n| gate | measure | meaning |\n|---|---|---|\n"
    + "\n".join(f"| `{g}` | `{n}` | {text} |" for g, names in GATES.items()
                for n, text in names.items()),
}  # fmt: skip


def fields_of(event: type[Event]) -> list[tuple[str, str, str]]:
    """Return name, type and meaning of each field of a kind."""
    meanings = _meanings(inspect.getdoc(event) or "")
    rows = []
    for name, field in event.model_fields.items():
        if name == "kind":
            continue
        kind = str(field.annotation).replace("typing.", "")
        kind = re.sub(r"<class '(\w+)'>", r"\1", kind).replace("NoneType", "None")
        kind = re.sub(r"tuple\[(\w+), \.\.\.\]", r"list[\1]", kind)
        needed = ", required" if field.is_required() else ""
        rows.append((name, kind.replace("|", "or") + needed, meanings.get(name, "")))
    return rows


def _meanings(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    if "Attributes:" not in text:
        return found
    entries = re.split(r"\n    (?=\w)", text.split("Attributes:", 1)[1])
    for entry in entries:
        names, _, meaning = entry.strip().partition(": ")
        for name in re.split(r",\s*", names):
            found[name.strip()] = " ".join(meaning.split())
    return found


def page() -> str:
    """Return the whole page."""
    parts = [_INTRO]
    for event in typing.get_args(AnyEvent):
        kind = typing.get_args(event.model_fields["kind"].annotation)[0]
        summary = (inspect.getdoc(event) or "").split("Attributes:")[0]
        parts.append(f"## `{kind}`\n\n{' '.join(summary.split())}\n")
        rows = [f"| `{n}` | {t} | {m} |" for n, t, m in fields_of(event)]
        parts.append("\n".join(["| field | type | meaning |", "|---|---|---|", *rows]) + "\n")
        if kind in _FREE:
            parts.append(f"{_FREE[kind]}\n")
    parts.append("## What each cause is read from\n")
    rows = [f"| `{code}` | {TITLES[code]} | {READ_FROM[code]} |" for code in TITLES]
    parts.append("\n".join(["| code | cause | evidence |", "|---|---|---|", *rows]) + "\n")
    names = ", ".join(f"`{name}`" for name in TrainingSpec.model_fields)
    parts.append(f"## Settings\n\nFields of a training spec: {names}.\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
