"""Any bytes give a report or a `ToolError`: never a traceback, never a hang, never a bomb."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import time
import zipfile
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
    began = time.monotonic()
    with contextlib.suppress(ToolError):  # which cannot be made without a problem and a hint
        report = inspect_file(ctx, str(path))
        assert report.text()
        json.dumps(report.document())
        prepare(ctx, str(path))
    assert time.monotonic() - began < SECONDS


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
    began = time.monotonic()
    with pytest.raises(BadInput) as caught:
        inspect_file(ctx, str(path))
    assert "row of more than" in caught.value.problem or "unpacks" in caught.value.problem
    assert time.monotonic() - began < SECONDS


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
