"""The logs that a run leaves for TensorBoard are what TensorBoard reads."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tools.work.tensorboard import ScalarLog, crc32c

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore"),
]


def test_the_checksum_is_castagnolis() -> None:
    # Check value of the CRC catalogue, and one of RFC 3720.
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


def test_every_record_is_as_long_as_it_says(tmp_path: Path) -> None:
    log = ScalarLog(tmp_path)
    log.add(300, {"train/loss": 2.5})
    (file,) = tmp_path.iterdir()
    data, records = file.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        records.append(data[12 : 12 + length])
        data = data[12 + length + 4 :]
    assert b"brain.Event:2" in records[0]
    assert b"train/loss" in records[1]
    assert struct.pack("<f", 2.5) in records[1]


def test_tensorboard_reads_the_same_steps_and_values(tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="the extra `tensorboard` is not installed",
    )
    log = ScalarLog(tmp_path)
    for step in (1, 2, 300):
        log.add(step, {"train/loss": 1 / step, "run/tokens_per_s": 1e6})
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    found = [(e.step, e.value) for e in events.Scalars("train/loss")]
    assert found == [(s, pytest.approx(1 / s)) for s in (1, 2, 300)]
    assert [e.value for e in events.Scalars("run/tokens_per_s")] == [1e6] * 3
