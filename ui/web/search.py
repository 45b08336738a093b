"""A search for settings: its trials as a plot and a table, the best one marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tools.history.jobs import JobRecord
from ui.web import tables
from ui.web.escape import h
from ui.web.plot import Plot, Point, Scale, linear, short
from ui.web.words import DASH, number


def search_card(job: JobRecord, trials: Sequence[Mapping[str, Any]]) -> str:
    """Return the trials of a search.

    Args:
        trials: Rows of `tools.jobs.trials.trial_rows`.
    """
    best = best_trial(job, trials)
    wanted = getattr(job.spec, "trials", len(trials))
    head = f"{len(trials)} of {wanted} trials"
    if not trials:
        return (
            f'<section class="card search"><h3>Trials</h3><p class="quiet">{h(head)}. The first'
            " begins with the plan as it stands.</p></section>"
        )
    said = ""
    if best is not None:
        said = (
            f"The best so far is trial {best['number']}, validation loss"
            f" {number(best['value'], 4)}: {_values(best)}."
        )
    return (
        f'<section class="card search" aria-label="Trials"><header class="spread"><h3>Trials</h3>'
        f'<span class="num quiet">{h(head)}</span></header><p>{h(said)}</p>'
        f"{_plot(trials, best)}{_table(trials, best)}</section>"
    )


def best_trial(job: JobRecord, trials: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the trial that the search names as its best, else the one with the lowest loss."""
    scored = [trial for trial in trials if isinstance(trial.get("value"), int | float)]
    named = job.metrics.get("best_job")
    for trial in scored:
        if trial.get("job") == named:
            return trial
    return min(scored, key=lambda trial: float(trial["value"]), default=None)


def _plot(trials: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None) -> str:
    scored = [trial for trial in trials if isinstance(trial.get("value"), int | float)]
    if not scored:
        return '<p class="quiet">No trial has a result yet.</p>'
    numbers = [int(trial["number"]) for trial in trials]
    first, last = min(numbers), max(numbers)
    pad = max(0.4, (last - first) * 0.03)
    every = max(1, (last - first) // 8)
    x = Scale(first - pad, last + pad, tuple(float(n) for n in range(first, last + 1, every)))
    values = [float(trial["value"]) for trial in scored]
    words = f"Validation loss of {len(scored)} trials, from {max(values):.3g} to {min(values):.3g}."
    plot = Plot(x, linear(values), words, tall=220)
    lowest = float("inf")
    steps: list[Point] = []
    for trial in scored:
        if float(trial["value"]) < lowest:
            if steps:
                steps.append((float(trial["number"]), lowest))
            lowest = float(trial["value"])
        steps.append((float(trial["number"]), lowest))
    plot.line(steps, "sofar", "best so far")
    for trial in scored:
        css = "trial best" if trial is best else f"trial {_css(trial)}"
        told = f"trial {trial['number']}: {number(trial['value'], 4)}; {_values(trial)}"
        plot.dot((float(trial["number"]), float(trial["value"])), css, told)
    keys = (
        '<p class="keys"><span><i class="dotkey best"></i>best</span><span><i class="dotkey">'
        '</i>trial</span><span><i class="dotkey stopped-early"></i>stopped early</span><span>'
        '<i class="sofar"></i>best so far</span></p>'
    )
    return (
        "<figure><figcaption>Validation loss by trial</figcaption>"
        + plot.html()
        + "</figure>"
        + keys
    )


def _table(trials: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None) -> str:
    varied = list(dict.fromkeys(name for trial in trials for name in trial.get("values") or {}))
    header = ("trial", "state", *(name.replace("_", " ") for name in varied), "validation loss")
    rows = []
    for trial in trials:
        values = trial.get("values") or {}
        value = trial.get("value")
        mark = ' <b class="bestmark">best</b>' if trial is best else ""
        state = str(trial.get("state"))
        rows.append(
            (
                [
                    tables.Cell(
                        tables.link(str(trial.get("job")), f"{trial['number']}").html + mark
                    ),
                    tables.Cell(f'<span class="state {_css(trial)}">{h(state)}</span>'),
                    *(tables.figure(_short(values.get(name))) for name in varied),
                    tables.figure(number(value, 4) if value is not None else DASH),
                ],
                state,
            )
        )
    return tables.table(header, rows, caption="Trials", css="stack trials")


def _values(trial: Mapping[str, Any]) -> str:
    values = trial.get("values") or {}
    said = ", ".join(f"{name.replace('_', ' ')} {_short(v)}" for name, v in values.items())
    return said or "the plan as it stands"


def _short(value: Any) -> str:
    if value is None:
        return DASH
    return short(float(value)) if isinstance(value, int | float) else str(value)


def _css(trial: Mapping[str, Any]) -> str:
    return h(str(trial.get("state")).replace(" ", "-"))
