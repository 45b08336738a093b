"""A pair of answers to judge without knowing whose they are, and what all votes came to."""

from __future__ import annotations

from tools.evaluate.ballot import Ballot, Preference, Tally
from ui.web.cards import facts
from ui.web.charts import against_half
from ui.web.escape import h
from ui.web.tables import KEEP_FOCUS, KEY_CLICKS
from ui.web.words import interval, number, percent

KEYS = (
    KEY_CLICKS
    + """
const choices = {1: 'first', ArrowLeft: 'first', 2: 'second', ArrowRight: 'second', 0: 'tie',
  ArrowDown: 'tie'};
document.addEventListener('keydown', (event) => {
  if (!element.isConnected || element.offsetParent === null) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest?.('input, textarea, select, [role=tab], [role=listbox]')) return;
  const side = choices[event.key];
  const button = side && element.querySelector(`button[data-key^="vote:${side}:"]`);
  if (!button) return;
  event.preventDefault();
  button.click();
});
element.addEventListener('click', (event) => {
  if (!event.target.closest('button[data-key^="vote:"]')) return;
  for (const other of element.querySelectorAll('button[data-key]'))
    other.setAttribute('aria-busy', 'true');
});
"""
    + KEEP_FOCUS
)
"""Clicks and the keys 1, 2, 0 or arrows; one vote a pair: the rest waits for the next pair."""

INTRO = (
    "<h2>Judge blind</h2>"
    '<p class="quiet">You see what both models answered to rows neither was trained on, in random'
    " order and without names. Votes are kept; several people can judge the same run under their"
    " own names, and the verdict takes them in.</p>"
)


def ballot_card(ballot: Ballot, *, can_go_back: bool) -> str:
    """Return the next pair; prompt, reference and answers are untrusted and escaped."""
    share = 100 * ballot.done / ballot.total if ballot.total else 0
    reference = ""
    if ballot.expected:
        reference = (
            '<details class="more" data-keep="reference"><summary>Reference answer</summary>'
            f'<p class="said">{h(ballot.expected)}</p></details>'
        )
    back = (
        '<button type="button" class="small" data-key="back">Change my last vote</button>'
        if can_go_back
        else ""
    )
    return (
        '<section class="ballot" aria-label="Which answer is better"><header class="spread">'
        f'<h3>Which answer is better?</h3><span class="num quiet">{ballot.done} of {ballot.total}'
        "</span></header>"
        f'<div class="bar" role="progressbar" aria-label="Pairs judged" aria-valuemin="0"'
        f' aria-valuemax="{ballot.total}" aria-valuenow="{ballot.done}">'
        f'<i style="width:{share:.0f}%"></i></div>'
        f'<p class="asked">{h(ballot.prompt)}</p>{reference}<div class="pair">'
        f"{_side(ballot, 'first', '1', ballot.first)}{_side(ballot, 'second', '2', ballot.second)}"
        f'</div><p class="acts">{_button(ballot, "tie", "No difference", "0")}{back}'
        '<button type="button" class="small" data-key="tally">Result so far</button></p>'
        '<p class="quiet">Keys: <kbd>1</kbd> or <kbd>←</kbd> the first, <kbd>2</kbd> or'
        " <kbd>→</kbd> the second, <kbd>0</kbd> or <kbd>↓</kbd> no difference.</p></section>"
    )


def _side(ballot: Ballot, side: str, number_: str, answer: str) -> str:
    said = h(answer.strip()) or '<span class="quiet">no answer</span>'
    return (
        f'<article><h4>Answer {number_}</h4><p class="said">{said}</p>'
        f"{_button(ballot, side, f'{number_} is better', number_)}</article>"
    )


def _button(ballot: Ballot, side: str, text: str, key: str) -> str:
    return (
        f'<button type="button" class="small" data-key="vote:{side}:{h(ballot.id)}"'
        f' aria-keyshortcuts="{key}">{h(text)}</button>'
    )


def finished_card(ballot: Ballot, tally: Tally) -> str:
    """Return what is shown once a judge has seen every pair, with the result of all judges."""
    return (
        f'<section class="ballot" role="status"><h3>All {ballot.total} pairs judged</h3>'
        f"<p>Your votes are kept under the name {h(ballot.voter)}.</p>{tally_part(tally)}"
        '<p class="acts"><button type="button" class="small" data-key="back">Change my last vote'
        "</button></p></section>"
    )


def tally_part(tally: Tally) -> str:
    """Return all votes on a run's answers, with the judges' agreement."""
    parts = [
        _preference(who, found)
        for who, found in (("People", tally.people), ("A language model", tally.model))
        if found is not None
    ]
    return "".join(parts) or '<p class="quiet">Nobody has voted yet.</p>'


def _preference(who: str, found: Preference) -> str:
    share = found.share
    span = interval(share.low, share.high)
    voters = len(found.voters)
    agreement = "one judge: no agreement to measure"
    if found.agreement is not None:
        same = f", the same choice in {percent(found.same)} of the cases" if found.same else ""
        agreement = f"{number(found.agreement)} (1 all agree, 0 chance){same}"
    pairs = [
        ("pairs", f"{found.pairs:,}"),
        ("for tuned", f"{found.tuned:,}"),
        ("for base", f"{found.base:,}"),
        ("no difference", f"{found.ties:,}"),
        ("judges", f"{voters}: {', '.join(found.voters)}"),
        ("agreement", agreement),
    ]
    low = share.low if share.low is not None else share.value
    high = share.high if share.high is not None else share.value
    return (
        f'<div class="tally"><p>{h(who)} preferred the tuned answer in'
        f" <b>{number(share.value)}</b> {span} of the pairs.</p>"
        f"{against_half(share.value, low, high)}{facts(pairs)}</div>"
    )
