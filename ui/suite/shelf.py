"""Keeps prepared versions of the shipped samples from one case to the next.

Preparing the same sample for every case would take most of a run's time. A version has a
fingerprint of its source and options, so one that lies there is the one that would be made.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from tools.datasets.manifest import read_manifest
from tools.errors import ToolError
from tools.settings import Settings
from tools.shipped import shipped


class Shelf:
    """Prepared versions in a folder of its own.

    Args:
        folder: Where they lie between the cases.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def furnish(self, settings: Settings) -> None:
        """Put what is on the shelf into a fresh home; the history does not list it."""
        for version in self._folder.iterdir():
            shutil.copytree(version, settings.dataset_folder(version.name))

    def collect(self, settings: Settings) -> None:
        """Take what the case prepared of a shipped sample."""
        datasets = settings.dataset_folder("any").parent
        for version in datasets.iterdir() if datasets.is_dir() else []:
            if self._is_new_sample(version):
                self._take(version)

    def _take(self, version: Path) -> None:
        # Several processes may bring the same version; the first one's stays.
        with tempfile.TemporaryDirectory(dir=self._folder.parent) as folder:
            copy = shutil.copytree(version, Path(folder) / version.name)
            with suppress(OSError):
                copy.rename(self._folder / version.name)

    def _is_new_sample(self, version: Path) -> bool:
        if (self._folder / version.name).exists() or not version.is_dir():
            return False
        try:
            source = Path(read_manifest(version).source_path)
        except ToolError:
            return False
        return source.is_relative_to(shipped("samples").resolve())
