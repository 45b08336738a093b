"""Loading the libraries of a worker: without those it does not use, and without looking back."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


def leave_out(names: Iterable[str]) -> None:
    """Keep libraries from being imported by others: they are then as good as not installed."""
    for name in names:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


@contextmanager
def without_collecting() -> Iterator[None]:
    """Look for no garbage while libraries are imported, and never again among what they made.

    That is some hundred thousand objects, nearly all of which stay. Going through them again and
    again takes a sixth of the time of importing a trainer, and a quarter of a second at each
    collection from then on.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


@without_collecting()
def load_training() -> None:
    """Import what a training uses."""
    import peft  # noqa: F401, PLC0415 - the point of it all

    from tools.work import train  # noqa: F401, PLC0415
