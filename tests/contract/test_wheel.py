"""The wheel carries everything: packages, data, the command; and runs outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            str(folder),
            str(ROOT),
        ],
        check=True,
        timeout=300,
        capture_output=True,
    )
    return next(folder.glob("luthier-*.whl"))


def test_the_wheel_holds_the_samples_the_starter_model_and_the_matrix(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for expected in (
        "tools/_data/samples/support_tickets.csv",
        "tools/_data/starter-model/model.safetensors",
        "tools/_data/scenarios.toml",
        "tools/_data/models.toml",
    ):
        assert expected in names
    assert not [n for n in names if "__pycache__" in n or n.startswith("tests/")]


def test_the_wheel_stays_small(wheel: Path) -> None:
    assert wheel.stat().st_size < 20_000_000


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A clean virtual environment with the wheel; the tested libraries are lent to it."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    target = next(folder.glob("lib/python3*/site-packages"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(target),
            str(wheel),
        ],
        check=True,
        timeout=300,
        capture_output=True,
    )
    # After its own packages, so that `tools` and the others can only come from the wheel.
    (target / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (target / "_editable_off.pth").write_text(
        "import sys; sys.path[:] = [p for p in sys.path if p != " + repr(str(ROOT)) + "]\n"
    )
    home = tmp_path_factory.mktemp("home")
    return {
        "python": str(folder / "bin" / "python"),
        "LUTHIER_HOME": str(home / ".luthier"),
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "cwd": str(home),
        "target": str(target),
    }


def _run(installed: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [installed["python"], *arguments],
        env=installed,
        cwd=installed["cwd"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_installed_command_finds_its_own_data(installed: dict[str, str]) -> None:
    where = _run(installed, "-c", "import tools.shipped as s; print(s.data_folder())")
    assert where.stdout.strip() == str(Path(installed["target"]) / "tools" / "_data"), where.stderr
    command = "from ui.cli import run; import sys; sys.exit(run(sys.argv[1:]))"
    looked = _run(installed, "-c", command, "inspect", "data/samples/support_tickets.csv", "--json")
    assert looked.returncode == 0, looked.stderr[-2000:]
    assert '"classification"' in looked.stdout
