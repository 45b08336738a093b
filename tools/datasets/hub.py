"""Datasets on the Hub: their names, the copy on this machine, and the worker that fetches."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from tools.context import Context
from tools.errors import BadInput, NotAllowed, NotFound, Unavailable
from tools.settings import Settings

_REPO = r"(?P<repo>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})"
_SLICE = r"(?P<split>[A-Za-z]\w*(?:\[-?\d*%?:-?\d*%?\])?)"
_NAME = re.compile(
    rf"^{_REPO}(?:@(?P<config>[\w.-]+))?(?:[: ]{_SLICE}|\[{_SLICE.replace('split', 'inner')}\])?$"
)
_PREFIXES = ("hf://datasets/", "https://huggingface.co/datasets/", "huggingface.co/datasets/")
_FILE = re.compile(
    r"\.(csv|tsv|tab|jsonl?|ndjson|parquet|arrow|feather|xlsx?|xlsm|txt|text|conll|gz|bz2|xz|zip)$",
    re.I,
)
_TIMEOUT_S = 1800


@dataclass(frozen=True)
class HubName:
    """A dataset on the Hub.

    Attributes:
        config: Named subset, if the person gave one.
        split: Split with an optional slice, such as `train[:4096]`; None means all splits.
    """

    repo: str
    config: str | None = None
    split: str | None = None

    @property
    def folder(self) -> str:
        """Name of the folder that keeps the copy."""
        text = "--".join(filter(None, [self.repo.replace("/", "--"), self.config, self.split]))
        return re.sub(r"[^\w.-]+", "_", text)


def hub_name(text: str) -> HubName | None:
    """Return the Hub dataset that `text` may name, such as `org/name:train[:4096]`."""
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    found = _NAME.match(text.strip())
    if not found or _FILE.search(found["repo"]) or ".." in text:
        return None
    return HubName(found["repo"], found["config"], found["split"] or found["inner"])


def cached(settings: Settings, name: HubName) -> Path | None:
    """Return the folder with the copy of a Hub dataset, if there is one."""
    folder = settings.home / "datasets" / "hub" / name.folder
    return folder if (folder / "source.json").is_file() else None


def destination(settings: Settings, name: HubName) -> str:
    """Return what would be contacted, for the question that asks for consent."""
    host = urlparse(settings.hub_endpoint).netloc or settings.hub_endpoint
    return f"{host}/{name.repo}"


def fetch(ctx: Context, name: HubName) -> Path:
    """Copy a Hub dataset to this machine as Parquet, in a process of its own.

    Raises:
        NotAllowed: The person has not agreed to leave the machine.
        NotFound: The Hub has no such dataset.
        Unavailable: The Hub cannot be reached.
    """
    settings = ctx.settings
    if settings.network == "never":
        raise NotAllowed(
            f"{name.repo} lies on the Hub, and this Luthier is set to stay offline.",
            hint="Allow the network in Settings, or give a file on this machine.",
        )
    if settings.network == "ask" and not (ctx.trusts_arguments or ctx.network_granted):
        raise NotAllowed(
            f"Reading {name.repo} would contact {destination(settings, name)}.",
            hint="Agree to that first, or give a file on this machine.",
        )
    folder = settings.home / "datasets" / "hub" / name.folder
    request = {
        "repo": name.repo, "config": name.config, "split": name.split, "folder": str(folder),
    }  # fmt: skip
    cache = folder.with_name(f".{name.folder}.cache")
    cache.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tools.work.fetch", json.dumps(request)],
            env=settings.worker_environment() | _own_cache(settings, cache),
            cwd=settings.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(
            f"The Hub did not deliver {name.repo} within {_TIMEOUT_S // 60} minutes.",
            hint="Try again, or ask for a part, such as train[:4096].",
        ) from error
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    _raise_for(done, name)
    return folder


def _own_cache(settings: Settings, cache: Path) -> dict[str, str]:
    """Return variables that keep the download's pieces out of the person's own cache."""
    token = settings.user_home / ".cache" / "huggingface" / "token"
    return {
        "PATH": str(Path(sys.executable).parent),
        "HF_HOME": str(cache),
        "HF_TOKEN_PATH": str(token),
    }


def _raise_for(done: subprocess.CompletedProcess[str], name: HubName) -> None:
    """Turn the worker's last line into the error it names."""
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise Unavailable(
            f"Fetching {name.repo} ended without an answer (exit code {done.returncode}).",
            hint="Try again; `luthier doctor` checks this installation.",
        )
    answer = json.loads(lines[-1])
    if answer["state"] == "done":
        return
    kinds = {"not_found": NotFound, "bad_input": BadInput, "not_allowed": NotAllowed}
    raise kinds.get(answer["state"], Unavailable)(answer["problem"], hint=answer["hint"])
