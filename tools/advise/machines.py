"""Understands a machine that a person describes: `2x24GB`, `an A10 in the cloud`, `16 GB laptop`.

Nothing is guessed silently: what was assumed stands in the machine's notes, and words that name
no memory and no known card are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tools.advise.hardware import Gpu, Machine
from tools.errors import BadInput

_GIB_PER_GB = 0.97
"""Of a card sold with 24 GB, about 23.3 GiB can be used; the rest is ECC, rounding, the driver."""


@dataclass(frozen=True)
class Card:
    """A card people name: usable GiB by advertised size, compute capability."""

    name: str
    pattern: str
    sizes: tuple[float, ...]
    capability: tuple[int, int]


CARDS: tuple[Card, ...] = tuple(
    Card(name, pattern, sizes, capability)
    for name, pattern, sizes, capability in (
        ("B200", r"b200", (180,), (10, 0)),
        ("GH200", r"gh200", (96, 144), (9, 0)),
        ("H200", r"h200", (141,), (9, 0)),
        ("H100", r"h100", (80, 94), (9, 0)),
        ("A100", r"a100|a800", (40, 80), (8, 0)),
        ("A10G", r"a10g", (24,), (8, 6)),
        ("A10", r"a10", (24,), (8, 6)),
        ("A40", r"a40", (48,), (8, 6)),
        ("A30", r"a30", (24,), (8, 0)),
        ("A16", r"a16", (16,), (8, 6)),
        ("L40S", r"l40s", (48,), (8, 9)),
        ("L40", r"l40", (48,), (8, 9)),
        ("L4", r"l4", (24,), (8, 9)),
        ("T4", r"t4", (16,), (7, 5)),
        ("V100", r"v100", (16, 32), (7, 0)),
        ("P100", r"p100", (16,), (6, 0)),
        ("K80", r"k80", (12,), (3, 7)),
        ("RTX PRO 6000", r"rtx pro 6000", (96,), (12, 0)),
        ("RTX 6000 Ada", r"(?:rtx )?6000 ada", (48,), (8, 9)),
        ("RTX A6000", r"(?:rtx )?a6000", (48,), (8, 6)),
        ("RTX A5000", r"(?:rtx )?a5000", (24,), (8, 6)),
        ("RTX A4000", r"(?:rtx )?a4000", (16,), (8, 6)),
        ("Quadro RTX 8000", r"(?:quadro )?rtx 8000", (48,), (7, 5)),
        ("Titan RTX", r"titan rtx", (24,), (7, 5)),
        *(
            (f"RTX {number}{suffix.title()}", rf"(?:rtx |geforce )*{number}{tail}", sizes, capability)
            for number, suffix, tail, sizes, capability in (
                (5090, "", "", (32,), (12, 0)),
                (5080, "", "", (16,), (12, 0)),
                (5070, " ti", r" ?ti", (16,), (12, 0)),
                (5070, "", "", (12,), (12, 0)),
                (5060, "", r"(?: ?ti)?", (8, 16), (12, 0)),
                (4090, "", "", (24,), (8, 9)),
                (4080, "", r"(?: super)?", (16,), (8, 9)),
                (4070, " ti super", r" ?ti super", (16,), (8, 9)),
                (4070, "", r"(?: ?ti| super)?", (12,), (8, 9)),
                (4060, "", r"(?: ?ti)?", (8, 16), (8, 9)),
                (4050, "", "", (6,), (8, 9)),
                (3090, "", r"(?: ?ti)?", (24,), (8, 6)),
                (3080, " ti", r" ?ti", (12,), (8, 6)),
                (3080, "", "", (10, 12), (8, 6)),
                (3070, "", r"(?: ?ti)?", (8,), (8, 6)),
                (3060, " ti", r" ?ti", (8,), (8, 6)),
                (3060, "", "", (12, 8), (8, 6)),
                (3050, "", "", (8, 4), (8, 6)),
                (2080, " ti", r" ?ti", (11,), (7, 5)),
                (2080, "", r"(?: super)?", (8,), (7, 5)),
                (2070, "", r"(?: super)?", (8,), (7, 5)),
                (2060, "", r"(?: super)?", (6, 8, 12), (7, 5)),
            )
        ),
        ("GTX 1080 Ti", r"(?:gtx )?1080 ?ti", (11,), (6, 1)),
        ("GTX 1080", r"(?:gtx )?1080", (8,), (6, 1)),
        ("GTX 1660", r"(?:gtx )?1660(?: ?ti| super)?", (6,), (7, 5)),
    )
)  # fmt: skip
_NUMBERS = {
    "a": 1, "an": 1, "one": 1, "single": 1, "two": 2, "dual": 2, "both": 2, "couple": 2,
    "pair": 2, "twin": 2, "three": 3, "triple": 3, "four": 4, "quad": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "ten": 10, "twelve": 12, "sixteen": 16, "thirty-two": 32,
}  # fmt: skip
_COUNT = r"(?:(?P<count>\d{1,4}|" + "|".join(sorted(_NUMBERS, key=len, reverse=True)) + r")\b)"
_SIZE = r"(?P<size>\d{1,5}(?:\.\d+)?)\s*(?P<unit>tb|gb|gib|gigs?|gigabytes?|mb|g)\b"
_CPU_WORDS = re.compile(
    r"\b(no|without|w/o|lacks?|not? (?:have|having)|doesn'?t have|zero)\s+(?:a |any |an? nvidia |"
    r"nvidia |dedicated |discrete )*(?:gpus?|graphics|cards?|cuda)\b|\b(?:cpu|ram)[ -]only\b|"
    r"\bonly (?:a |the )?cpu\b|\bgpu-?less\b|\b0 gpus?\b|\bno-gpu\b|\bintegrated graphics\b"
)
_APPLE = re.compile(
    r"\b(?:mac(?:book)?(?: ?(?:pro|air|mini|studio))?|imac|apple|m[1-5](?: (?:pro|max|ultra))?)\b"
)
_HOST = re.compile(r"\b(?:laptop|notebook|desktop|pc|computer|server|vm|machine|workstation|box)\b")
_GPU_WORDS = re.compile(r"\b(?:gpus?|cards?|vram|cuda|nvidia|graphics)\b")


def parse_machine(text: str) -> Machine:
    """Return the machine that the words describe.

    Raises:
        BadInput: They name neither a known card nor an amount of memory, or an impossible one.
    """
    words = _normal(text)
    if not words:
        raise _unclear(text)
    ram, words_left = _host_memory(words)
    count, words_left = _leading_nodes(words_left)
    cards, notes = _cards(words_left, text)
    without_gpu = bool(_CPU_WORDS.search(words))
    if without_gpu:
        cards = []
    if not cards and ram is None and not without_gpu:
        raise _unclear(text)
    cards = cards * count
    if len(cards) > 4096:
        raise BadInput(
            f"{len(cards)} cards are more than Luthier plans for.", hint="Name up to 4,096 cards."
        )
    if ram is None:
        ram = 16.0 if not cards else max(32.0, 2 * sum(c.memory_gib for c in cards) / count)
        notes.append(f"{ram:.0f} GiB of memory beside it is an assumption.")
    if _APPLE.search(words):
        notes.append("Apple's GPU is not used; the processor and its memory are.")
    return Machine(
        name=text.strip(),
        cpu="unknown",
        cores=8,
        memory_gib=ram,
        free_memory_gib=ram,
        disk_free_gib=None,
        gpus=tuple(cards),
        described=text.strip(),
        nodes=count,
        notes=tuple(notes),
    )


def machine_with_card(memory_gb: float) -> Machine:
    """Return a machine with one card of that much memory, as people say it (`24` for 24 GB)."""
    return parse_machine(f"1x{memory_gb:g}GB gpu")


def _normal(text: str) -> str:
    words = text.lower().replace("×", "x").replace("*", "x").replace("–", "-")
    words = re.sub(r"[,;()/+&]|\band\b|\bwith\b", " ; ", words)
    words = re.sub(r"(?<=[a-z])-(?=\d)|(?<=\d)-(?=[a-z])|(?<=[a-z])-(?=gpu)", " ", words)
    return re.sub(r"\s+", " ", words).strip(" ;.")


def _gib(size: str, unit: str) -> float:
    value = float(size)
    if unit == "tb":
        value *= 1000
    if unit == "mb":
        value /= 1000
    return value


def _host_memory(words: str) -> tuple[float | None, str]:
    """Find memory of the machine itself (`64 GB RAM`, `16 GB laptop`) and cut it from the words."""
    for pattern in (
        rf"{_SIZE} (?:of )?(?:system |main |unified |host |cpu )?(?:ram|memory(?! card)|ddr\d)\b",
        rf"(?:ram|system memory)(?: of|:)? ?{_SIZE}",
        rf"{_SIZE} (?:\w+ )?(?:macbook|mac|imac|laptop|notebook|desktop|pc|computer|server|vm|machine|workstation|box)\b",
        rf"(?:macbook|mac|imac|laptop|notebook|desktop|pc|computer|server|vm|machine|workstation|box)(?: pro| air| mini| studio)?(?: m\d(?: \w+)?)?(?: ;| of| having| has)* {_SIZE}(?! ?(?:gpus?|cards?|vram|nvidia|graphics))",
        rf"{_SIZE}(?= m[1-5]\b)|\bm[1-5](?: pro| max| ultra)?(?: ;| of)* {_SIZE.replace('size', 'size2').replace('unit', 'unit2')}",
    ):
        found = re.search(pattern, words)
        if not found:
            continue
        before = words[max(0, found.start() - 12) : found.start()]
        if re.search(r"(?:gpu|card|video|graphics) $", before):
            continue
        groups = found.groupdict()
        size = groups.get("size") or groups["size2"]
        unit = groups.get("unit") or groups["unit2"]
        if "vram" in found.group(0) or "gpu memory" in found.group(0):
            continue
        value = _gib(size, unit)
        _check_amount(value, words)
        return value, words[: found.start()] + " ; " + words[found.end() :]
    return None, words


def _leading_nodes(words: str) -> tuple[int, str]:
    found = re.search(rf"{_COUNT} ?x? ?(?:nodes?|machines?|servers?|hosts?)\b", words)
    if not found:
        return 1, words
    count = _number(found["count"])
    return max(1, count), words[: found.start()] + " ; " + words[found.end() :]


def _cards(words: str, text: str) -> tuple[list[Gpu], list[str]]:
    """Read every card the words name, then plain amounts of memory."""
    cards: list[Gpu] = []
    notes: list[str] = []
    rest = words
    for card in CARDS:
        pattern = rf"(?:{_COUNT}\s*(?:of |x )?\s*(?:x\s*)?)?(?:nvidia |tesla |geforce |azure )*\b(?:{card.pattern})(?:s|'s)?\b(?:[ -]*(?:pcie|sxm\d?|nvl|ti|laptop))*(?:\s*(?:of |; )?{_SIZE})?(?:\s*x\s*(?P<after>\d{{1,4}})\b)?"
        compact = rf"(?P<count>\d{{1,4}})x(?:nvidia |rtx ?)?(?:{card.pattern})s?\b(?:\s*{_SIZE})?(?P<after>\b)"
        leading = rf"{_SIZE} (?:nvidia )?(?:{card.pattern})s?\b(?P<count>\b)(?P<after>\b)"
        for form in (compact, leading, pattern):
            for found in list(re.finditer(form, rest)):
                count = _number(found["after"] or "1") * _number(found["count"] or "1")
                size = _gib(found["size"], found["unit"]) if found["size"] else card.sizes[0]
                _check_amount(size, text)
                if not found["size"] and len(card.sizes) > 1:
                    others = " or ".join(f"{s:g}" for s in card.sizes)
                    notes.append(f"The {card.name} comes with {others} GB; {size:g} is assumed.")
                usable = size * _GIB_PER_GB
                cards += [Gpu(card.name, usable, usable, card.capability)] * count
                rest = (
                    rest[: found.start()]
                    + " ; "
                    + " " * max(0, len(found[0]) - 3)
                    + rest[found.end() :]
                )
    plain = rf"(?:{_COUNT}\s*(?:of |gpus? of |cards? of |gpus? ; |cards? ; |x )?\s*(?:x\s*)?)?{_SIZE}(?:\s*x\s*(?P<after>\d{{1,4}})\b)?|\b(?P<gpus>\d{{1,4}}|two|three|four|eight) (?:gpus?|cards?)\b"
    compact = rf"(?P<count>\d{{1,4}})x\s*{_SIZE}"
    for form in (compact, plain):
        for found in list(re.finditer(form, rest)):
            groups = found.groupdict()
            if not groups.get("size"):
                continue
            count = _number(groups.get("after") or "1") * _number(groups.get("count") or "1")
            count *= _stated_cards(rest) if count == 1 and not cards else 1
            size = _gib(found["size"], found["unit"])
            _check_amount(size, text)
            usable = size * _GIB_PER_GB
            cards += [Gpu(f"{size:g} GB card", usable, usable)] * count
            rest = rest[: found.start()] + " " * len(found[0]) + rest[found.end() :]
        if cards:
            break
    return cards, list(dict.fromkeys(notes))


def _stated_cards(words: str) -> int:
    """Return the count of `4 gpus, 24 GB each` where it stands apart from the size."""
    found = re.search(rf"{_COUNT} (?:nvidia )?(?:gpus?|cards?)\b", words)
    return _number(found["count"]) if found else 1


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS.get(word, 1)


def _check_amount(gigabytes: float, text: str) -> None:
    if not 0.5 <= gigabytes <= 30_000:
        raise BadInput(
            f"{gigabytes:g} GB of memory is not a machine that exists ({text.strip()[:60]}).",
            hint="Describe it like `2x24GB`, `an A10` or `16 GB laptop without a GPU`.",
        )


def _unclear(text: str) -> BadInput:
    return BadInput(
        f"{text.strip()[:60]!r} does not describe a machine that Luthier can plan for.",
        hint="Describe it like `2x24GB`, `an A10`, `4 x A100 80GB` or `16 GB laptop without a GPU`.",
    )
