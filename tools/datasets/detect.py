"""What kind of file this is, by its bytes first and its name second."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from tools.datasets.encodings import codec_of, encoding_of
from tools.datasets.limits import LIMITS, MIB
from tools.datasets.quarantine import shorten
from tools.errors import BadInput

Kind = Literal["csv", "jsonl", "json", "parquet", "arrow", "excel", "conll", "text"]
Packing = Literal["gzip", "bz2", "xz"]

_HEAD_BYTES = 4 * MIB
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"SQLite format 3", "an SQLite database"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"\x80\x05\x95", "a Python pickle"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"RIFF", "a sound, picture or film"),
    (b"ID3", "a sound file"),
    (b"OggS", "a sound file"),
)


@dataclass(frozen=True)
class Opened:
    """A file after the first look.

    Attributes:
        packing: Compression around it, if any.
        magic: Binary table kind found by its first bytes, else None for text.
        encoding: Codec for text files.
        head: Decoded first part of a text file, line breaks unified.
        broken_bytes: Bytes in the first part that are no valid text in any sound reading.
    """

    path: Path
    packing: Packing | None
    magic: Literal["parquet", "arrow", "arrow_stream", "excel", "zip"] | None
    encoding: str
    head: str
    whole: bool
    foreign_encoding: bool = False
    broken_bytes: int = 0


def look(path: Path) -> Opened:
    """Open a file, recognise compression, binary tables and the text encoding.

    Raises:
        BadInput: The file is empty, of a kind that holds no training rows, or unreadable.
    """
    raw = _first_bytes(path)
    packing = _packing(raw)
    if packing:
        with open_bytes(path, packing) as stream:
            raw = stream.read(_HEAD_BYTES + 1)
    whole = len(raw) <= _HEAD_BYTES
    raw = raw[:_HEAD_BYTES]
    magic = _magic(path, raw, packing)
    if magic:
        return Opened(path, packing, magic, "", "", whole)
    found = encoding_of(raw, whole)
    if found is None:
        raise _not_rows(path, "a binary file")
    encoding, foreign, broken = found
    codec, handler = codec_of(encoding)
    text = raw.decode(codec, handler)
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    if not text.strip():
        raise BadInput(f"{shown(path)} is empty.", hint="Choose a file that holds rows.")
    return Opened(path, packing, None, encoding, text, whole, foreign, broken)


def shown(path: Path) -> str:
    """Return a file's name fit for a sentence: short, on one line, without control characters."""
    return shorten("".join(c if c.isprintable() else "?" for c in path.name), 80)


@contextmanager
def open_bytes(path: Path, packing: Packing | None) -> Iterator[IO[bytes]]:
    """Open for bytes, unpacked, within the limits on unpacked size.

    Raises:
        BadInput: The file cannot be opened, is damaged, or unpacks beyond all measure.
    """
    try:
        if packing is None:
            with path.open("rb") as plain:
                yield plain
            return
        budget = min(LIMITS.unpacked_bytes, 64 * MIB + path.stat().st_size * LIMITS.unpack_ratio)
        with _unpacker(path, packing) as packed:
            yield io.BufferedReader(_Measured(packed, budget, path), MIB)
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise BadInput(
            f"{shown(path)} is damaged: it cannot be unpacked to its end.",
            hint="Download or copy the file again.",
        ) from error
    except OSError as error:
        raise BadInput(
            f"Cannot read {shown(path)}: {error.strerror or 'it is damaged'}.",
            hint="Check the file and its permissions, or copy it again.",
        ) from error


def _unpacker(path: Path, packing: Packing) -> IO[bytes]:
    if packing == "gzip":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if packing == "bz2":
        return cast(IO[bytes], bz2.open(path, "rb"))
    return cast(IO[bytes], lzma.open(path, "rb"))


class _Measured(io.RawIOBase):
    """Counts unpacked bytes and refuses a bomb."""

    def __init__(self, inner: IO[bytes], budget: int, path: Path) -> None:
        self._inner, self._left, self._path = inner, budget, path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._inner.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise unpacks_too_far(self._path)
        buffer[: len(data)] = data
        return len(data)


def unpacks_too_far(path: Path) -> BadInput:
    """Return the error for a compressed file that unpacks beyond all measure."""
    return BadInput(
        f"{shown(path)} unpacks to far more than its size allows for real text.",
        hint="Unpack it yourself, check it, and give the plain file.",
    )


def _first_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise BadInput(
                f"{shown(path)} is not a regular file.", hint="Give a data file or its folder."
            )
        with path.open("rb") as file:
            raw = file.read(_HEAD_BYTES + 1)
    except OSError as error:
        raise BadInput(
            f"Cannot read {shown(path)}: {error.strerror}.", hint="Check its permissions."
        ) from error
    if not raw:
        raise BadInput(f"{shown(path)} is empty (0 bytes).", hint="Choose a file that holds rows.")
    return raw


def _packing(raw: bytes) -> Packing | None:
    if raw.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if re.match(rb"BZh[1-9]1AY&SY", raw):
        return "bz2"
    return "xz" if raw.startswith(b"\xfd7zXZ\x00") else None


def _magic(
    path: Path, raw: bytes, packing: Packing | None
) -> Literal["parquet", "arrow", "arrow_stream", "excel", "zip"] | None:
    found = _binary_table(path, raw)
    if found and packing:
        raise BadInput(f"{shown(path)} is a compressed {found} file.", hint="Unpack it first.")
    if found:
        return found
    for start, name in _FOREIGN:
        if raw.startswith(start):
            raise _not_rows(path, name)
    if raw[257:262] == b"ustar":
        raise _not_rows(path, "a tar archive")
    return None


def _binary_table(
    path: Path, raw: bytes
) -> Literal["parquet", "arrow", "arrow_stream", "excel", "zip"] | None:
    if raw.startswith(b"PAR1"):
        return "parquet"
    if raw.startswith(b"ARROW1\x00\x00"):
        return "arrow"
    if raw.startswith(b"\xff\xff\xff\xff") and len(raw) > 8:
        return "arrow_stream"
    if raw.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise _old_office(path, raw)
    if raw.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "excel" if _is_excel(path) else "zip"
    return None


def _old_office(path: Path, raw: bytes) -> BadInput:
    if "EncryptedPackage".encode("utf-16-le") in raw:
        return BadInput(
            f"Cannot read {shown(path)}: the file is encrypted.",
            hint="Save it without a password, or export it as CSV.",
        )
    return BadInput(
        f"Cannot read {shown(path)}: it is in the old binary Office format.",
        hint="Save it as .xlsx, or export it as CSV.",
    )


def _is_excel(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith("xl/") for name in archive.namelist()[:200])
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BadInput(
            f"{shown(path)} is damaged: its archive cannot be opened.",
            hint="Download or copy the file again.",
        ) from error


def _not_rows(path: Path, what: str) -> BadInput:
    return BadInput(
        f"{shown(path)} is {what}, not a table of rows.",
        hint="Give CSV, JSON Lines, JSON, Parquet, Arrow, Excel or plain text.",
    )
