"""Words of the domain, and how far a typed word may be from them."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from tools.methods import methods


def _word_lists() -> tuple[frozenset[str], frozenset[str]]:
    table = Path(__file__).with_name("words.txt").read_text(encoding="utf-8")
    body = "\n".join(line for line in table.splitlines() if not line.startswith("#"))
    domain, _, common = body.removeprefix("[domain]").partition("[common]")
    return frozenset(domain.split()), frozenset(common.split())


DOMAIN, _COMMON = _word_lists()
_COMMON |= frozenset(part for name in methods() for part in name.split("_"))

_SLIPS = {
    "cna": "can", "teh": "the", "hte": "the", "adn": "and", "nad": "and", "waht": "what",
    "wat": "what", "whta": "what", "hwo": "how", "u": "you", "ur": "your", "yuo": "you",
    "plz": "please", "pls": "please", "plese": "please", "plaese": "please", "pleas": "please",
    "thx": "thanks", "wnat": "want", "jsut": "just", "taht": "that", "tihs": "this",
    "whit": "with", "wiht": "with", "wit": "with", "fo": "of", "form": "from", "fro": "for",
    "mdoel": "model", "modle": "model", "modell": "model", "fiel": "file", "trian": "train",
    "tarin": "train", "trein": "train", "traing": "training", "trainig": "training",
    "trani": "train", "tran": "train", "tain": "train", "traning": "training", "epocs": "epochs",
    "epoc": "epoch", "epocks": "epochs", "epoche": "epochs", "exprot": "export", "lern": "learn",
    "stpo": "stop", "sotp": "stop", "shwo": "show", "hsow": "show", "gpus": "gpu",
    "vs": "versus", "rnak": "rank", "lroa": "lora", "qlroa": "qlora", "onxx": "onnx",
    "quantise": "quantize", "quantised": "quantized", "quantisation": "quantization",
    "analyze": "analyse", "summarize": "summarise", "optimize": "optimise", "wich": "which",
    "whcih": "which", "shoud": "should", "shuold": "should", "coud": "could", "cud": "could",
    "abuot": "about", "recomend": "recommend", "reccomend": "recommend", "bst": "best",
    "evalute": "evaluate", "dupes": "duplicates", "dups": "duplicates", "acc": "accuracy",
    "hav": "have", "hlep": "help", "hepl": "help", "wht": "what", "abt": "about", "ned": "need",
    "lok": "look", "loook": "look", "chek": "check", "ckeck": "check", "chekc": "check",
    "dleete": "delete", "delte": "delete", "deleet": "delete", "runing": "running",
    "onx": "onnx", "lorra": "lora", "wehn": "when", "si": "is", "thta": "that", "thsi": "this",
    "somehting": "something", "becuase": "because", "goign": "going", "strat": "start",
    "satrt": "start", "begining": "beginning", "gimme": "give me", "lemme": "let me",
    "wanna": "want to", "gonna": "going to", "gotta": "have to", "dunno": "do not know",
    "dont": "don't", "doesnt": "doesn't", "cant": "can't", "wont": "won't", "isnt": "isn't",
    "didnt": "didn't", "whats": "what's", "hows": "how's", "im": "i'm", "ive": "i've",
    "lets": "let's", "thats": "that's", "id": "i'd", "shouldnt": "shouldn't",
    "wud": "would", "mentionned": "mentioned", "prep": "prepare", "params": "parameters",
    "config": "configuration",
}  # fmt: skip

_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBERS = (
    {word: value for value, word in enumerate(_UNITS)}
    | {word: 10 * (index + 2) for index, word in enumerate(_TENS)}
    | {
        f"{ten} {unit}": 10 * (t + 2) + u
        for t, ten in enumerate(_TENS)
        for u, unit in enumerate(_UNITS[1:10], start=1)
    }
    | {"half a dozen": 6, "half dozen": 6, "a dozen": 12, "half a million": 500_000}
)
"""Number words; `one` on its own is left to the places where it means a number."""


@lru_cache(maxsize=4096)
def repaired(word: str) -> str:
    """Return the word of the domain that a typing slip meant, or the word as it is."""
    if word in _SLIPS:
        return _SLIPS[word]
    if len(word) < 4 or word in DOMAIN or word in _COMMON or not word.isalpha():
        return word
    if f"{word}s" in DOMAIN or (word[-1] == "s" and (word[:-1] in DOMAIN or word[:-1] in _COMMON)):
        return word
    if _is_inflected(word):
        return word
    allowed = 1 if len(word) < 7 else 2
    near = [
        (distance, known)
        for known in DOMAIN
        if abs(len(known) - len(word)) <= allowed
        and len(known) >= 4
        and (known[0] == word[0] or known[:2] == word[1::-1])
        and (distance := edits(word, known, allowed)) <= allowed
    ]
    return min(near)[1] if near else word


def is_known(word: str) -> bool:
    """Return whether a word is an everyday word or one of the domain."""
    return word in DOMAIN or word in _COMMON or word in _SLIPS


def unstretched(word: str) -> str:
    """Return `slow` for `sloooow`: with one letter where that is a word, else with two."""
    once, twice = (re.sub(r"([a-z])\1{2,}", rf"\1{more}", word) for more in ("", r"\1"))
    return once if is_known(once) or not is_known(twice) else twice


def _is_inflected(word: str) -> bool:
    """Return whether a word is another form of a known one, such as `removed` of `remove`."""
    for ending in ("ed", "d", "ing", "er", "r", "est", "st", "ly", "es", "s", "ion", "able", "al"):
        stem = word.removesuffix(ending)
        if stem != word and {stem, f"{stem}e", stem[:-1]} & (DOMAIN | _COMMON) and len(stem) > 3:
            return True
    return False


def edits(a: str, b: str, limit: int) -> int:
    """Return the Damerau-Levenshtein distance, or `limit + 1` where it is larger."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        older, before, row = before, row, [i] + [0] * len(b)
        for j, y in enumerate(b, start=1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                row[j] = min(row[j], older[j - 2] + 1)
        if min(row) > limit:
            return limit + 1
    return row[-1]
