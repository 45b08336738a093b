"""Understands a machine that a person describes: `2x24GB`, `an A10 in the cloud`, `16 GB laptop`.

The words are turned into kinds, one letter each, and small patterns over the letters say what is a
card, what is the machine's own memory and what is a count. Nothing is guessed silently: what was
assumed stands in the machine's notes, and words that name no memory and no known card are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache

from tools.advise.cards import Card, by_alias, card_of, places
from tools.advise.hardware import Gpu, Machine
from tools.errors import BadInput

_GIB_PER_GB = 0.97
"""Of a card sold with 24 GB, about 23.3 GiB can be used; the rest is ECC, rounding, the driver."""
_NUMBERS = {
    "a": 1, "an": 1, "one": 1, "single": 1, "two": 2, "dual": 2, "couple": 2, "pair": 2,
    "three": 3, "triple": 3, "four": 4, "quad": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "ten": 10, "twelve": 12, "sixteen": 16,
}  # fmt: skip
_KINDS = {
    "G": "gpu gpus card cards vram cuda nvidia graphics accelerator accelerators",
    "R": "ram ddr4 ddr5 lpddr5 dram",
    "M": "memory mem",
    "H": "laptop notebook desktop pc computer server vm machine workstation box host instance "
    "macbook mac imac chromebook tablet phone smartphone raspberry thinkpad surface nuc",
    "D": "nodes node machines servers hosts",
    "E": "each apiece per",
    "X": "x times",
    "o": "of with having has have and my the in on an pro max ultra air mini studio sxm sxm4 sxm5 "
    "pcie nvl tesla geforce rtx gtx quadro laptop's dedicated discrete system main unified total "
    "gaming cloud old new cheap is",
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_NO_GPU = re.compile(
    r"\b(?:no|without|w/o|lacks?|lacking|not have|zero|0|non)[ -](?:any |an? |nvidia |dedicated |"
    r"discrete |usable )*(?:gpus?|graphics(?: cards?)?|video cards?|cards?|cuda|accelerators?)\b|"
    r"\b(?:cpu|processor|ram)s?[ -]only\b|\bonly (?:a |the |its )?(?:cpu|processor)\b|"
    r"\bgpu-?less\b|\bintegrated graphics\b|^(?:a |the |my |plain |just |on )*cpus?$"
)
_APPLE = re.compile(r"\b(?:mac|macbook|imac|apple|m[1-5])\b")
_MODEL_NUMBER = re.compile(
    r"\b(?:rtx|gtx|geforce|quadro|rx|pi|iphone|galaxy|ryzen|core|xeon|epyc|windows|ubuntu|android)"
    r"(?: (?!<)[a-z]*\d+[a-z\d]*)+(?: (?:ti|super|xtx|xt)\b)?"
)
"""A product's number is no count: a GTX 1650 is one card. Cards that are known were taken out."""
_SIZE = re.compile(r"(?<![\w.])(-?\d+(?:\.\d+)?) ?(tb|gib|gb|gigabytes?|gigs?|g|mib|mb)\b")
_OTHER_MAKES = {
    "a TPU": "tpu", "an NPU": "npu snapdragon hexagon coral",
    "an AMD card": "rocm radeon instinct mi100 mi210 mi250 mi250x mi300 mi300x mi325x mi350x",
    "an Intel card": "arc xpu gaudi ponte vecchio", "an FPGA": "fpga",
}  # fmt: skip
"""Accelerators that Luthier cannot train on."""
_TOKEN = re.compile(r"<\w+>|\d+(?:\.\d+)?|[a-z0-9/']+|;")


@dataclass
class _Token:
    kind: str
    number: float = 0.0
    card: Card | None = None


@dataclass
class _Found:
    """What the patterns have read so far."""

    gpus: list[Gpu] = field(default_factory=list)
    ram_gb: float | None = None
    nodes: int = 1
    notes: list[str] = field(default_factory=list)


def parse_machine(text: str) -> Machine:
    """Return the machine that the words describe.

    Raises:
        BadInput: They name neither a known card nor an amount of memory, or an impossible one.
    """
    named, place = _place(text.lower())
    words = _normal(named)
    without_gpu = bool(_NO_GPU.search(words))
    tokens = _tokens(_NO_GPU.sub(" ; ", words))
    apple = bool(_APPLE.search(words))
    found = _read(tokens, text, no_gpu=without_gpu or apple)
    other = _other_make(text)
    unnamed = all(card_of(gpu.name) is None for gpu in found.gpus)
    if other and unnamed and (found.gpus or found.ram_gb is None):
        raise _not_trained_on(text, other)
    if not found.gpus and found.ram_gb is None and not without_gpu:
        raise _unclear(text)
    if other and unnamed:
        found.notes.append(f"{other[0].upper()}{other[1:]} is not used; the processor is.")
    if place:
        found.notes.append(place)
    if apple:
        found.notes.append("Apple's GPU is not used; the processor and its memory are.")
    cards = found.gpus * found.nodes
    if len(cards) > 4096:
        raise BadInput(
            f"{len(cards)} cards are more than Luthier plans for.", hint="Name up to 4,096 cards."
        )
    memory = found.ram_gb
    if memory is None:
        memory = max(32.0, 2 * sum(c.memory_gib for c in found.gpus)) if found.gpus else 16.0
        found.notes.append(f"{memory:.0f} GiB of memory in the machine itself is assumed.")
    return Machine(
        name=text.strip()[:120],
        cpu="unknown",
        cores=8,
        memory_gib=memory,
        free_memory_gib=memory,
        disk_free_gib=None,
        gpus=tuple(cards),
        described=text.strip(),
        nodes=found.nodes,
        notes=tuple(dict.fromkeys(found.notes)),
    )


def machine_with_card(memory_gb: float) -> Machine:
    """Return a machine with one card of that much memory, as people say it (`24` for 24 GB)."""
    return parse_machine(f"one {memory_gb:g} GB gpu")


def _place(words: str) -> tuple[str, str]:
    """Return the words with what a named place hands out, and the note that says so."""
    if _SIZE.search(words) or _card_pattern().search(words):
        return words, ""
    for place in places():
        if re.search(rf"(?<![a-z\d]){re.escape(place.name)}", words):
            return f"{words.replace(place.name, ' ')} ; {place.machine}", place.note
    return words, ""


def _normal(text: str) -> str:
    words = text.lower().replace("×", "x").replace("*", " x ").replace("’", "'")
    words = re.sub(r"(?<=\d),(?=\d{3}\b)", "", words)
    words = re.sub(r"[(),;+&]|\bplus\b", " ; ", words)
    words = re.sub(r"(?<=[a-z\d])-(?=[a-z\d])", " ", words)
    words = re.sub(r"\b(rtx|gtx)(?=\d)", r"\1 ", words)
    words = re.sub(r"\b(\d+)x(?=[a-z\d])", r"\1 x ", words)
    words = re.sub(r"\bx(\d+)\b", r"x \1", words)
    return re.sub(r"\s+", " ", words).strip(" ;.")


@cache
def _card_pattern() -> re.Pattern[str]:
    names = sorted(by_alias(), key=len, reverse=True)
    return re.compile(
        r"(?<![\d.])\b(" + "|".join(map(re.escape, names)) + r")(?:s|'s)?\b(?! ?gi?b)"
    )


def _tokens(words: str) -> list[_Token]:
    """Turn words into kinds: S size, C card, N number, and the letters of `_KINDS`."""
    kept: list[_Token] = []

    def keep(token: _Token) -> str:
        kept.append(token)
        return f" <t{len(kept) - 1}> "

    def size(match: re.Match[str]) -> str:
        unit, value = match[2], float(match[1])
        factor = 1000 if unit == "tb" else 0.001 if unit in {"mb", "mib"} else 1
        return keep(_Token("S", value * factor))

    words = _SIZE.sub(size, words)
    words = _card_pattern().sub(lambda m: keep(_Token("C", card=by_alias()[m[1]])), words)
    words = _MODEL_NUMBER.sub(" ", words)
    tokens = []
    for word in _TOKEN.findall(words):
        if word.startswith("<t"):
            tokens.append(kept[int(word[2:-1])])
        elif word == ";":
            tokens.append(_Token(";"))
        elif word.isdigit():
            tokens.append(_Token("N", float(word)))
        elif word in _NUMBERS:
            tokens.append(_Token("N", _NUMBERS[word]))
        else:
            tokens.append(_Token(_KIND_OF.get(word.strip("'"), "?")))
    return tokens


_PATTERNS = (
    # (what, pattern over kinds); tried in this order, each match is then taken out.
    ("nodes", r"(?P<n>N)?X?o*D"),
    ("cards", r"(?:(?P<n>N)[Xo]*)?(?:(?P<s>S)o*)?G?o*(?P<c>C)[oG]*(?:[;o]*(?P<s2>S)(?![oM]*R))?M?"
     r"(?:X(?P<n2>N))?"),
    ("ram", r"(?P<s>S)[oM]*R"),
    ("ram", r"R[o;M]*(?P<s>S)"),
    ("ram", r"(?P<s>S)o*H"),
    ("gpus", r"(?P<n>N)[Xo]*G+[o;]*(?:N?[o]*)?(?P<s>S)[oM]*G*E?"),
    ("gpus", r"(?:(?P<n>N)[Xo]*)?(?P<s>S)[oM]*[GM]+E?(?:X(?P<n2>N))?"),
    ("gpus", r"G+[o;?]*(?P<s>S)"),
    ("ram", r"H[o;N?]*(?P<s>S)"),
    ("gpus", r"(?:(?P<n>N)[Xo]*)?(?P<s>S)(?:X(?P<n2>N))?"),
)  # fmt: skip


def _read(tokens: list[_Token], text: str, *, no_gpu: bool) -> _Found:
    found = _Found()
    kinds = "".join(token.kind for token in tokens)
    for what, pattern in _PATTERNS:
        for match in list(re.finditer(pattern, kinds)):
            part = {name: tokens[match.start(name)] for name, at in match.groupdict().items() if at}
            _take(what, part, found, text, no_gpu=no_gpu)
            kinds = kinds[: match.start()] + "." * len(match[0]) + kinds[match.end() :]
    return found


def _take(what: str, part: dict[str, _Token], found: _Found, text: str, *, no_gpu: bool) -> None:
    count = int(part["n"].number if "n" in part else 1)
    count *= int(part["n2"].number if "n2" in part else 1)
    size = next((part[name].number for name in ("s", "s2") if name in part), None)
    if size is not None and not 0.5 <= size <= 30_000:
        raise BadInput(f"{size:g} GB is not the memory of a machine that exists.", hint=_EXAMPLES)
    if what == "nodes":
        found.nodes = max(1, count)
    elif what == "ram" or no_gpu:
        found.ram_gb = max(found.ram_gb or 0.0, size or 0.0) or None
    else:
        if count < 1:
            raise _unclear(text)
        found.gpus += [_gpu(part, size, found)] * min(count, 5000)


def _gpu(part: dict[str, _Token], size: float | None, found: _Found) -> Gpu:
    card = part["c"].card if "c" in part else None
    if card is None:
        usable = (size or 0.0) * _GIB_PER_GB
        found.notes.append(
            "A card that is known by its memory alone is taken to compute in bfloat16 (Ampere or "
            "newer)."
        )
        return Gpu(f"{size:g} GB card", usable, usable)
    if size is None:
        size = card.sizes_gb[0]
        if len(card.sizes_gb) > 1:
            sold = " or ".join(f"{s:g}" for s in card.sizes_gb)
            found.notes.append(f"The {card.name} is sold with {sold} GB; {size:g} is assumed.")
    return Gpu(card.name, size * _GIB_PER_GB, size * _GIB_PER_GB, card.capability)


_EXAMPLES = "Describe it like `2x24GB`, `an A10`, `4 x A100 80GB` or `16 GB laptop without a GPU`."


def _unclear(text: str) -> BadInput:
    return BadInput(
        f"{text.strip()[:60]!r} does not describe a machine that Luthier can plan for.",
        hint=_EXAMPLES,
    )


def _other_make(text: str) -> str:
    """Return the accelerator that is named and cannot be trained on, such as `a TPU`."""
    said = set(re.findall(r"[a-z][a-z\d]*", text.lower()))
    return next((make for make, words in _OTHER_MAKES.items() if said & set(words.split())), "")


def _not_trained_on(text: str, make: str) -> BadInput:
    return BadInput(
        f"{text.strip()[:60]!r} names {make}: Luthier trains on NVIDIA cards and on processors.",
        hint=f"{_EXAMPLES} To train on the processor beside it, say its memory, such as "
        "`16 GB laptop without a GPU`.",
    )
