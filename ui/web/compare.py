"""Several runs beside each other: curves overlaid, and only what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tools.history.jobs import JobRecord
from ui.web.escape import h, with_code
from ui.web.live import Life
from ui.web.plot import Plot, Point, linear, steps_to
from ui.web.words import DASH, LESS_IS_BETTER, clock, gib, interval, metric_name, number

MOST = 6
"""As many runs as the style sheet has colours for."""
_NOT_COMPARED = {"kind", "schema_version", "may_change", "dataset_fingerprint", "labels"}
_UNITS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "verdict": ("verdict", str),
    "eval_loss": ("validation loss", lambda value: number(value, 3)),
    "base_accuracy": ("accuracy of the base", number),
    "duration_s": ("time", clock),
    "memory_gib": ("memory at the peak", gib),
}
_MEASURES = (
    "verdict", "accuracy", "macro_f1", "entity_f1", "exact_match", "token_f1", "rougeL", "bleu",
    "chrf", "preference_win_rate", "reward", "eval_loss", "perplexity", "base_accuracy",
    "duration_s", "memory_gib",
)  # fmt: skip
_NOT_RANKED = {"verdict", "base_accuracy"}


def comparison(jobs: Sequence[JobRecord], lives: Mapping[str, Life], conclusion: str = "") -> str:
    """Return two or more runs compared; asks for another where there is only one.

    Args:
        conclusion: What `compare_jobs` says of them.
    """
    if not jobs:
        return ""
    if len(jobs) == 1:
        return (
            f'<p class="quiet picked" role="status">{h(jobs[0].id)} is selected. Select another run'
            " to compare them.</p>"
        )
    keys = "".join(
        f'<span><i class="line s{index}"></i>{h(job.id)}</span>' for index, job in enumerate(jobs)
    )
    train = _overlay(jobs, {job.id: lives[job.id].train for job in jobs}, "Training loss")
    held = _overlay(jobs, {job.id: lives[job.id].validation for job in jobs}, "Validation loss")
    curves = f'<div class="overlays">{held}{train}</div>' if held or train else ""
    return (
        f'<section class="card compare" aria-label="Comparison of {len(jobs)} runs">'
        f'<header class="spread"><h3>{len(jobs)} runs compared</h3>'
        '<button type="button" class="small" data-key="clear">Clear selection</button></header>'
        f'<p class="lead">{with_code(conclusion)}</p><p class="keys">{keys}</p>{curves}'
        f"{_differences(jobs)}</section>"
    )


def _overlay(jobs: Sequence[JobRecord], series: Mapping[str, Sequence[Point]], title: str) -> str:
    points = [point for line in series.values() for point in line]
    if not points:
        return ""
    ends = ", ".join(f"{job} {line[-1][1]:.3g}" for job, line in series.items() if line)
    plot = Plot(
        steps_to(max(x for x, _ in points)), linear([y for _, y in points]),
        f"{title} over steps; at the end: {ends}.", tall=220, x_name="step",
    )  # fmt: skip
    for index, job in enumerate(jobs):
        line = series[job.id]
        if line:
            plot.line(line, f"s{index}", job.id)
            plot.dot(line[-1], f"s{index}", f"{job.id}: {line[-1][1]:.4g}")
    return f"<figure><figcaption>{h(title)}</figcaption>{plot.html()}</figure>"


def differing_settings(jobs: Sequence[JobRecord]) -> tuple[dict[str, list[Any]], int]:
    """Return the settings in which the runs differ, and how many are the same."""
    specs = [job.spec.model_dump(mode="json") for job in jobs]
    names = list(dict.fromkeys(name for spec in specs for name in spec))
    differing, same = {}, 0
    for name in names:
        if name in _NOT_COMPARED:
            continue
        values = [spec.get(name) for spec in specs]
        if all(value == values[0] for value in values):
            same += 1
        else:
            differing[name] = values
    return differing, same


def _differences(jobs: Sequence[JobRecord]) -> str:
    settings, same = differing_settings(jobs)
    heads = "".join(
        f'<th scope="col"><button type="button" class="rowlink" data-key="{h(job.id)}">{h(job.id)}'
        "</button></th>"
        for job in jobs
    )
    parts = [_band(f"Settings that differ ({same} are the same)", len(jobs))]
    parts += [
        _row(name.replace("_", " "), [_plain(value) for value in values], None)
        for name, values in settings.items()
    ]
    if not settings:
        parts.append(_row("none", ["" for _ in jobs], None))
    parts.append(_band("Results", len(jobs)))
    parts += [row for row in (_metric_row(name, jobs) for name in _MEASURES) if row]
    return (
        '<div class="tablebox"><table class="rows versus" aria-label="What differs"><thead><tr>'
        f"<td></td>{heads}</tr></thead><tbody>{''.join(parts)}</tbody></table></div>"
    )


def _metric_row(name: str, jobs: Sequence[JobRecord]) -> str:
    title, shown = _UNITS.get(name, (metric_name(name), number))
    values = [job.metrics.get(name, job.measured.get(name)) for job in jobs]
    present = [value for value in values if value is not None]
    if not present or len({str(value) for value in values}) == 1:
        return ""
    best = None
    # Figures of different rows are shown, and not ranked; what a run took can always be.
    ranks = name in ("duration_s", "memory_gib") or _same_rows(jobs)
    if ranks and name not in _NOT_RANKED and len(present) > 1:
        pick = min if name in LESS_IS_BETTER else max
        best = values.index(pick(present))
    cells = []
    for job, value in zip(jobs, values, strict=True):
        span = ""
        if name == "accuracy":
            metrics = job.metrics
            span = " " + interval(metrics.get("accuracy_low"), metrics.get("accuracy_high"))
        cells.append(DASH if value is None else f"{shown(value)}{span}")
    return _row(title, cells, best)


def _same_rows(jobs: Sequence[JobRecord]) -> bool:
    return len({job.training.dataset_fingerprint for job in jobs}) == 1


def _band(title: str, columns: int) -> str:
    return f'<tr class="band"><th scope="colgroup" colspan="{columns + 1}">{h(title)}</th></tr>'


def _row(name: str, cells: Sequence[str], best: int | None) -> str:
    shown = "".join(
        f'<td class="num{" best" if index == best else ""}">{h(cell)}</td>'
        for index, cell in enumerate(cells)
    )
    return f'<tr><th scope="row">{h(name)}</th>{shown}</tr>'


def _plain(value: Any) -> str:
    if value is None or value == "" or value == []:
        return DASH
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
