"""Reads how a model on this machine reads text: tokenizer, template, special and stop tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tools.datasets.templates import FALLBACK_TEMPLATE, TURN_ENDS, ModelText, added_tokens
from tools.errors import BadInput, NotFound


def read_model_text(folder: Path, name: str) -> ModelText:
    """Read how a model on this machine reads text.

    Raises:
        NotFound: The folder has no fast tokenizer.
    """
    from tokenizers import AddedToken, Tokenizer  # noqa: PLC0415 - only where tokens matter

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise NotFound(
            f"{name} has no tokenizer.json on this machine.",
            hint="Choose a model that is here, such as the starter model.",
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for a damaged file
        raise BadInput(
            f"The tokenizer of {name} cannot be read.", hint="Download the model again."
        ) from error
    config = _json(folder / "tokenizer_config.json")
    _as_transformers_reads_it(tokenizer, config)
    decoder = config.get("added_tokens_decoder") or {}
    tokenizer.add_special_tokens(
        [
            AddedToken(str(t["content"]), special=True, normalized=False)
            for t in decoder.values()
            if t.get("special") and tokenizer.token_to_id(str(t["content"])) is None
        ]
    )
    template = _template(config, folder)
    special = _special(config, _json(folder / "special_tokens_map.json"))
    absent = [t for t in special.values() if tokenizer.token_to_id(t) is None]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in absent])
    stops = _stops(tokenizer, special, decoder, folder)
    model = _json(folder / "config.json")
    context = model.get("max_position_embeddings") or model.get("n_positions")
    return ModelText(
        name=name,
        tokenizer=tokenizer,
        template=template or FALLBACK_TEMPLATE,
        own_template=bool(template),
        special=special,
        stops=stops,
        context=context if isinstance(context, int) else None,
    )


def _as_transformers_reads_it(tokenizer: Any, config: dict[str, Any]) -> None:
    """Mark word beginnings as transformers 5 does for Llama's first vocabulary.

    Its `LlamaTokenizer` puts a mark before the first word only (unless `legacy`), where the
    file's own normalizer puts one behind every special token too.
    """
    if str(config.get("tokenizer_class")).removesuffix("Fast") != "LlamaTokenizer":
        return
    if "Prepend" not in str(tokenizer.normalizer) or tokenizer.pre_tokenizer is not None:
        return
    from tokenizers import pre_tokenizers  # noqa: PLC0415 - as in read_model_text

    if config.get("add_prefix_space") is False:
        scheme = "never"
    else:
        scheme = "always" if config.get("legacy") else "first"
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(
        replacement="\u2581", prepend_scheme=scheme, split=False
    )


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise BadInput(
            f"{path.name} of the model cannot be read.", hint="Download the model again."
        ) from error
    return document if isinstance(document, dict) else {}


def _template(config: dict[str, Any], folder: Path) -> str:
    beside = folder / "chat_template.jinja"
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    own = config.get("chat_template")
    if isinstance(own, list):  # several, by name
        by_name = {t.get("name"): t.get("template") for t in own if isinstance(t, dict)}
        own = by_name.get("default")
    return own if isinstance(own, str) else ""


def _special(*documents: dict[str, Any]) -> dict[str, str]:
    special: dict[str, str] = {}
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        for document in documents:
            token = document.get(name)
            content = token.get("content") if isinstance(token, dict) else token
            if isinstance(content, str) and name not in special:
                special[name] = content
    return special


def _stops(
    tokenizer: Any, special: dict[str, str], decoder: dict[str, Any], folder: Path
) -> tuple[int, ...]:
    """Return the ids that end an answer: the tokenizer's, the model's and known turn ends."""
    stops: set[int] = set()
    eos = tokenizer.token_to_id(special["eos_token"]) if "eos_token" in special else None
    if eos is not None:
        stops.add(eos)
    marked = {
        token.content: number for number, token in added_tokens(tokenizer).items() if token.special
    }
    stops |= {marked[token] for token in TURN_ENDS if token in marked}
    declared = _json(folder / "generation_config.json").get("eos_token_id")
    if isinstance(declared, int):
        stops.add(declared)
    elif isinstance(declared, list):
        stops |= {number for number in declared if isinstance(number, int)}
    return tuple(sorted(stops))
