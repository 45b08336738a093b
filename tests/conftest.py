"""Fixtures every layer uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.context import Context
from tools.settings import Settings, read_settings

ROOT = Path(__file__).resolve().parent.parent

# Tests run side by side, one on each core: a second thread each would only be in the way. It is
# read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What the person who runs the tests has set must not change them, and the hub's library reads
# its variables once, when it is imported.
for _name in [
    n for n in os.environ if n.startswith(("LUTHIER_", "HF_")) and n != "LUTHIER_MATERIAL"
]:
    del os.environ[_name]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A fresh LUTHIER_HOME."""
    return tmp_path / "home"


@pytest.fixture
def settings(home: Path, tmp_path: Path) -> Settings:
    """Settings of a person alone with an offline machine; files are looked up in `tmp_path`."""
    environment = {
        "LUTHIER_HOME": str(home),
        "HOME": str(tmp_path),
        "LUTHIER_NETWORK": "never",
        "LUTHIER_WORKER_THREADS": "1",
    }
    return read_settings(environment).model_copy(update={"work_dir": tmp_path})


@pytest.fixture
def ctx(settings: Settings) -> Context:
    """A context as a Python program has it."""
    return Context(settings)


@pytest.fixture
def material() -> Path:
    """Real data and tiny real models; the test is skipped where they are absent."""
    folder = Path(os.environ.get("LUTHIER_MATERIAL", ROOT.parent / "shared" / "material"))
    if not folder.is_dir():
        pytest.skip("the shared test material is not here")
    return folder
