"""Helpful words for a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from tools.datasets.quarantine import name_list


def did_you_mean(wrong: str, names: Sequence[str]) -> str:
    """Return a hint that offers the nearest name, or lists all of them."""
    folded = {name.lower(): name for name in names}
    near = difflib.get_close_matches(wrong.lower(), list(folded), n=1, cutoff=0.6)
    listed = f"The columns are: {name_list(list(names), 12)}."
    return f"Did you mean {name_list([folded[near[0]]])}? {listed}" if near else listed
