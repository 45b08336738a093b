"""The label lens: a row's tokens in two tones, trained and masked, with the stop token marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ui.web.escape import h
from ui.web.words import percent

_LEGEND = (
    '<p class="legend"><span class="t on">trained</span><span class="t">masked</span>'
    '<span class="t on stop">stop token</span></p>'
)


def lens_card(
    rows: Sequence[Mapping[str, Any]] | None, about: Mapping[str, Any] | None, missing: str = ""
) -> str:
    """Return what training would learn of the rows, token by token; all text is escaped.

    Args:
        rows: The `lens` of an inspection; None where there is none.
        about: Under which model it looked.
        missing: Why there is none.
    """
    if not rows:
        why = missing or "There is no row to look at yet."
        return (
            f'<section class="card lens"><h3>Label lens</h3><p class="quiet">{h(why)}</p></section>'
        )
    return (
        '<section class="card lens" aria-label="Label lens"><h3>Label lens</h3>'
        f'<p class="quiet">{h(_said(about or {}))}</p>{_LEGEND}'
        f'<ol class="lensrows">{"".join(_row(row) for row in rows)}</ol></section>'
    )


def _said(about: Mapping[str, Any]) -> str:
    own = "its own chat template" if about.get("own_template") else "a plain template: it has none"
    share = about.get("trained_share")
    trained = f" {percent(share)} of the tokens are trained." if share is not None else ""
    return (
        f"How {about.get('model') or 'the model'} reads these rows, with {own}.{trained}"
        " The model learns the marked tokens and only reads the others."
    )


def _row(row: Mapping[str, Any]) -> str:
    pieces = "".join(_token(token) for token in row.get("tokens") or ())
    return (
        f'<li><span class="rowno">row {h(row.get("row"))}</span><div><p class="tokens">{pieces}</p>'
        f'<p class="quiet">{h(row.get("note") or "")}</p></div></li>'
    )


def _token(token: Mapping[str, Any]) -> str:
    text = str(token.get("text", ""))
    shown = h(text).replace("\n", '<i class="nl">↵</i>\n')
    if not token.get("trained"):
        return f'<span class="t">{shown}</span>'
    if token.get("stop"):
        return f'<mark class="t on stop" title="stop token, trained">{shown or "end"}</mark>'
    return f'<mark class="t on">{shown}</mark>'
