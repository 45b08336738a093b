"""Keeps what any brain writes harmless on a page: no images, no HTML."""

from __future__ import annotations

import re

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_IMAGE = re.compile(r"!+(?=\[)")
_MARKS = re.compile(r"[`\r\n\t<>\[\]()!|*_]+")


def harmless(text: str) -> str:
    """Return Markdown without images and without HTML tags; everything else stays as it is.

    A remote image in an answer would fetch a foreign address as soon as it is shown.
    """
    return _TAG.sub("&lt;", _IMAGE.sub("", text))


def quoted_name(name: str, limit: int = 80) -> str:
    """Return a file or job name as inline code that cannot become markup or a line of its own."""
    plain = name.replace("`", "'")
    plain = " ".join(plain.split())
    if len(plain) > limit:
        plain = plain[: limit - 1] + "…"
    return f"`{harmless(plain)}`"


def plain_line(text: str, limit: int = 120) -> str:
    """Return one line of plain words: for titles of steps and conversations."""
    line = " ".join(_MARKS.sub(" ", text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


class HarmlessStream:
    """Makes a stream of pieces harmless, also where markup is split between two pieces."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return what can be shown now; a trailing `!` or `<` waits for what follows it."""
        text = self._held + piece
        kept = len(text.rstrip("!<"))
        self._held = text[kept:]
        return (
            harmless(text[:kept])
            if not self._held
            else harmless(text)[: len(harmless(text[:kept]))]
        )

    def end(self) -> str:
        """Return what was held back."""
        held, self._held = self._held, ""
        return harmless(held)
