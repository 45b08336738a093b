"""Chooses the brain: `guided`, or any LangChain provider by name or OpenAI-compatible address.

Provider packages import late: they take seconds, and most people need none of them.
"""

from __future__ import annotations

import ipaddress
import re
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel

from tools.errors import BadInput, NotAllowed, Unavailable
from tools.settings import Settings

GUIDED = "guided"
_PACKAGES = {
    "openai": "langchain_openai",
    "anthropic": "langchain_anthropic",
    "ollama": "langchain_ollama",
}
_LOCAL_PROVIDERS = frozenset({"ollama"})
_TIMEOUT_S = 120.0


def select_brain(settings: Settings) -> BaseChatModel:
    """Return the chat model that the settings name.

    Raises:
        BadInput: The name is none.
        NotAllowed: It is elsewhere, and the network is switched off.
        Unavailable: Its package is not installed, or it has no key.
    """
    if settings.brain == GUIDED:
        from assistant.brains.guided.model import GuidedBrain  # noqa: PLC0415 - only when chosen

        return GuidedBrain()
    provider, model = split_name(settings)
    _check_network(settings, provider)
    _check_package(provider)
    return _build(settings, provider, model)


def split_name(settings: Settings) -> tuple[str, str]:
    """Return `(provider, model)`; with a base URL and no provider it is OpenAI-compatible."""
    provider, colon, model = settings.brain.partition(":")
    if colon and model and re.fullmatch(r"[a-z][a-z0-9_]*", provider):
        return provider, model
    if settings.base_url and settings.brain.strip():
        return "openai", settings.brain
    raise BadInput(
        f"{settings.brain} names no brain.",
        hint="Use guided, a provider and model such as openai:gpt-5-mini, or set a base URL.",
    )


def is_remote(settings: Settings) -> bool:
    """Return whether the brain lies beyond this machine."""
    if settings.brain == GUIDED:
        return False
    provider, _ = split_name(settings)
    if settings.base_url:
        return not _is_loopback(settings.base_url)
    return provider not in _LOCAL_PROVIDERS


def _check_network(settings: Settings, provider: str) -> None:
    if settings.network == "never" and is_remote(settings):
        raise NotAllowed(
            f"The brain {provider} lies beyond this machine, and the network is switched off.",
            hint="Switch to the guided brain, use a server on this machine, or allow the network.",
        )


def _check_package(provider: str) -> None:
    package = _PACKAGES.get(provider, f"langchain_{provider}")
    if find_spec(package) is None:
        extra = provider in _PACKAGES
        line = f"luthier[{provider}]" if extra else package.replace("_", "-")
        raise Unavailable(
            f"The package for {provider} is not installed.",
            hint=f"Install it with: pip install '{line}'",
        )


def _build(settings: Settings, provider: str, model: str) -> BaseChatModel:
    # Imports the provider's package.
    from langchain.chat_models import init_chat_model  # noqa: PLC0415

    options: dict[str, Any] = {"timeout": _TIMEOUT_S, "max_retries": 1}
    if provider in _LOCAL_PROVIDERS:
        options = {}
    if settings.base_url:
        options["base_url"] = settings.base_url
    if settings.api_key:
        options["api_key"] = settings.api_key.get_secret_value()
    elif settings.base_url and _is_loopback(settings.base_url) and provider == "openai":
        # A server on this machine needs no key, but the client insists on one.
        options["api_key"] = "none"
    try:
        chosen: BaseChatModel = init_chat_model(f"{provider}:{model}", **options)
    except ImportError as error:
        raise Unavailable(
            f"The package for {provider} is not usable: {error}.",
            hint=f"Install it again with: pip install 'luthier[{provider}]'",
        ) from error
    except ValueError as error:
        raise BadInput(
            f"The brain {provider} cannot be set up: {_first_line(error)}.",
            hint="Check its name in Settings.",
        ) from error
    except Exception as error:
        if "api_key" not in str(error).lower() and "credentials" not in str(error).lower():
            raise
        raise Unavailable(
            f"The brain {provider} has no key.",
            hint="Set LUTHIER_API_KEY, or switch to the guided brain.",
        ) from error
    return chosen


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")[:160]


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
