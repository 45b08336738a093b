"""The shapes of a dataset: how its labels are spread, and how long its rows are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ui.web.cards import facts
from ui.web.charts import bars, length_scale
from ui.web.escape import h
from ui.web.plot import Plot, Scale, linear, short
from ui.web.words import percent

_MOST_CUTS = 6
"""As many choices of a cut as the style sheet knows."""
_FEW_CUT = 0.01
"""A cut that leaves this share of the rows shortened is the first suggestion."""


def labels_card(counts: Mapping[str, int]) -> str:
    """Return the labels as bars, the commonest first."""
    if not counts:
        return ""
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    most, least = ranked[0][1], ranked[-1][1]
    spread = f"{len(ranked)} labels"
    if len(ranked) > 1 and least:
        spread += f"; the commonest is {most / least:.1f} times as frequent as the rarest"
    return (
        f'<section class="card half"><h3>Labels</h3><p class="quiet">{h(spread)}.</p>'
        f"{bars(ranked)}</section>"
    )


def lengths_card(document: Mapping[str, Any]) -> str:
    """Return the histogram of row lengths with the line where they would be cut."""
    lengths = document.get("token_lengths") or {}
    bins = document.get("length_histogram") or ()
    if not lengths and not bins:
        return ""
    if bins:
        drawn = _histogram(bins, document.get("cut_shares") or lengths.get("cut") or {})
    else:
        drawn = length_scale([(n, lengths[n]) for n in ("p50", "p95", "p99", "max")])
    pairs = [(_NAMES[name], f"{lengths[name]:,}") for name in _NAMES if name in lengths]
    pairs.append(("one pass", f"{lengths.get('per_epoch', 0):,} tokens" if lengths else ""))
    return (
        f'<section class="card half"><h3>Length in tokens</h3>{drawn}{facts(pairs, "facts tight")}'
        f'<p class="quiet">{h(lengths.get("basis") or "")}</p></section>'
    )


_NAMES = {
    "p50": "half up to", "p95": "95 % up to", "p99": "99 % up to", "max": "longest",
}  # fmt: skip


def cuts_to_offer(shares: Mapping[str, Any]) -> list[tuple[int, float]]:
    """Return the lengths worth choosing from: those that cut rows, and the first that cuts none."""
    known = sorted((int(length), float(share)) for length, share in shares.items())
    useful = [(length, share) for length, share in known if 0 < share < 1]
    useful += [(length, share) for length, share in known if not share][:1]
    return useful[-_MOST_CUTS:]


def _histogram(bins: Sequence[Mapping[str, Any]], shares: Mapping[str, Any]) -> str:
    cuts = cuts_to_offer(shares)
    chosen = next((i for i, (_, share) in enumerate(cuts) if share <= _FEW_CUT), len(cuts) - 1)
    counts = [int(b["rows"]) for b in bins]
    plot = Plot(
        Scale(0, len(bins), ()),
        linear(counts, from_zero=True, parts=2),
        _in_words(bins),
        tall=150,
    )
    width = 100 / len(bins)
    for index, part in enumerate(bins):
        beyond = [f"over{k}" for k, (cut, _) in enumerate(cuts) if part["low"] >= cut]
        title = f"{part['low']:,} to {part['high']:,} tokens: {int(part['rows']):,} rows"
        plot.bar(
            index * width + width * 0.08, (index + 1) * width - width * 0.08, int(part["rows"]),
            " ".join(["lengthbar", *beyond]), title,
        )  # fmt: skip
    for k, (cut, _) in enumerate(cuts):
        if cut > bins[-1]["high"]:
            continue  # beyond every row: a line at the edge would stand at a wrong length
        plot.upright(_place(bins, cut), f"cut cut{k}")
    _edges(plot, bins)
    return f'<div class="lengthbox">{plot.html(x_ticks=False)}{_choice(cuts, chosen)}</div>'


def _edges(plot: Plot, bins: Sequence[Mapping[str, Any]]) -> None:
    every = max(1, round(len(bins) / 4))
    for index in range(0, len(bins), every):
        if len(bins) - index >= every or index == 0:
            plot.x_text(100 * index / len(bins), short(bins[index]["low"]))
    plot.x_text(100, short(bins[-1]["high"]))


def _place(bins: Sequence[Mapping[str, Any]], length: int) -> float:
    """Return where a length lies among the bins, in percent."""
    for index, part in enumerate(bins):
        low, high = part["low"], part["high"]
        if length <= high:
            within = (length - low) / (high - low) if high > low else 1.0
            return 100 * (index + min(1.0, max(0.0, within))) / len(bins)
    return 100.0


def _choice(cuts: Sequence[tuple[int, float]], chosen: int) -> str:
    """Return the lengths to choose from; the page's style sheet moves the line, no script."""
    if not cuts:
        return '<p class="quiet">No row is longer than any usual limit.</p>'
    options = "".join(
        f'<label><input type="radio" name="cut" class="pick{k}" value="{length}"'
        f"{' checked' if k == chosen else ''}><span>{length:,}</span></label>"
        for k, (length, _) in enumerate(cuts)
    )
    said = "".join(
        f'<p class="said{k}">{h(_cut_words(length, share))}</p>'
        for k, (length, share) in enumerate(cuts)
    )
    return (
        f'<fieldset class="cutpick"><legend>cut at</legend>{options}</fieldset>'
        f'<div class="cutsaid" aria-live="polite">{said}</div>'
    )


def _cut_words(length: int, share: float) -> str:
    if not share:
        return f"At {length:,} tokens no row is cut."
    exact = f"{share * 100:.1f} %" if share < 0.1 else percent(share)
    return f"At {length:,} tokens {exact} of the rows are cut."


def _in_words(bins: Sequence[Mapping[str, Any]]) -> str:
    top = max(bins, key=lambda part: int(part["rows"]))
    return (
        f"Rows by length, from {bins[0]['low']:,} to {bins[-1]['high']:,} tokens;"
        f" most have {top['low']:,} to {top['high']:,}."
    )
