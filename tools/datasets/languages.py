"""Which language a text is in: by its script, by letters of its own, by its commonest words.

Knows about forty languages; a short text or another language is left open, never guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from tools.datasets.words import word_set

_SCRIPTS = (
    ("latin", re.compile(r"[a-z\u00c0-\u024f\u1e00-\u1eff]", re.I)),
    ("cyrillic", re.compile(r"[\u0400-\u04ff]")),
    ("greek", re.compile(r"[\u0370-\u03ff]")),
    ("arabic", re.compile(r"[\u0600-\u06ff]")),
    ("hebrew", re.compile(r"[\u0590-\u05ff]")),
    ("devanagari", re.compile(r"[\u0900-\u097f]")),
    ("bengali", re.compile(r"[\u0980-\u09ff]")),
    ("gujarati", re.compile(r"[\u0a80-\u0aff]")),
    ("tamil", re.compile(r"[\u0b80-\u0bff]")),
    ("telugu", re.compile(r"[\u0c00-\u0c7f]")),
    ("han", re.compile(r"[\u3400-\u9fff]")),
    ("kana", re.compile(r"[\u3040-\u30ff]")),
    ("hangul", re.compile(r"[\uac00-\ud7af]")),
    ("thai", re.compile(r"[\u0e00-\u0e7f]")),
    ("ethiopic", re.compile(r"[\u1200-\u137f]")),
    ("armenian", re.compile(r"[\u0530-\u058f]")),
    ("georgian", re.compile(r"[\u10a0-\u10ff]")),
)
_OF_SCRIPT = {
    "greek": "el", "hebrew": "he", "devanagari": "hi", "bengali": "bn", "gujarati": "gu",
    "tamil": "ta", "telugu": "te", "han": "zh", "kana": "ja", "hangul": "ko", "thai": "th",
    "ethiopic": "am", "armenian": "hy", "georgian": "ka",
}  # fmt: skip
_OWN_LETTERS = {
    "cyrillic": (("uk", "іїєґ"), ("sr", "ђћљњџј"), ("ru", "ыэё")),
    "arabic": (("ur", "ٹڈڑےں"), ("fa", "پچژگ")),
}
"""Letters that the others of a script do not have."""
_OTHERWISE = {"cyrillic": "bg", "arabic": "ar"}
_COMMON_WORDS: dict[str, frozenset[str]] = {
    "en": word_set("the of and to in is that it was for you with on are this have not be a i my"),
    "de": word_set("der die und das ist nicht ein eine zu den mit ich sie es auf für dem im von"),
    "fr": word_set("le la les de et est un une des que pas pour dans qui je vous il sur du en"),
    "es": word_set("el la los de y es un una que no por para en con se lo las del como mi"),
    "it": word_set("il la di e che un una non per è sono con del si le nel della gli ho i"),
    "pt": word_set("o a de e que um uma não para com os em do da se no na por mais é as"),
    "nl": word_set("de het een en van is niet dat ik op te zijn met voor aan er je in om ook"),
    "pl": word_set("i w nie na się z do to że jest jak o co ale po tak za od dla przez"),
    "sv": word_set("och att det är en som på för med av inte den jag har till ett om var"),
    "da": word_set("og at det er en som på for med af ikke den jeg har til et om var de"),
    "no": word_set("og at det er en som på for med av ikke den jeg har til et om var de"),
    "fi": word_set("ja on ei se että oli hän mutta kun niin minä tämä ovat myös kuin joka"),
    "cs": word_set("a se v na je že to s z do o i ve jako za by ale pro jsem jsou"),
    "hu": word_set("a az és hogy nem is egy de van ez volt csak meg ha mint már még"),
    "ro": word_set("și de în la a un o nu că cu pe este din pentru mai care se sunt"),
    "ca": word_set("el la de i que en un una no per amb és els les del a va com"),
    "tr": word_set("bir ve bu da de için ile ne çok var gibi daha mi ben değil olarak"),
    "id": word_set("yang dan di itu dengan untuk tidak dari ini dalam akan pada ke adalah"),
    "tl": word_set("ang ng sa na at mga ay hindi ko ako ito si po ba nang para"),
    "ha": word_set("da ta na ya a ba cewa su shi ne an kuma wannan ga sun wani mai"),
    "sw": word_set("ya na wa kwa ni katika za la kuwa hii watu si yake cha hiyo"),
    "yo": word_set("ti ni o àti fún tí pé sí ní wọn náà kan yìí jẹ lati"),
    "vi": word_set("và của là có không cho một được các trong người những với này"),
}
_LEAST_WORDS = 20
_LEAST_SHARE = 0.1
"""Share of the rows from which on a language is named."""


def script_of(text: str) -> str:
    """Return the script most letters are written in."""
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS}
    if counts["kana"] > 0.1 * counts["han"] > 0:
        return "kana"  # Japanese mixes both
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else "none"


def language_of_text(text: str, least_words: int = _LEAST_WORDS) -> str | None:
    """Guess the language of a text (ISO 639-1); None where unsure.

    Args:
        least_words: Words below which a text in Latin letters is left open.
    """
    script = script_of(text)
    if script in _OF_SCRIPT:
        return _OF_SCRIPT[script]
    if script in _OWN_LETTERS:
        lower = text.lower()
        counts = {code: sum(map(lower.count, own)) for code, own in _OWN_LETTERS[script]}
        best = max(counts, key=lambda code: counts[code])
        return best if counts[best] > 0.002 * len(lower) else _OTHERWISE[script]
    words = re.findall(r"[^\W\d_]+", text.lower())
    if script != "latin" or len(words) < least_words:
        return None
    counts = {code: sum(map(common.__contains__, words)) for code, common in _COMMON_WORDS.items()}
    best, second = sorted(counts, key=lambda code: -counts[code])[:2]
    several = len(_COMMON_WORDS[best].intersection(words)) >= 3
    sure = several and counts[best] > 0.1 * len(words) and counts[best] > 1.2 * counts[second]
    return best if sure else None


def languages_of(texts: Iterable[str]) -> list[str]:
    """Return the languages of at least a tenth of the texts, commonest first.

    Texts too short to tell are judged together.
    """
    found: Counter[str] = Counter()
    short: list[str] = []
    for text in texts:
        code = language_of_text(text, least_words=8)
        if code is None:
            short.append(text)
        else:
            found[code] += 1
    if not found:
        whole = language_of_text(" ".join(short), least_words=8)
        return [whole] if whole else []
    total = sum(found.values())
    return [code for code, count in found.most_common() if count >= _LEAST_SHARE * total]
