"""Any bytes give a report or a `ToolError`: never a traceback, never a hang, never a bomb."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import resource
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tools.context import Context
from tools.datasets.inspect import inspect_file
from tools.datasets.prepare import prepare
from tools.errors import BadInput, ToolError

SUFFIXES = ["csv", "tsv", "json", "jsonl", "txt", "parquet", "arrow", "xlsx", "conll", "gz", "zip"]
SECONDS = 20.0
"""Of the processor: neighbours on the machine do not count."""

quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "text", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
COLUMNS = [
    "messages", "conversations", "prompt", "completion", "text", "label", "tokens", "tags",
    "instruction", "output", "question", "answer", "context", "chosen", "rejected", "tools", "data",
]  # fmt: skip


def survive(ctx: Context, folder: Path, suffix: str, content: bytes) -> None:
    path = folder / f"data.{suffix}"
    path.write_bytes(content)
    began = time.process_time()
    with contextlib.suppress(ToolError):  # which cannot be made without a problem and a hint
        report = inspect_file(ctx, str(path))
        assert report.text()
        json.dumps(report.document())
        prepare(ctx, str(path))
    assert time.process_time() - began < SECONDS


@quick
@given(content=st.binary(max_size=400), suffix=st.sampled_from(SUFFIXES))
@example(content=b"[" * 5000, suffix="json")
@example(content=b'{"a":' * 5000, suffix="jsonl")
@example(content=b"[" * 100_000, suffix="jsonl")
@example(content=b'"' + b"a,b\n" * 500, suffix="csv")
@example(content=b'{"text": NaN}\n{"text": 1e999}', suffix="jsonl")
@example(content=b'{"text": "\\ud800 lone", "label": "a"}\n' * 30, suffix="jsonl")
@example(content=b"\xff\xff\xff\xff\x00\x00\x00\x10" + bytes(40), suffix="arrow")
@example(content=b"ARROW1\x00\x00" + bytes(40), suffix="arrow")
@example(content=b"PAR1" + bytes(40) + b"PAR1", suffix="parquet")
@example(content=b"PK\x03\x04" + bytes(60), suffix="zip")
@example(content=b"\x1f\x8b\x08" + bytes(30), suffix="gz")
@example(content=b"a,a,a\n1,2,3\n" * 9, suffix="csv")
@example(content=b"\x00" * 64, suffix="txt")
def test_any_bytes_are_survived(ctx: Context, tmp_path: Path, content: bytes, suffix: str) -> None:
    survive(ctx, tmp_path, suffix, content)


@quick
@given(
    content=st.text(alphabet="ab\"',;\t\n\r|:{}[]0", max_size=300), name=st.sampled_from(SUFFIXES)
)
def test_any_table_like_text_is_survived(
    ctx: Context, tmp_path: Path, content: str, name: str
) -> None:
    survive(ctx, tmp_path, name, content.encode())


@quick
@given(rows=st.lists(st.dictionaries(st.sampled_from(COLUMNS), values, max_size=4), max_size=6))
def test_any_json_rows_are_survived(
    ctx: Context, tmp_path: Path, rows: list[dict[str, object]]
) -> None:
    survive(ctx, tmp_path, "jsonl", "\n".join(map(json.dumps, rows)).encode())
    survive(ctx, tmp_path, "json", json.dumps(rows).encode())


@quick
@given(cut=st.integers(0, 3000), flips=st.lists(st.integers(0, 3000), max_size=4))
def test_damaged_parquet_is_survived(
    ctx: Context, tmp_path: Path, cut: int, flips: list[int]
) -> None:
    buffer = io.BytesIO()
    table = pa.table({"text": [f"row {n}" for n in range(50)], "label": ["a", "b"] * 25})
    pq.write_table(table, buffer)
    content = bytearray(buffer.getvalue())
    for flip in flips:
        content[flip % len(content)] ^= 0x55
    survive(ctx, tmp_path, "parquet", bytes(content[: len(content) - cut % len(content)]))


def bomb(kind: str) -> bytes:
    zeros = b"a" * (80 << 20)
    if kind == "gz":
        return gzip.compress(zeros, 9)
    if kind == "bz2":
        return bz2.compress(zeros)
    if kind == "xz":
        return lzma.compress(zeros, preset=0)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.csv", zeros)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip"])
def test_a_bomb_is_refused(ctx: Context, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"bomb.csv.{kind}"
    path.write_bytes(bomb(kind))
    assert path.stat().st_size < 1 << 20
    began = time.process_time()
    with pytest.raises(BadInput) as caught:
        inspect_file(ctx, str(path))
    assert "row of more than" in caught.value.problem or "unpacks" in caught.value.problem
    assert time.process_time() - began < SECONDS


def nested_zip(depth: int) -> bytes:
    """A small archive in an archive, whose innermost file would be very large."""
    content, name = b"a,b\n" * (12 << 20), "data.csv"
    for level in range(depth):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        content, name = buffer.getvalue(), f"level{level}.zip"
    return content


def lying_zip() -> bytes:
    """An archive whose directory says that its file is small."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.csv", b"x" * (80 << 20))
    raw = bytearray(buffer.getvalue())
    size = (80 << 20).to_bytes(4, "little")
    at = raw.rfind(size)
    raw[at : at + 4] = (1000).to_bytes(4, "little")
    return bytes(raw)


ODDITIES: dict[str, tuple[str, bytes]] = {
    "many rows in little": ("csv.gz", gzip.compress(b"text,label\n" + b"a word,b\n" * 100_000)),
    "archives in archives": ("zip", nested_zip(3)),
    "a size that lies": ("zip", lying_zip()),
    "twice packed": ("jsonl.gz", gzip.compress(gzip.compress(b'{"text": "a"}\n' * 100))),
    "deep lists": ("json", b'{"data": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "deep objects": ("jsonl", (b'{"a": ' * 50_000 + b"1" + b"}" * 50_000 + b"\n") * 3),
    "one huge line": ("jsonl", b'{"text": "' + b"a" * (20 << 20) + b'"}'),
    "one huge cell": ("csv", b'text,label\n"' + b"a" * (20 << 20) + b'",b\n'),
    "one huge word": ("txt", b"a" * (20 << 20)),
    "many columns": ("csv", b",".join(b"c%d" % n for n in range(50_000)) + b"\n" + b"1," * 49_999),
    "many keys": ("jsonl", b"".join(b'{"k%d": "some words"}\n' % n for n in range(5_000))),
    "a huge number": ("jsonl", b'{"text": ' + b"9" * 100_000 + b', "label": "a"}\n' * 5),
    "endless brackets": ("json", b"[" + b"[]," * 400_000),
    "trapped patterns": ("csv", b"text,label\n" + (b"a" * 5000 + b"@" + b".a" * 5000 + b",b\n")),
    "a slow pattern": ("csv", b"text,label\n" + (b"<" * 20_000 + b",b\n") * 9),
    "slow numbers": ("csv", b"text;label\n" + (b"+1 (23) 45 " * 4000 + b";b\n") * 9),
}  # fmt: skip


@pytest.mark.parametrize("name", list(ODDITIES))
def test_what_is_made_to_exhaust_is_answered_in_time(
    ctx: Context, tmp_path: Path, name: str
) -> None:
    suffix, content = ODDITIES[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    survive(ctx, tmp_path, suffix, content)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < 1024


@quick
@given(
    rows=st.lists(st.dictionaries(st.sampled_from(COLUMNS), values, max_size=4), max_size=4),
    packing=st.sampled_from(["gz", "bz2", "xz", "zip"]),
    cut=st.integers(0, 200),
    flip=st.integers(0, 4000),
)
def test_any_damaged_archive_is_survived(
    ctx: Context, tmp_path: Path, rows: list[dict[str, object]], packing: str, cut: int, flip: int
) -> None:
    plain = "\n".join(map(json.dumps, rows)).encode() or b"{}"
    pack: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress
    }  # fmt: skip
    if packing == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("data.jsonl", plain)
        content = bytearray(buffer.getvalue())
    else:
        content = bytearray(pack[packing](plain))
    content[flip % len(content)] ^= 0x41
    survive(ctx, tmp_path, f"jsonl.{packing}", bytes(content[: len(content) - cut % len(content)]))


def test_a_zip_that_names_files_outside_itself_writes_nothing_there(
    ctx: Context, tmp_path: Path
) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../escaped.csv", "text,label\n" + "some words,a\nother words,b\n" * 9)
    assert inspect_file(ctx, str(path)).rows == 18
    assert not list(tmp_path.parent.rglob("escaped.csv"))


def test_a_link_out_of_a_folder_is_not_followed_for_a_chat(ctx: Context, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("text,label\n" + "some words,a\nother words,b\n" * 9)
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.csv").symlink_to(secret)
    with pytest.raises(ToolError):
        inspect_file(ctx.with_(actor="chat"), str(folder))
