"""The bar at the top: which brain, which machine, how much memory is free, on or off line."""

from __future__ import annotations

import os

import psutil

from tools.settings import Settings
from ui.web.escape import h, shorten
from ui.web.words import gib

_MARK = (
    '<svg viewBox="0 0 18 18" aria-hidden="true" fill="none" stroke="currentColor"'
    ' stroke-width="1.6" stroke-linecap="round"><path d="M9 1.5v15M5.5 4.5c-3 0-3 4-1.2 4.5'
    'S2 16 5.8 16M12.5 4.5c3 0 3 4 1.2 4.5s2.3 7-1.5 7"/></svg>'
)
_NETWORK = {
    "never": ("offline", "Nothing leaves this machine"),
    "ask": ("asks before going online", "Luthier asks before it contacts another machine"),
    "allow": ("may go online", "Luthier may contact the model hub"),
}


def top_bar(settings: Settings) -> str:
    """Return the bar's HTML."""
    free = psutil.virtual_memory().available / 2**30
    if settings.memory_limit_gib:
        free = min(free, settings.memory_limit_gib)
    cores = settings.worker_threads or os.cpu_count() or 1
    word, why = _NETWORK[settings.network]
    offline = ' class="off"' if settings.network == "never" else ""
    return (
        f'<header class="top"><span class="brand">{_MARK}Luthier</span><div class="machine">'
        f"<span>brain <b>{h(shorten(settings.brain, 32))}</b></span>"
        f'<span class="wide">CPU <b>{cores} {"core" if cores == 1 else "cores"}</b></span>'
        f"<span><b>{h(gib(free))}</b> free</span>"
        f'<span{offline} title="{h(why)}">{h(word)}</span></div></header>'
    )
