"""Where a model's tokenizer lies on this machine."""

from __future__ import annotations

from pathlib import Path

from tools.context import Context
from tools.paths import locate
from tools.shipped import shipped


def tokenizer_folder(ctx: Context, model: str | None) -> Path | None:
    """Return the folder with a model's tokenizer, if it is on this machine."""
    if model in (None, "", "starter"):
        folder = shipped("starter-model")
        return folder if folder.is_dir() else None
    folder = locate(ctx.settings, model or "")
    if folder.is_dir():
        return folder
    if (model or "").count("/") == 1:
        import huggingface_hub as hub  # noqa: PLC0415 - a third of a second

        found = hub.try_to_load_from_cache(model or "", "tokenizer.json")
        return Path(found).parent if isinstance(found, str) else None
    return None
