"""TensorBoard logs without TensorBoard: scalars in its event-file format, appended as they come.

A file is a row of records: length (8 bytes), masked CRC-32C of the length, an `Event` message,
masked CRC-32C of the message. Source of format and mask: tensorflow/core/lib/io/record_writer
and event.proto. Only scalars are written.
"""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

_POLYNOMIAL = 0x82F63B78
_VERSION = b"brain.Event:2"


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of some bytes."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


class ScalarLog:
    """Appends scalars to one event file in a folder; each attempt of a run has a file of its own.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
        self._path = folder / name
        self._path.write_bytes(_record(_event(file_version=_VERSION)))

    def add(self, step: int, values: dict[str, float]) -> None:
        """Append the values of a step."""
        if values:
            with self._path.open("ab") as file:
                file.write(_record(_event(step=step, values=values)))


def _event(
    *, step: int = 0, file_version: bytes = b"", values: dict[str, float] | None = None
) -> bytes:
    body = b"\x09" + struct.pack("<d", time.time())
    if step:
        body += b"\x10" + _varint(step)
    if file_version:
        body += _field(3, file_version)
    if values:
        parts = [
            _field(1, _field(1, tag.encode()) + b"\x15" + struct.pack("<f", value))
            for tag, value in values.items()
        ]
        body += _field(5, b"".join(parts))
    return body


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _record(event: bytes) -> bytes:
    length = struct.pack("<Q", len(event))
    return length + _masked(length) + event + _masked(event)


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
