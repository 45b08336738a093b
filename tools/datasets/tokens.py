"""Token counts under a model's own tokenizer, without loading the model or transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.context import Context
from tools.paths import locate
from tools.shipped import shipped

CHARACTERS_PER_TOKEN = 4.0
"""For English under large vocabularies; used only where no tokenizer is at hand, and said so."""


@dataclass(frozen=True)
class Counter:
    """Counts tokens.

    Attributes:
        basis: What counts: the tokenizer's model, or `characters / 4 (estimate)`.
    """

    basis: str
    tokenizer: Any | None

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, without special tokens."""
        if self.tokenizer is None:
            return [max(1, round(len(text) / CHARACTERS_PER_TOKEN)) for text in texts]
        encoded = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [len(item.ids) for item in encoded]


def token_counter(ctx: Context, model: str | None) -> Counter:
    """Return the counter for a model; an estimate by characters where its tokenizer is not here."""
    folder = tokenizer_folder(ctx, model)
    path = folder / "tokenizer.json" if folder else None
    if path is None or not path.is_file():
        return Counter("characters / 4 (estimate)", None)
    from tokenizers import Tokenizer  # noqa: PLC0415 - only where tokens are counted

    try:
        return Counter(model or "starter", Tokenizer.from_file(str(path)))
    except Exception:  # noqa: BLE001 - the library raises bare Exception for a damaged file
        return Counter("characters / 4 (estimate)", None)


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
