"""Libraries are loaded without looking for garbage; afterwards it is looked for as ever."""

from __future__ import annotations

import gc
import importlib.util
import sys
from collections.abc import Iterator

import pytest

from tools.work.loading import leave_out, without_collecting


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


def test_what_was_loaded_is_not_looked_through_again() -> None:
    with without_collecting():
        assert not gc.isenabled()
        kept = [[] for _ in range(50)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(kept)
    assert not any(found is kept for found in gc.get_objects())


def test_what_comes_later_is_still_collected() -> None:
    with without_collecting():
        pass
    circle: list[object] = []
    circle.append(circle)
    del circle
    assert gc.collect() >= 1


def test_a_library_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), without_collecting():
        raise ImportError("broken")
    assert gc.isenabled()


def test_what_is_left_out_is_as_good_as_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    leave_out(["colorsys"])
    assert importlib.util.find_spec("colorsys") is None
    with pytest.raises(ImportError):
        importlib.import_module("colorsys")
    sys.modules.pop("colorsys")
