"""How good the estimates are on this machine: predicted against measured, from the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tools.advise import ledger
from tools.context import Context
from ui.web import tables
from ui.web.escape import h
from ui.web.plot import Plot, logarithmic
from ui.web.words import DASH, clock, gib, percent

_BAND = 0.25
"""Half of the band that is drawn round the diagonal, as a share."""
_MOST_ROWS = 40
_SHOWN = {ledger.MEMORY: ("Memory", gib), ledger.DURATION: ("Time", clock)}


def ledger_card(ctx: Context) -> str:
    """Return both plots with their mean errors and the runs behind them."""
    records = {quantity: ledger.record(ctx, quantity) for quantity in _SHOWN}
    if not any(record["runs"] for record in records.values()):
        return (
            "<h2>Predicted and measured</h2>"
            + '<p class="quiet">No run has been measured on this machine yet. The first one that'
            " ends starts this ledger, and corrects the next estimate.</p>"
        )
    plots = "".join(_quantity(name, record) for name, record in records.items() if record["runs"])
    return (
        "<h2>Predicted and measured</h2>"
        '<p class="quiet">Each dot is a run that ended here. On the line the prediction was exact;'
        f" the band is {percent(_BAND)} either way. Later estimates are corrected by them.</p>"
        f'<div class="ledger">{plots}</div>{_table(records)}'
    )


def _quantity(name: str, record: Mapping[str, Any]) -> str:
    title, unit = _SHOWN[name]
    runs = [run for run in record["runs"] if run["predicted"] > 0 and run["measured"] > 0]
    within = sum(abs(r["predicted"] - r["measured"]) <= _BAND * r["measured"] for r in runs)
    said = (
        f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}, mean error"
        f" {percent(record['mean_error'])}, {within} within the band; the next estimate is"
        f" multiplied by {record['correction']:.2f}"
    )
    return (
        f'<figure><h3>{title} <span class="quiet">{record["unit"]}: measured (up) over predicted'
        f" (across)</span></h3>"
        f"{scatter(runs, title, unit)}<figcaption>{h(said)}.</figcaption></figure>"
    )


def scatter(runs: Sequence[Mapping[str, Any]], title: str, unit: Any) -> str:
    """Return predicted (across) against measured (up), both in equal factors, with the diagonal."""
    both = [float(run[key]) for run in runs for key in ("predicted", "measured")]
    scale = logarithmic(both)
    words = f"{title}: predicted against measured of {len(runs)} runs."
    plot = Plot(scale, scale, words, tall=240)
    ends = [scale.low * (scale.high / scale.low) ** (i / 24) for i in range(25)]
    plot.area([(x, x * (1 - _BAND)) for x in ends], [(x, x * (1 + _BAND)) for x in ends], "band")
    plot.line([(x, x) for x in ends], "exact")
    for index, run in enumerate(runs):
        css = "run newest" if index == len(runs) - 1 else "run"
        told = f"{run['job']}: predicted {unit(run['predicted'])}, measured {unit(run['measured'])}"
        plot.dot((run["predicted"], run["measured"]), css, told)
    return plot.html()


def _table(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the same as a table, for reading and for those who do not see the plots."""
    by_job: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, record in records.items():
        for run in record["runs"]:
            by_job.setdefault(str(run["job"]), {})[name] = run
    header = ("run", "memory predicted", "measured", "off by", "time predicted", "measured",
              "off by")  # fmt: skip
    rows = []
    for job, found in list(reversed(by_job.items()))[:_MOST_ROWS]:
        cells = [tables.text(job)]
        for name, (_, unit) in _SHOWN.items():
            run = found.get(name)
            cells += [tables.figure(unit(run[key]) if run else DASH)
                      for key in ("predicted", "measured")]  # fmt: skip
            cells.append(tables.figure(_off(run)))
        rows.append((cells, ""))
    shown = tables.table(header, rows, caption="Predicted and measured of each run", css="stack")
    return f'<details class="more"><summary>The runs as a table</summary>{shown}</details>'


def _off(run: Mapping[str, Any] | None) -> str:
    if run is None or not run["measured"]:
        return DASH
    error = (run["predicted"] - run["measured"]) / run["measured"]
    return f"{'+' if error > 0 else '−' if error < 0 else '±'}{abs(error) * 100:.0f} %"
