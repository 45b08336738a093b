"""The verdict on a tuned model: one word, two sentences, base against tuned, gains and losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tools.evaluate.figures import Estimate
from tools.evaluate.judgement import Judgement, RowSample
from tools.history.jobs import JobRecord
from ui.web.charts import against_base
from ui.web.escape import h, shorten
from ui.web.words import (
    LESS_IS_BETTER,
    clock,
    difference,
    gib,
    interval,
    metric_name,
    number,
)

_MOST_FIGURES = 5


def verdict_card(job: JobRecord, judgement: Judgement | None, facts: Callable[..., str]) -> str:
    """Return the card; rows of the data and answers of models in it are escaped."""
    metrics = job.metrics
    word = str(metrics.get("verdict") or "done")
    pairs = [
        (metric_name(key), _from_to(metrics, key)) for key in _other_measures(metrics, judgement)
    ]
    pairs += [
        ("time", _beside(job, "duration_s", clock)),
        ("memory", _beside(job, "memory_gib", gib)),
    ]
    return (
        f'<section class="card verdict" aria-label="Verdict on {h(job.id)}">'
        f'<header><span class="word {_tone(word)}">{h(word)}</span>'
        f"<span>{h(job.id)}</span></header>"
        f"<p>{h(metrics.get('verdict_text') or 'The run ended as planned.')}</p>"
        f"{_headline(metrics, judgement)}{_forgetting(metrics)}{facts(pairs)}{_people(metrics)}"
        f"{_samples(judgement)}</section>"
    )


def _other_measures(metrics: Mapping[str, Any], judgement: Judgement | None) -> list[str]:
    """Return what was measured besides the headline, the task's own measures first."""
    usual = ["macro_f1", "eval_loss", "perplexity"]
    own = list(judgement.metrics.get("tuned", {})) if judgement else []
    named = ["eval_loss" if key == "loss" else key for key in own]
    headline = _headline_key(metrics, judgement)
    known = [key for key in dict.fromkeys([*named, *usual]) if key != headline]
    return [key for key in known if isinstance(metrics.get(key), int | float)][:_MOST_FIGURES]


def _headline_key(metrics: Mapping[str, Any], judgement: Judgement | None) -> str:
    primary = judgement.primary if judgement else str(metrics.get("primary") or "")
    if not primary:
        primary = "accuracy" if metrics.get("accuracy") is not None else "loss"
    return "eval_loss" if primary == "loss" else primary


def _headline(metrics: Mapping[str, Any], judgement: Judgement | None) -> str:
    """Return base → tuned in the measure that the verdict rests on, with its interval and n."""
    key = _headline_key(metrics, judgement)
    tuned, base = (
        _estimate(metrics, judgement, key, "tuned"),
        _estimate(metrics, judgement, key, "base"),
    )
    if tuned is None:
        return ""
    n = metrics.get("n")
    before = f"{number(base.value)} → " if base is not None else ""
    rows = f", n = {n:,}" if isinstance(n, int) else ""
    changed = _change(metrics, judgement)
    drawn = ""
    if key not in LESS_IS_BETTER and _in_unit(tuned) and (base is None or _in_unit(base)):
        drawn = against_base(_span(base), _span(tuned))
    return (
        f'<p class="headline">{h(metric_name(key))} <b>{before}{number(tuned.value)}</b>'
        f" {interval(tuned.low, tuned.high)}{rows}{changed}</p>{drawn}"
    )


def _change(metrics: Mapping[str, Any], judgement: Judgement | None) -> str:
    """Return the interval of the difference, signed so that more is better."""
    told = metrics.get("difference")
    if judgement and judgement.difference:
        told = judgement.difference.model_dump()
    if not isinstance(told, Mapping) or told.get("low") is None:
        return ""
    low, high = difference(float(told["low"])), difference(float(told["high"]))
    return f' <span class="quiet">difference {low} to {high}</span>'


def _estimate(
    metrics: Mapping[str, Any], judgement: Judgement | None, key: str, model: str
) -> Estimate | None:
    if judgement:
        name = "loss" if key == "eval_loss" else key
        found = judgement.metrics.get(model, {}).get(name)
        if found is not None:
            return found
    prefix = "" if model == "tuned" else "base_"
    value = metrics.get(f"{prefix}{key}")
    if not isinstance(value, int | float):
        return None
    low, high = metrics.get(f"{prefix}{key}_low"), metrics.get(f"{prefix}{key}_high")
    return Estimate(value=value, low=low, high=high)


def _in_unit(estimate: Estimate) -> bool:
    values = [v for v in (estimate.value, estimate.low, estimate.high) if v is not None]
    return all(0 <= value <= 1 for value in values)


def _span(estimate: Estimate | None) -> tuple[float, float, float] | None:
    if estimate is None:
        return None
    low = estimate.low if estimate.low is not None else estimate.value
    high = estimate.high if estimate.high is not None else estimate.value
    return estimate.value, low, high


def _forgetting(metrics: Mapping[str, Any]) -> str:
    """Say what general text costs now; only a loss of it is worth a line."""
    found = metrics.get("forgetting")
    if not isinstance(found, Mapping) or float(found.get("high") or 0) >= 0:
        return ""
    lost = abs(float(found["value"]))
    return (
        f'<p class="note">It forgot some general text: {number(lost, 3)} nats per token more.</p>'
    )


def _people(metrics: Mapping[str, Any]) -> str:
    """Return what people preferred in the blind comparison."""
    found = metrics.get("preference")
    if not isinstance(found, Mapping):
        return ""
    share, voters = found.get("share") or {}, found.get("voters") or ()
    span = interval(share.get("low"), share.get("high"))
    agreed = found.get("agreement")
    agreement = f", agreement {number(agreed)}" if agreed is not None else ""
    judges = f"{len(voters)} {'judge' if len(voters) == 1 else 'judges'}"
    return (
        '<p class="people">People preferred the tuned answer in'
        f" <b>{number(share.get('value'))}</b> {span} of {found.get('pairs', 0)} pairs"
        f" ({judges}{agreement}).</p>"
    )


def _samples(judgement: Judgement | None) -> str:
    """Return the rows that changed most, gains beside regressions; all of it is untrusted text."""
    if judgement is None:
        return ""
    parts = [
        _rows(judgement.samples.gains[:3], "Best gains", "gain", "No row got better."),
        _rows(judgement.samples.regressions[:3], "Worst regressions", "loss", "No row got worse."),
    ]
    return f'<div class="samples">{"".join(parts)}</div>'


def _rows(rows: Sequence[RowSample], title: str, css: str, none: str) -> str:
    items = "".join(
        f"<li><q>{h(shorten(row.prompt, 160))}</q><dl>"
        f"<div><dt>base</dt><dd>{h(shorten(row.base, 80))}</dd></div>"
        f"<div><dt>tuned</dt><dd>{h(shorten(row.tuned, 80))}</dd></div>"
        f"<div><dt>right</dt><dd>{h(shorten(row.expected, 80))}</dd></div></dl></li>"
        for row in rows
    )
    body = f"<ol>{items}</ol>" if items else f'<p class="quiet">{none}</p>'
    return f'<section class="{css}"><h4>{title}</h4>{body}</section>'


def _from_to(metrics: Mapping[str, Any], name: str, digits: int = 2) -> str:
    tuned, base = metrics.get(name), metrics.get(f"base_{name}")
    if tuned is None:
        return ""
    return f"{number(base, digits)} → {number(tuned, digits)}" if base else number(tuned, digits)


def _beside(job: JobRecord, quantity: str, shown: Callable[[Any], str]) -> str:
    """Measured beside predicted, where there are both."""
    measured, predicted = job.measured.get(quantity), job.predicted.get(quantity)
    if measured is None:
        return ""
    expected = predicted.get("expected") if isinstance(predicted, dict) else predicted
    return shown(measured) + (f", predicted {shown(expected)}" if expected is not None else "")


def _tone(word: str) -> str:
    return {"ship": "good", "promising": "good", "regressed": "bad"}.get(word, "plain")
