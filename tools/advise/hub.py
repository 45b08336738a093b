"""Reads a model's small files from the Hub, without its code and without its weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.context import Context
from tools.errors import NotAllowed, NotFound, Unavailable

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_TIMEOUT_S = 8.0


@dataclass(frozen=True)
class HubFiles:
    """What was read.

    Attributes:
        files: Names of all files of the repository; empty where the Hub did not list them.
        revision: Commit the files come from.
    """

    config: Path
    tokenizer_config: Path | None
    revision: str | None
    licence: str | None = None
    gated: bool = False
    files: tuple[str, ...] = ()


def cached_config(name: str) -> Path | None:
    """Return the model's config.json where this machine already has it, without the network."""
    # Importing huggingface_hub costs a noticeable part of a command's start.
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415

    found = try_to_load_from_cache(name, "config.json")
    return Path(found) if isinstance(found, str) else None


def may_reach(ctx: Context) -> bool:
    """Return whether this call may contact the Hub without asking."""
    policy = ctx.settings.network
    agreed = ctx.trusts_arguments or ctx.network_granted or policy == "allow"
    return policy != "never" and agreed


def fetch(ctx: Context, name: str) -> HubFiles:
    """Read `config.json` and `tokenizer_config.json` of a model on the Hub.

    Raises:
        NotAllowed: The network is off, or needs the person's consent first.
        NotFound: The Hub has no such model, or it is not a transformers model.
        Unavailable: The model is gated, or the Hub does not answer.
    """
    cached = cached_config(name)
    if cached and not may_reach(ctx):
        beside = cached.parent / "tokenizer_config.json"
        return HubFiles(cached, beside if beside.is_file() else None, cached.parent.name)
    if ctx.settings.network == "never":
        raise NotAllowed(
            f"{name} is not on this machine, and the network is switched off.",
            hint="Use `starter`, a model folder on this machine, or allow the network in Settings.",
        )
    if not may_reach(ctx):
        raise NotAllowed(
            f"{name} would have to be read from {_host(ctx)}, beyond this machine.",
            hint="Agree to that first, or use `starter` or a model folder on this machine.",
        )
    return _download(ctx, name)


def _download(ctx: Context, name: str) -> HubFiles:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415  slow import
    from huggingface_hub.errors import (  # noqa: PLC0415
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    _knock(ctx, name)

    def get(file: str) -> Path:
        return Path(hf_hub_download(name, file, etag_timeout=_TIMEOUT_S, **_access(ctx)))

    try:
        config = get("config.json")
    except GatedRepoError as error:
        raise Unavailable(
            f"{name} is gated: its owner wants you to accept conditions first.",
            hint=f"Accept them on {_host(ctx)}/{name}, set HF_TOKEN, then try again.",
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise NotFound(
            f"There is no model called {name} on {_host(ctx)}.",
            hint="Check the spelling, or see `luthier models` for names that work.",
        ) from error
    except LocalEntryNotFoundError as error:
        raise _no_answer(ctx, name) from error
    except EntryNotFoundError as error:
        raise NotFound(
            f"{name} has no config.json, so it is not a transformers model.",
            hint="Use the original model rather than a GGUF or adapter repository.",
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise _no_answer(ctx, name) from error
    tokenizer: Path | None
    try:
        tokenizer = get("tokenizer_config.json")
    except (HfHubHTTPError, EntryNotFoundError, OSError):
        tokenizer = None
    revision = config.parent.name if config.parent.parent.name == "snapshots" else None
    return HubFiles(config, tokenizer, revision, **_card(ctx, name))


def _knock(ctx: Context, name: str) -> None:
    """Find out in one request whether the Hub answers: its client would retry for 20 seconds."""
    import httpx  # noqa: PLC0415  slow import

    try:
        httpx.head(f"{ctx.settings.hub_endpoint}/{name}/resolve/main/config.json", timeout=6)
    except httpx.HTTPError as error:
        raise _no_answer(ctx, name) from error


def _card(ctx: Context, name: str) -> dict[str, Any]:
    """Licence, gating and the list of files, where the Hub tells them."""
    from huggingface_hub import HfApi  # noqa: PLC0415  slow import
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    access = _access(ctx)
    try:
        info = HfApi(**access).model_info(name, timeout=_TIMEOUT_S)
    except (HfHubHTTPError, OSError, ValueError):
        return {}
    licence = info.card_data.get("license") if info.card_data else None
    files = tuple(sibling.rfilename for sibling in info.siblings or ())
    return {
        "licence": str(licence) if licence else None,
        "gated": bool(info.gated),
        "files": files,
    }


def _access(ctx: Context) -> dict[str, Any]:
    token = ctx.settings.hub_token
    return {
        "endpoint": ctx.settings.hub_endpoint,
        "token": token.get_secret_value() if token else False,
    }


def _host(ctx: Context) -> str:
    return ctx.settings.hub_endpoint.partition("://")[2].rstrip("/") or ctx.settings.hub_endpoint


def _no_answer(ctx: Context, name: str) -> Unavailable:
    return Unavailable(
        f"{_host(ctx)} did not answer when asked for {name}.",
        hint="Check the connection, or use `starter` or a model folder on this machine.",
    )
