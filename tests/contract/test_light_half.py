"""The light half never imports what only workers may: proven by stubs that raise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "datasets",
    "accelerate",
    "bitsandbytes",
    "onnxruntime",
    "onnxruntime_genai",
    "sklearn",
)


@pytest.fixture
def trip_wires(tmp_path: Path) -> dict[str, str]:
    """An environment in which importing a heavy library raises."""
    for name in HEAVY:
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')\n")
    return os.environ | {
        "PYTHONPATH": str(tmp_path),
        "LUTHIER_HOME": str(tmp_path / "home"),
        "HOME": str(tmp_path),
    }


def _python(
    code: str, environment: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_trip_wire_itself_works(trip_wires: dict[str, str]) -> None:
    result = _python("import torch", trip_wires)
    assert "torch was imported" in result.stderr


@pytest.mark.parametrize(
    "module", ["tools.catalog", "assistant.agent", "ui.web.app", "ui.cli", "ui.mcp"]
)
def test_importing_a_face_imports_nothing_heavy(module: str, trip_wires: dict[str, str]) -> None:
    result = _python(f"import {module}", trip_wires)
    assert result.returncode == 0, result.stderr[-2000:]


_LIGHT_CALLS = """
import json, sys
from tools.catalog import load_catalog
from tools.context import Context
from tools.settings import read_settings
ctx = Context(read_settings())
catalog = load_catalog()
tickets = "data/samples/support_tickets.csv"
for name, arguments in [
    ("inspect_dataset", {"path": tickets}), ("recommend_method", {"path": tickets}),
    ("estimate_resources", {"path": tickets}), ("list_models", {}), ("describe_hardware", {}),
    ("explain", {"question": "LoRA or QLoRA?"}), ("list_jobs", {}),
    ("start_training", {"path": tickets}),
]:
    assert catalog[name].call(ctx, arguments).text()
"""


def test_looking_planning_and_asking_need_nothing_heavy(trip_wires: dict[str, str]) -> None:
    result = _python(_LIGHT_CALLS, trip_wires)
    assert result.returncode == 0, result.stderr[-2000:]


def test_nothing_outside_the_work_rooms_names_a_heavy_import() -> None:
    offenders = []
    for package in ("tools", "assistant", "ui"):
        for path in (ROOT / package).rglob("*.py"):
            if path.is_relative_to(ROOT / "tools" / "work"):
                continue
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                words = line.strip().split()
                if (
                    words[:1] in (["import"], ["from"])
                    and words[1].split(".")[0].rstrip(",") in HEAVY
                ):
                    offenders.append(f"{path.relative_to(ROOT)}:{number}")
    assert offenders == []


def test_the_import_rules_hold() -> None:
    result = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:]
