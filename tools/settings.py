"""This machine and this person: read once at a face, frozen, passed inside `Context`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, SecretStr, SkipValidation, ValidationError

from tools.errors import BadInput
from tools.starting import WarmWorkers

NetworkPolicy = Literal["ask", "allow", "never"]


class Workers(Protocol):
    """What stands in for worker processes. Only the assistant's suite sets one."""

    def start(self, settings: Settings, job_id: str) -> int | None:
        """Take over a job that was just admitted; return the id of its process, if it has one."""

    def answer(self, settings: Settings, target: str, prompt: str) -> str:
        """Return what the model called `target` says to a prompt."""


class Settings(BaseModel):
    """Everything that differs between machines and people. No module reads the environment.

    Attributes:
        home: Folder with the databases, jobs, datasets and exports (`LUTHIER_HOME`).
        work_dir: Folder that relative paths start from.
        user_home: What `~` stands for.
        filesystem_root: What `/` stands for; another folder only in a sandbox.
        allowed_folders: Folders a chat may read besides `work_dir`, `home` and the samples.
        brain: `guided`, or a LangChain provider string such as `openai:gpt-5-mini`.
        base_url: OpenAI-compatible server for the brain.
        network: What a chat may do beyond this machine: ask first, always, or never.
        hub_endpoint: Address of the model hub.
        memory_limit_gib: Use no more memory than this; None means what is free.
        worker_threads: CPU threads a worker may use; None means all cores.
        rendezvous: HOST:PORT where the machines of one run find each other.
        port: Port of the app.
        workers: Stands in for worker processes; None starts real ones. Never saved or read.
        warm_workers: Has processes ready that real workers start from. Never saved or read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    home: Path
    work_dir: Path
    user_home: Path
    filesystem_root: Path = Path("/")
    allowed_folders: tuple[Path, ...] = ()
    brain: str = "guided"
    base_url: str | None = None
    api_key: SecretStr | None = None
    network: NetworkPolicy = "ask"
    hub_endpoint: str = "https://huggingface.co"
    hub_token: SecretStr | None = None
    memory_limit_gib: float | None = Field(default=None, gt=0)
    worker_threads: int | None = Field(default=None, ge=1)
    rendezvous: str | None = Field(default=None, pattern=r"^[\w.\-]+:\d{1,5}$")
    port: int = Field(default=7860, ge=0, le=65535)
    workers: Annotated[Workers | None, SkipValidation] = Field(
        default=None, exclude=True, repr=False
    )
    warm_workers: Annotated[WarmWorkers | None, SkipValidation] = Field(
        default=None, exclude=True, repr=False
    )

    @property
    def database(self) -> Path:
        """History of jobs, datasets, evaluations and approvals."""
        return self.home / "luthier.db"

    @property
    def threads_database(self) -> Path:
        """Conversations (LangGraph checkpoints)."""
        return self.home / "threads.db"

    def job_folder(self, job_id: str) -> Path:
        """Folder of one job: spec.json, log.txt, checkpoints/, adapter/, exit.json."""
        return self.home / "jobs" / job_id

    def dataset_folder(self, version: str) -> Path:
        """Folder of one prepared dataset version."""
        return self.home / "datasets" / version

    def worker_environment(self) -> dict[str, str]:
        """Variables a worker process needs to come to the same settings, and to stay quiet.

        Of this process's own environment only what finds libraries, caches and devices is
        passed on: keys and tokens of other services never reach a worker.
        """
        variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        variables |= {
            "LUTHIER_HOME": str(self.home),
            "LUTHIER_NETWORK": self.network,
            "HF_ENDPOINT": self.hub_endpoint,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1",
            # Threads that spin while they wait stall every other process on a busy machine.
            "OMP_WAIT_POLICY": "PASSIVE",
            # A GPU's memory grows in place: rows of ever new lengths leave no gaps behind.
            "PYTORCH_ALLOC_CONF": "expandable_segments:True",
            # Arrow's own pool takes a gibibyte of addresses at once, of which some have few.
            "ARROW_DEFAULT_MEMORY_POOL": "system",
        }
        if self.network == "never":
            variables["HF_HUB_OFFLINE"] = "1"
        if self.hub_token:
            variables["HF_TOKEN"] = self.hub_token.get_secret_value()
        if self.memory_limit_gib:
            variables["LUTHIER_MEMORY_LIMIT_GIB"] = str(self.memory_limit_gib)
        if self.rendezvous:
            variables["LUTHIER_RENDEZVOUS"] = self.rendezvous
        if self.worker_threads:
            variables["LUTHIER_WORKER_THREADS"] = str(self.worker_threads)
            variables["OMP_NUM_THREADS"] = str(self.worker_threads)
        return variables


_ENVIRONMENT = {
    "LUTHIER_HOME": "home",
    "LUTHIER_BRAIN": "brain",
    "LUTHIER_BASE_URL": "base_url",
    "LUTHIER_API_KEY": "api_key",
    "LUTHIER_NETWORK": "network",
    "LUTHIER_MEMORY_LIMIT_GIB": "memory_limit_gib",
    "LUTHIER_WORKER_THREADS": "worker_threads",
    "LUTHIER_RENDEZVOUS": "rendezvous",
    "LUTHIER_PORT": "port",
    "HF_ENDPOINT": "hub_endpoint",
    "HF_TOKEN": "hub_token",
}
_PASSED_ON = (
    *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "TEMP", "TMP"),
    *("SYSTEMROOT", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "VIRTUAL_ENV"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME", "TORCH_HOME"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
    *("LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"),
)
SAVED_FIELDS = ("brain", "base_url", "network", "allowed_folders", "memory_limit_gib")
"""Fields the Settings page may keep in `settings.json`. Keys and tokens are never written."""


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read settings: defaults, then `settings.json` in the home, then the environment.

    Raises:
        BadInput: A variable or the file holds a value that is not allowed.
    """
    variables = os.environ if environment is None else environment
    values: dict[str, Any] = {
        field: variables[name] for name, field in _ENVIRONMENT.items() if variables.get(name)
    }
    user_home = Path(variables.get("HOME") or Path.home())
    home = Path(values.pop("home", user_home / ".luthier")).expanduser().absolute()
    if variables.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        values.setdefault("network", "never")
    base = {"home": home, "work_dir": Path.cwd(), "user_home": user_home}
    try:
        return Settings(**base, **(_saved(home) | values))
    except ValidationError as error:
        names = {field: name for name, field in _ENVIRONMENT.items()}
        first = error.errors()[0]
        field = str(first["loc"][0])
        raise BadInput(
            f"The setting {names.get(field, field)} is not usable: {first['msg']}.",
            hint=f"Correct it in the environment or in {home / 'settings.json'}.",
        ) from error


def set_default_environment(**variables: str) -> None:
    """Set variables that a library reads by itself, where the person has not set them."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


@contextmanager
def extra_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process for a while, as the suite does with its canaries."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def save_settings(settings: Settings) -> None:
    """Keep the fields named in `SAVED_FIELDS` for the next start."""
    settings.home.mkdir(parents=True, exist_ok=True)
    kept = settings.model_dump(mode="json", include=set(SAVED_FIELDS))
    path = settings.home / "settings.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def _saved(home: Path) -> dict[str, Any]:
    path = home / "settings.json"
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"Cannot read {path}: {error}.", hint="Correct the file, or delete it to start afresh."
        ) from error
    if not isinstance(values, dict):
        raise BadInput(f"{path} is not a JSON object.", hint="Delete it to start afresh.")
    return {key: value for key, value in values.items() if key in SAVED_FIELDS}
