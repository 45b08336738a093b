"""The list of conversations: new, by day, with a search that works in the page."""

from __future__ import annotations

from itertools import groupby

from tools.context import Context
from ui.web.escape import h, shorten
from ui.web.words import day_of

CLICKS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-thread]');
  if (button) trigger('open', {thread: button.dataset.thread});
});
element.addEventListener('input', (event) => {
  if (!event.target.matches('input[type=search]')) return;
  const wanted = event.target.value.trim().toLowerCase();
  for (const item of element.querySelectorAll('li'))
    item.hidden = !item.textContent.toLowerCase().includes(wanted);
  for (const group of element.querySelectorAll('.day'))
    group.hidden = !group.querySelector('li:not([hidden])');
});
"""


def thread_list(ctx: Context, current: str) -> str:
    """Return the list's HTML; `current` is marked."""
    now = ctx.clock()
    threads = ctx.store.threads(limit=100)
    if not threads:
        return '<p class="quiet">Conversations you start are kept here.</p>'
    groups = []
    for day, members in groupby(threads, key=lambda thread: day_of(thread.touched_at, now)):
        items = "".join(
            f'<li><button type="button" data-thread="{h(thread.id)}"'
            f"{' aria-current=true' if thread.id == current else ''}"
            f' title="{h(thread.title)}">{h(shorten(thread.title, 60) or "Conversation")}'
            "</button></li>"
            for thread in members
        )
        groups.append(f'<div class="day"><h3>{h(day)}</h3><ul>{items}</ul></div>')
    search = (
        '<input type="search" placeholder="Search" aria-label="Search conversations">'
        if len(threads) > 6
        else ""
    )
    return f'<nav aria-label="Conversations">{search}{"".join(groups)}</nav>'
