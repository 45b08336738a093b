"""HTML tables whose rows can be chosen, and searched without asking the server."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ui.web.escape import h
from ui.web.words import DASH

KEY_CLICKS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-key]');
  if (!button || button.getAttribute('aria-busy')) return;
  if (button.dataset.busy) {
    button.textContent = button.dataset.busy;
    button.setAttribute('aria-busy', 'true');
  }
  trigger('open', {key: button.dataset.key});
});
"""
"""A click on a button with a key triggers `open` with it; `data-busy` is its face meanwhile.

(Gradio reads a `path` as a file.)
"""
ROW_CLICKS = (
    KEY_CLICKS
    + """
const sieve = () => {
  const words = (element.querySelector('input[type=search]')?.value || '').toLowerCase().trim();
  const state = element.querySelector('select')?.value || '';
  let shown = 0;
  for (const row of element.querySelectorAll('tbody tr')) {
    const aside = row.hasAttribute('data-aside') && !words && !row.querySelector(':checked');
    row.hidden = aside || (state && row.dataset.state !== state)
      || !row.textContent.toLowerCase().includes(words);
    shown += row.hidden ? 0 : 1;
  }
  const none = element.querySelector('.none');
  if (none) none.hidden = shown > 0;
};
element.addEventListener('input', sieve);
watch('value', sieve);
"""
)
"""The same for tables; typing hides rows that do not match."""

KEEP_FOCUS = """
const opened = new Set();
let focused = '';
element.addEventListener('toggle', (event) => {
  const name = event.target.dataset?.keep;
  if (name) event.target.open ? opened.add(name) : opened.delete(name);
}, true);
element.addEventListener('focusin', (event) => {
  const {key, pick} = event.target.dataset;
  const named = (name, value) => `[data-${name}="${CSS.escape(value)}"]`;
  focused = key ? named('key', key) : pick ? named('pick', pick) : '';
});
let scrolled = 0;
element.addEventListener('scroll', (event) => {
  if (event.target.matches?.('.tablebox')) scrolled = event.target.scrollTop;
}, true);
watch('value', () => {
  const box = element.querySelector('.tablebox');
  if (box && scrolled) box.scrollTop = scrolled;
  for (const part of element.querySelectorAll('details[data-keep]'))
    if (opened.has(part.dataset.keep)) part.open = true;
  if (focused && (!document.activeElement || document.activeElement === document.body))
    element.querySelector(focused)?.focus({preventScroll: true});
});
"""
"""What is drawn anew while a job runs keeps its place, the focus and what is open (`data-keep`)."""


@dataclass(frozen=True)
class Cell:
    """One cell. `html` must be escaped already; `label` names it on narrow screens."""

    html: str
    number: bool = False


def text(value: object) -> Cell:
    """Return a cell with escaped text."""
    return Cell(h(value))


def figure(value: object) -> Cell:
    """Return a cell with a number, set to the right."""
    return Cell(h(value), number=True)


def link(key: str, label: str) -> Cell:
    """Return a cell with the button that chooses its row."""
    return Cell(f'<button type="button" class="rowlink" data-key="{h(key)}">{h(label)}</button>')


def table(
    header: Sequence[str],
    rows: Sequence[tuple[Sequence[Cell], str]],
    *,
    caption: str,
    css: str = "",
    aside: Collection[int] = (),
) -> str:
    """Return a table; each row comes with the state that the filter looks at.

    Args:
        aside: Rows, by their place, that only a search brings forward.
    """
    numeric = [bool(rows) and rows[0][0][i].number for i in range(len(header))]
    heads = "".join(
        f'<th scope="col"{" class=num" if right else ""}>{h(name)}</th>'
        for name, right in zip(header, numeric, strict=True)
    )
    body = []
    for index, (cells, state) in enumerate(rows):
        row = "".join(
            f'<td data-label="{h(name)}"{_css(cell)}>{cell.html}</td>'
            for name, cell in zip(header, cells, strict=True)
        )
        hidden = " data-aside hidden" if index in aside else ""
        body.append(f'<tr data-state="{h(state)}"{hidden}>{row}</tr>')
    return (
        f'<div class="tablebox"><table class="rows {css}" aria-label="{h(caption)}">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _css(cell: Cell) -> str:
    # Narrow screens leave out what is not known: each cell is a line of its own there.
    names = [name for name, is_so in (("num", cell.number), ("gap", cell.html == DASH)) if is_so]
    return f' class="{" ".join(names)}"' if names else ""


def sieve(states: Sequence[str], placeholder: str, *, every: str = "all states") -> str:
    """Return the search box and the filter that `ROW_CLICKS` listens to."""
    choices = "".join(f'<option value="{h(s)}">{h(s)}</option>' for s in states)
    picker = (
        f'<select aria-label="Filter by state"><option value="">{h(every)}</option>{choices}'
        "</select>"
        if states
        else ""
    )
    return (
        f'<div class="sieve"><input type="search" placeholder="{h(placeholder)}"'
        f' aria-label="{h(placeholder)}">{picker}</div>'
    )


def empty(title: str, advice: str) -> str:
    """Return the face of a page that has nothing yet: what to do first."""
    return f'<section class="nothing"><h3>{h(title)}</h3><p>{h(advice)}</p></section>'
