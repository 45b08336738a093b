"""An even sample of a large JSON Lines file: what is not wanted is passed over unread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tools.datasets.detect import Opened, open_bytes, shown
from tools.datasets.encodings import codec_of
from tools.datasets.limits import LIMITS, MIB, too_long_row


@dataclass(frozen=True)
class EvenSample:
    """Wants blocks of `block` rows, one in `step` of them, from the first row of a part on.

    Attributes:
        base: Number of the part's first row in the whole source.
    """

    block: int
    step: int
    base: int = 0

    def __call__(self, number: int) -> bool:
        """Tell whether a row is wanted."""
        return (number + self.base) // self.block % self.step == 0

    def any_of(self, first: int, count: int) -> bool:
        """Tell whether any of `count` rows from `first` on is wanted."""
        start = first + self.base
        into = start % (self.block * self.step)
        return into < self.block or into + count > self.block * self.step


def can_pass_over(opened: Opened) -> bool:
    """True where lines can be counted as bytes: unpacked UTF-8."""
    return opened.packing is None and opened.encoding in ("utf-8", "utf-8-sig")


def sampled_lines(opened: Opened, wanted: EvenSample) -> Iterator[tuple[int, str | None]]:
    """Yield `(number, line)` of the wanted lines, and at last `(lines, None)`.

    Empty lines count for nothing, as in the reader of all lines.
    """
    codec, handler = codec_of(opened.encoding)
    number = 0
    with open_bytes(opened.path, None) as stream:
        rest = b""
        while piece := stream.read(MIB):
            cut = piece.rfind(b"\n") + 1
            chunk, rest = (rest + piece[:cut], piece[cut:]) if cut else (b"", rest + piece)
            if len(rest) > LIMITS.row_bytes:
                raise too_long_row(shown(opened.path), LIMITS.row_bytes)
            lines = chunk.count(b"\n")
            if not _has_blank(chunk) and not wanted.any_of(number, lines):
                number += lines
                continue
            for line in chunk.splitlines():
                if not line.strip():
                    continue
                if wanted(number):
                    yield number, line.decode(codec, handler)
                number += 1
        if rest.strip():
            if wanted(number):
                yield number, rest.decode(codec, handler)
            number += 1
    yield number, None


def _has_blank(chunk: bytes) -> bool:
    return chunk[:1] in (b"\n", b"\r") or b"\n\n" in chunk or b"\n\r" in chunk or b"\r\r" in chunk
