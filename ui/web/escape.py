"""Text from people, rows, files and models on its way into a page: it stays text."""

from __future__ import annotations

import re
from html import escape
from typing import Any

WORD_JOINER = "\u2060"
_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")
_CODE = re.compile(r"`([^`]+)`")
_MARKDOWN_SIGNS = re.compile(r"([\\`*_\[\]#~|])")


def h(value: Any) -> str:
    """Return a value as text inside HTML, quotes included."""
    return escape(str(value), quote=True)


def with_code(text: str) -> str:
    """Return text as HTML in which what stands between backticks is set as code."""
    return _CODE.sub(r"<code>\1</code>", h(text))


def safe_markdown(text: str) -> str:
    """Return Markdown in which no HTML tag and no image can come to life.

    An invisible word joiner after `<` and between `!` and `[` keeps the words readable in prose
    and in code alike, and neither a tag nor an image can begin with it.
    """
    return _TAG_START.sub("<" + WORD_JOINER, text).replace("![", f"!{WORD_JOINER}[")


def literal_markdown(text: str) -> str:
    """Return Markdown that shows `text` character for character, on one line."""
    return _MARKDOWN_SIGNS.sub(r"\\\1", safe_markdown(" ".join(text.split())))


def shorten(text: str, limit: int) -> str:
    """Cut a long text at a word, with an ellipsis."""
    flat = " ".join(text.split())
    if len(flat) <= limit:
        return flat
    return flat[: limit - 1].rsplit(" ", 1)[0].rstrip(",;:") + "…"
