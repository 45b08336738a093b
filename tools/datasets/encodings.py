"""How a text file is encoded, and how its broken bytes are read."""

from __future__ import annotations

import codecs
import re

_TEXT_CONTROLS = frozenset(b"\t\n\r\f\x1b\x08\x0b\x1a\x1c\x1d\x1e\x1f")


def encoding_of(raw: bytes, whole: bool) -> tuple[str, bool, int] | None:
    """Return codec, whether it is not Unicode, and the count of broken bytes; None for no text."""
    for mark, codec in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if raw.startswith(mark) and (codec != "utf-32" or len(raw) % 4 == 0 or not whole):
            return codec, False, 0
    sample = raw[: 256 * 1024]
    if b"\x00" in sample:
        wide = _utf16_without_mark(sample)
        return None if wide is None else (wide, False, 0)
    controls = sum(1 for byte in sample if byte < 32 and byte not in _TEXT_CONTROLS)
    if controls > max(2, len(sample) // 100):
        return None
    invalid, multibyte = _utf8_health(raw, whole)
    if invalid == 0:
        return "utf-8", False, 0
    if multibyte > invalid:
        return "luthier-utf-8", False, invalid
    high = sum(1 for byte in sample if byte >= 128)
    if high > len(sample) * 0.4 and multibyte == 0:
        eastern = _east_of_latin(sample)
        return None if eastern is None else (eastern, True, 0)
    return "luthier-cp1252", True, 0


def _utf16_without_mark(sample: bytes) -> str | None:
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if half and odd > half * 0.4 and even < half * 0.05:
        return "utf-16-le"
    if half and even > half * 0.4 and odd < half * 0.05:
        return "utf-16-be"
    return None


def _utf8_health(raw: bytes, whole: bool) -> tuple[int, int]:
    """Return how many bytes are invalid UTF-8 and how many characters are multi-byte ones."""
    text = raw.decode("utf-8", "surrogateescape")
    if not whole:
        text = text[:-4]  # the cut may fall inside a character
    invalid = len(re.findall("[\udc80-\udcff]", text))
    multibyte = len(re.findall("[\u0080-\ud7ff\ue000-\U0010ffff]", text))
    return invalid, multibyte


def _east_of_latin(sample: bytes) -> str | None:
    """Guess among the common codecs that are mostly high bytes; None when none fits."""
    best: tuple[float, str] | None = None
    for codec, letters in (
        ("gb18030", "[\u4e00-\u9fff\u3000-\u303f\uff00-\uffef]"),
        ("shift_jis", "[\u3040-\u30ff\u4e00-\u9fff]"),
        ("euc-kr", "[\uac00-\ud7af]"),
        ("cp1251", "[\u0430-\u044f\u0451]"),
    ):
        text = sample.decode(codec, "replace")
        foreign = [c for c in text if c >= "\u0080"]
        good = len(re.findall(letters, text)) - 3 * text.count("\ufffd")
        share = good / max(len(foreign), 1)
        if share > 0.7 and (best is None or share > best[0]):
            best = (share, codec)
    return best[1] if best else None


def _repair(error: UnicodeError) -> tuple[str, int]:
    """Read bytes that are no valid text as cp1252, the usual culprit, or as latin-1."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(_CP1252.get(byte, chr(byte)) for byte in bad), error.end


_CP1252 = {
    byte: bytes([byte]).decode("cp1252")
    for byte in range(128, 256)
    if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
codecs.register_error("luthier-repair", _repair)


def codec_of(encoding: str) -> tuple[str, str]:
    """Return the Python codec and error handler for an encoding named by `look`."""
    if encoding == "luthier-utf-8":
        return "utf-8", "luthier-repair"
    if encoding == "luthier-cp1252":
        return "cp1252", "luthier-repair"
    return encoding, "luthier-repair" if encoding.startswith("utf-8") else "replace"
