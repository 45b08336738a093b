"""Finds a listed model by the words people use, and says what an unlisted name seems to be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from tools.errors import BadInput, NotFound

_WORD = re.compile(r"\d+(?:\.\d+)?[bm](?![a-z])|\d+(?:\.\d+)?|[a-z]+")
_SIZE = re.compile(r"\d+(?:\.\d+)?[bm]")
_FILLER = frozenset(
    {"meta", "instruct", "it", "chat", "hf", "v", "base", "model", "the", "a", "an", "tuned"}
)
"""Words that name no other size or generation."""
_TUNED = frozenset({"instruct", "it", "chat"})
_QUANTISED = re.compile(
    r"[-_.](gptq|awq|gguf|ggml|exl2|hqq|mlx|fp8|nf4|bnb[-_]4bit|bnb[-_]8bit|[48]bit|int[48]|w4a16|"
    r"w8a8|q[2-8](?:_[a-z\d_]+)?)(?=$|[-_.])",
    re.IGNORECASE,
)
_OTHER_KINDS = {
    "an encoder, which reads text and writes none": "bert roberta distilbert deberta electra "
    "albert modernbert minilm mpnet bge sbert xlm",
    "an encoder-decoder model": "t5 flan byt5 mt5 bart mbart pegasus marian opus nllb m2m",
    "a speech model": "whisper wav2vec hubert",
    "an image model": "clip vit blip diffusion sdxl flux",
}
_KIND_OF = {word: kind for kind, words in _OTHER_KINDS.items() for word in words.split()}
_START = "Qwen/Qwen2.5-0.5B-Instruct"


def find(name: str, entries: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the entry that is called so: by its name, an alias, or the same words.

    A name spelt as it is published means just that model, even where people call another one so.
    Words match where the person named no owner: `llama-3.1 405b` is
    `meta-llama/Meta-Llama-3.1-405B`. Of a base model and its instructed kin the latter is meant,
    unless `base` is said. A size alone, `8b`, means the listed model of that size that is proposed,
    else the first instructed one.
    """
    known = list(entries)
    wanted = _plain(name)
    exact = [entry for entry in known if name in (entry["name"], _last(entry["name"]))]
    called = [
        entry
        for entry in known
        if wanted in map(_plain, (entry["name"], *entry.get("aliases", ())))
    ]
    plainly = [entry for entry in known if _plain(_last(entry["name"])) == wanted]
    if exact or called or plainly:
        return (exact or called or plainly)[0]
    if "/" in name or not _core(name):
        return None
    if is_size(name):
        return _of_size(next(iter(_core(name))), known)
    base, tuned = "base" in _words(name), bool(_words(name) & _TUNED)
    same = [
        entry
        for entry in known
        if _core(_last(entry["name"])) == _core(name) and (_is_tuned(entry) or not tuned)
    ]
    same.sort(key=lambda entry: _is_tuned(entry) == base)
    return same[0] if same else None


def is_size(name: str) -> bool:
    """Return whether a size is named and no model, such as `8b`."""
    core = _core(name)
    return len(core) == 1 and bool(_SIZE.fullmatch(next(iter(core))))


def _of_size(size: str, known: list[dict[str, Any]]) -> dict[str, Any] | None:
    of_size = [entry for entry in known if size in _words(_last(entry["name"]))]
    of_size.sort(key=lambda entry: (not entry.get("suggest"), not _is_tuned(entry)))
    return of_size[0] if of_size else None


def nearest(name: str, entries: Iterable[dict[str, Any]], count: int = 3) -> list[str]:
    """Return listed names that share the words, look alike, or are of the same size, in order."""
    known = list(entries)
    core = _core(_last(name))
    kin = [e["name"] for e in known if core and core <= _core(_last(e["name"]))]
    plain = {_plain(_last(e["name"])): e["name"] for e in reversed(known)}
    alike = [plain[key] for key in get_close_matches(_plain(_last(name)), plain, count, 0.7)]
    sizes = {word for word in core if _SIZE.fullmatch(word)}
    sized = [e["name"] for e in known if e.get("suggest") and sizes & _core(_last(e["name"]))]
    return list(dict.fromkeys([*alike, *kin, *sized]))[:count]


def unknown(name: str, entries: Iterable[dict[str, Any]]) -> NotFound | BadInput:
    """Return the error for a name that is neither listed nor one of the Hub's form."""
    other = _other_kind(name)
    if other:
        return other
    close = nearest(name, entries)
    hint = (
        "Say `starter`, a folder with a config.json, or a Hub name like org/model; "
        "`luthier models` lists some."
    )
    if close:
        hint = f"The nearest listed: {', '.join(close)}. Else {hint[0].lower()}{hint[1:]}"
    return NotFound(f"There is no model called {name}.", hint=hint)


def refuse_by_name(name: str, entries: Iterable[dict[str, Any]]) -> None:
    """Refuse a Hub name that says itself that it cannot be tuned, before anything is fetched.

    Raises:
        BadInput: A quantised copy, or a model that is no causal language model.
    """
    quantised = _QUANTISED.search(_last(name))
    if quantised:
        original = _original(name, quantised, list(entries))
        raise quantised_copy(name, quantised[1], original)
    other = _other_kind(name)
    if other:
        raise other


def quantised_copy(name: str, kind: str, original: str = "") -> BadInput:
    """Return the refusal of weights that are rounded already."""
    instead = original or "the original that it was made from"
    return BadInput(
        f"{name} is a quantised copy ({kind}): what is learned on rounded weights cannot be merged "
        "back without loss.",
        hint=f"Tune {instead}; the method qlora quantises it by itself while training.",
    )


def _original(name: str, found: re.Match[str], entries: list[dict[str, Any]]) -> str:
    last = _last(name)
    stripped = last[: found.start()] + last[found.end() :]
    listed = find(stripped, entries)
    return str(listed["name"]) if listed else ""


def _other_kind(name: str) -> BadInput | None:
    words = re.findall(r"[a-z]+\d*[a-z]*", _last(name).lower())
    for word in words:
        kind = _KIND_OF.get(word) or _KIND_OF.get(word.rstrip("0123456789"))
        if kind:
            return BadInput(
                f"{name} is {kind}; Luthier tunes causal language models.",
                hint=f"Choose one such as {_START}; it learns labels, tags and answers as text.",
            )
    return None


def _is_tuned(entry: dict[str, Any]) -> bool:
    return bool(_words(_last(entry["name"])) & _TUNED)


def _words(name: str) -> frozenset[str]:
    text = re.sub(r"(?<=\d),(?=\d)", ".", name.lower())
    return frozenset(_WORD.findall(text))


def _core(name: str) -> frozenset[str]:
    return _words(name) - _FILLER


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum() or c in "./")
