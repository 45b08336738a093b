"""Finds what ships with Luthier, in a checkout and in an installed wheel alike."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def data_folder() -> Path:
    """Return the folder `data/`: inside the wheel, else beside the packages in a checkout."""
    here = Path(__file__).resolve().parent
    for folder in (here / "_data", here.parent / "data"):
        if folder.is_dir():
            return folder
    raise RuntimeError(f"Luthier's data folder is missing beside {here}")


def shipped(*parts: str) -> Path:
    """Return the path of a shipped file, such as `shipped("samples", "support_tickets.csv")`."""
    return data_folder().joinpath(*parts)
